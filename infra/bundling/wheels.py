"""The wheels of infra.lock, for a machine that runs labelrig and has no index: `inv` makes .venv from them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import HostError
from core.report import Report
from core.text import indented
from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.images.wheels import read_pins, sha256_of

DOWNLOAD_TIMEOUT = 1800.0
OLDEST_GLIBC, NEWEST_GLIBC = 5, 35  # 2.35 is Ubuntu 22.04's, the oldest of our systems
LOCK = Path("requirements") / "infra.lock"


def requirements_for(lock: str, python: str, machine: str) -> str:
    """The lines of a lock file that count for one version of Python on Linux.

    pip would look at the conditions in them with the Python that it runs on.

    Args:
        python: such as "3.12".
        machine: the processor, as `uname -m` prints it.
    """
    environment = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    lines: list[str] = []
    for pin in read_pins(lock):
        if pin.requirement.marker is None or pin.requirement.marker.evaluate(environment):
            hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(pin.hashes))
            lines.append(f"{pin.requirement.name}{pin.requirement.specifier}{hashes}")
    return "\n".join([*lines, ""])


def fetch_wheels(
    here: Host, repository: Path, folder: Path, work: Path, pythons: Sequence[str], machine: str, report: Report
) -> None:
    """Download the wheels, each that is not there yet; every one is checked against the lock's hashes.

    Args:
        folder: gets the wheels.
        work: for the lists that pip gets.
        pythons: the versions of Python.

    Raises:
        HostError: pip could not download them; what has come so far is kept.
    """
    lock = (repository / LOCK).read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for python in pythons:
        listed = work / f"wheels-{python}.txt"
        listed.write_text(requirements_for(lock, python, machine))
        done = here.run(
            *(sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"),
            *("--require-hashes", "--only-binary", ":all:", "--progress-bar", "off", "--dest", str(folder)),
            *tags_of(python, machine),
            *("--requirement", str(listed)),
            timeout=DOWNLOAD_TIMEOUT,
            on_line=report.progress,
            ok=ANY_EXIT_CODE,
        )
        if not done.ok:
            raise HostError(
                f"pip could not download the wheels of {LOCK} for Python {python}; behind a proxy or a private index, "
                f"set pip's own configuration. Its last lines:\n{indented(done.stderr or done.stdout)}"
            )
    known = {digest for pin in read_pins(lock) for digest in pin.hashes}
    for path in sorted(folder.iterdir()):
        if path.suffix != ".whl" or sha256_of(path) not in known:
            path.unlink()  # of an earlier lock


def tags_of(python: str, machine: str) -> list[str]:
    """pip's options for wheels of another Python than the one that it runs on."""
    older = ("manylinux2014", "manylinux2010", "manylinux1")
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
    platforms += [f"{one}_{machine}" for one in older] + [f"linux_{machine}"]
    version = f"cp{python.replace('.', '')}"
    options = ["--python-version", python, "--implementation", "cp"]
    options += [part for abi in (version, "abi3", "none") for part in ("--abi", abi)]
    return options + [part for one in platforms for part in ("--platform", one)]
