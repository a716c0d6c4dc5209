"""`./inv test`: makes the test environment, then runs the checks, cheapest first."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import CommandFailed, LabelrigError
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Host
from hosts.local import LocalHost
from infra.dev.test_needs import install_test_needs
from infra.roles.docker.role import docker_role

WINGS = ("commands", "core", "hosts", "labelstudio", "infra", "dataset", "backend", "labeling", "demo", "tools")
SOURCES = ("tasks.py", *WINGS, "tests")
TYPED = ("tasks.py", *WINGS)
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
CHECK_TIMEOUT = 600.0
TEST_TIMEOUT = 3600.0


class ChecksFailed(LabelrigError):
    """A check did not pass; its output was shown."""


def run_checks(report: Report, *, fast: bool = False, only: str | None = None) -> None:
    """Run lint, types and tests; the first failing stage ends it.

    Args:
        fast: leave out the tests that need Docker.
        only: run just the tests under this path, without lint and types.

    Raises:
        ChecksFailed: names the stage.
        CommandFailed: the test environment could not be made.
    """
    host = LocalHost()
    with report.stage("test environment"):
        install_test_environment(host, report)
        install_test_needs(host, report)
    python = sys.executable
    pytest = (python, "-m", "pytest")
    if only is not None:
        _run(host, report, only, (*pytest, only), TEST_TIMEOUT)
    else:
        _run(host, report, "lint", (python, "-m", "ruff", "check", *SOURCES), CHECK_TIMEOUT)
        _run(host, report, "format", (python, "-m", "ruff", "format", "--check", *SOURCES), CHECK_TIMEOUT)
        _run(host, report, "types", (python, "-m", "mypy", *TYPED), CHECK_TIMEOUT)
        _run(host, report, "tests without Docker", (*pytest, "-m", "not docker and not e2e"), TEST_TIMEOUT)
        if not fast:
            with report.stage("docker engine"):
                converge(docker_role(host, report), report)
            _run(host, report, "tests with Docker", (*pytest, "-m", "docker"), TEST_TIMEOUT)
            _run(host, report, "end to end", (*pytest, "-m", "e2e"), TEST_TIMEOUT)
    report.info(report.recap())


def _run(host: Host, report: Report, name: str, command: tuple[str, ...], timeout: float) -> None:
    with report.stage(name):
        try:
            # Unbuffered: each result shows when it is known, not with the last one.
            host.run("env", "PYTHONUNBUFFERED=1", *command, timeout=timeout, on_line=report.info)
            report.ok(f"{name} passed", [])
        except CommandFailed as error:
            # Its output was shown as it came.
            raise ChecksFailed(f"{name} failed: {str(error).splitlines()[0]}") from None


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
