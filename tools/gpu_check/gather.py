"""`python -m tools.gpu_check.gather FOLDER`: the wheels that a machine with torch and CUDA lacks, to be carried there.

What the backend and the stock predictor import, at the locked versions and checked against the locks' hashes. Left to
the machine is what is large or belongs to its torch.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.repository import REPOSITORY
from infra.bundling.wheels import requirements_for, tags_of
from infra.roles.images.wheels import read_pins

TIMEOUT_SECONDS = 900.0
# Python packages that every machine with torch for Python has, or that only OpenVINO needs.
LEFT_TO_THE_MACHINE = frozenset(
    {
        *("numpy", "pillow", "opencv-python-headless"),
        *("filelock", "fsspec", "mpmath", "networkx", "sympy"),
        *("openvino", "openvino-telemetry", "opentelemetry-api"),
    }
)
# Published as sources alone; of pure Python, so that they can be built on another Python.
FROM_SOURCE = ("antlr4-python3-runtime", "iopath", "sam2")
# The stock path's own run-length code: one file of the package, whose other needs are not carried.
FROM_OTHER_LOCKS = (("infra.lock", "label-studio-sdk"), ("sam2.lock", "sam2"))
PIP = (sys.executable, "-m", "pip")
QUIET = ("--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes", "--progress-bar", "off")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check.gather", description=__doc__)
    parser.add_argument("folder", type=Path, help="gets the wheels; made where it is not there")
    parser.add_argument("--python", default="3.12", help="version of Python on that machine")
    parser.add_argument("--machine", default=platform.machine(), help="its processor, as uname -m prints it")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    wheels, sources = wanted(options.python, options.machine)
    with tempfile.TemporaryDirectory(prefix="labelrig-gather-") as name:
        listed = Path(name) / "wheels.txt"
        listed.write_text("\n".join([*wheels, ""]), encoding="utf-8")
        only = ("--only-binary", ":all:", "--dest", str(options.folder), *tags_of(options.python, options.machine))
        done = _pip("download", *QUIET, *only, "--requirement", str(listed))
        listed.write_text("\n".join([*sources, ""]), encoding="utf-8")
        built = ("--no-build-isolation", "--wheel-dir", str(options.folder), "--requirement", str(listed))
        done = done and _pip("wheel", *QUIET, *built)
    if not done:
        sys.stderr.write("error: pip could not make the wheels; its lines above say which\n")
        return 1
    found = sorted(options.folder.glob("*.whl"))
    size = sum(path.stat().st_size for path in found)
    sys.stdout.write(f"{len(found)} wheels, {size / 1e6:.1f} MB, for Python {options.python}: {options.folder}\n")
    return 0


def wanted(python: str, machine: str) -> tuple[list[str], list[str]]:
    """Lines of requirements with their hashes: those that are published as wheels, and those to be built."""
    locks = REPOSITORY / "requirements"
    lines = requirements_for((locks / "backend.lock").read_text("utf-8"), python, machine).splitlines()
    for lock, name in FROM_OTHER_LOCKS:
        found = requirements_for((locks / lock).read_text("utf-8"), python, machine).splitlines()
        lines += _named(found, {name})
    carried = {_name(line) for line in lines} - LEFT_TO_THE_MACHINE
    return _named(lines, carried - set(FROM_SOURCE)), _named(lines, carried & set(FROM_SOURCE))


def _named(lines: Iterable[str], names: Iterable[str]) -> list[str]:
    known = set(names)
    return sorted(line for line in lines if _name(line) in known)


def _name(line: str) -> str:
    (pin,) = read_pins(line)
    return pin.requirement.name


def _pip(*words: str) -> bool:
    variables = {**os.environ, "SAM2_BUILD_CUDA": "0"}  # its compiled part is for tracking, and optional
    try:
        subprocess.run((*PIP, *words), check=True, env=variables, timeout=TIMEOUT_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
