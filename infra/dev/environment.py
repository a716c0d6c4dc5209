"""`python -m infra.dev.environment`: installs what the tests need into the environment that runs it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import LabelrigError
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Host
from hosts.local import LocalHost

PIP = (
    "-m",
    "pip",
    "install",
    "--disable-pip-version-check",
    "--no-input",
    "--no-compile",
    "--progress-bar",
    "off",
)
LOCKS = ("backend.lock", "dev.lock", "torch.in", "sam2-build.lock", "sam2.lock", "reference.in")
INSTALL_TIMEOUT = 1800.0


def main() -> int:
    """Returns: the exit code."""
    report = Report()
    try:
        with report.stage("test environment"):
            install_test_environment(LocalHost(), report)
    except LabelrigError as error:
        report.info(f"error: {error}")
        return error.exit_code
    return 0


def install_test_environment(host: Host, report: Report) -> None:
    """Install what the tests need into the environment that runs us, once for each version of the locks."""
    requirements = REPOSITORY / "requirements"
    locks = [requirements / name for name in LOCKS]
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
    stamp = Path(sys.prefix) / ".test-digest"
    if stamp.exists() and stamp.read_text() == digest:
        return
    backend, dev, torch, build, sam2, reference = (str(lock) for lock in locks)
    hashed = ("--no-deps", "--require-hashes")
    steps: Sequence[tuple[str, ...]] = (
        (*hashed, "-r", backend, "-r", dev, "-r", build),
        ("-r", torch),
        # sam2 names torch as a build requirement: isolated, its build would fetch a second one.
        (*hashed, "--no-build-isolation", "-r", sam2),
        ("--no-deps", "-r", reference),
    )
    for step in steps:
        report.changing(f"pip install {Path(step[-1]).name}")
        host.run(
            "env",
            "SAM2_BUILD_CUDA=0",
            sys.executable,
            *PIP,
            *step,
            timeout=INSTALL_TIMEOUT,
            on_line=report.progress,
        )
    stamp.write_text(digest)


if __name__ == "__main__":
    sys.exit(main())
