"""Stand-ins for NVIDIA's programs: shell scripts that answer as the real ones do, and record that they were called."""

from __future__ import annotations

import shlex
from pathlib import Path

RECORD = "/var/log/nvidia-shim"
GPU = "0, NVIDIA Shim A100, GPU-00000000-1111-2222-3333-444444444444, 81920, 580.65.06"
SMI_PATH = "/usr/bin/nvidia-smi"


def smi(stdout: str, exit_code: int = 0) -> str:
    """An `nvidia-smi` that says one thing, whatever it is asked."""
    return f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(stdout)}\nexit {exit_code}\n"


def working_smi() -> str:
    """An `nvidia-smi` with one GPU; the capability is listed where it is asked for."""
    with_capability, without = shlex.quote(f"{GPU}, 8.0"), shlex.quote(GPU)
    return f"#!/bin/sh\ncase $1 in *compute_cap*) echo {with_capability} ;; *) echo {without} ;; esac\n"


def ctk(version: str) -> str:
    """An `nvidia-ctk` that says its version and links the device nodes that are there."""
    return f"""#!/bin/sh
case "$*" in
--version) echo "NVIDIA Container Toolkit CLI version {version}" ;;
"system create-dev-char-symlinks --create-all")
    mkdir -p /dev/char
    for node in /dev/nvidia*; do
        numbers=$(stat -c '0x%t 0x%T' "$node")
        ln -sf "$node" "/dev/char/$(printf '%d:%d' $numbers)"
    done ;;
*) exit 1 ;;
esac
"""


def runtime(record: str) -> str:
    """A container runtime that is runc, and writes down that it was called."""
    return f'#!/bin/sh\necho "runtime $*" >>{shlex.quote(record)}\nexec runc "$@"\n'


def hook(record: str, smi_script: Path) -> str:
    """The hook that an engine runs for `--gpus`: it puts `nvidia-smi` into the container, as the real one does."""
    return f"""#!/bin/sh
echo "hook $*" >>{shlex.quote(record)}
bundle=$(sed -n 's/.*"bundle":"\\([^"]*\\)".*/\\1/p')
root=$(sed -n 's/.*"root":{{"path":"\\([^"]*\\)".*/\\1/p' "$bundle/config.json")
cp {shlex.quote(str(smi_script))} "$root{SMI_PATH}"
"""


def install(folder: Path, scripts: dict[str, str]) -> None:
    """Write scripts that can be run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def library(version: str) -> tuple[str, ...]:
    """The command that makes a shared library under the name that the driver's has, where ldconfig looks.

    It must be a real one: this is one of libc's, its name replaced by one that is shorter.
    """
    script = (
        "import pathlib, sys, subprocess\n"
        "donor = next(pathlib.Path('/lib').glob('*-linux-gnu/libnss_compat.so.2'))\n"
        "content = donor.read_bytes().replace(b'libnss_compat.so.2\\0', b'libnvidia-ml.so.1\\0\\0')\n"
        "(donor.parent / f'libnvidia-ml.so.{sys.argv[1]}').write_bytes(content)\n"
        "subprocess.run(['ldconfig'], check=True)\n"
    )
    return ("python3", "-c", script, version)
