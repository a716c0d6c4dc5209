"""`./inv fix`: repairs what can be repaired without thought."""

from __future__ import annotations

import sys

from core.operation import converge
from core.report import Report
from hosts.local import LocalHost
from infra.config.documents import documents
from infra.dev.checks import SOURCES
from infra.dev.environment import install_test_environment

RUFF_TIMEOUT = 600.0
STEPS = (("repair", ("check", "--fix", "--exit-zero", "--quiet")), ("format", ("format",)), ("lint", ("check",)))


def run_fix(report: Report) -> None:
    """Write the documents that are made from the settings, and repair lint and format.

    Raises:
        CommandFailed: lint has problems left; they were shown.
    """
    host = LocalHost()
    with report.stage("test environment"):
        install_test_environment(host, report)
    with report.stage("documents"):
        converge(documents(), report)
    for name, arguments in STEPS:
        with report.stage(name):
            command = (sys.executable, "-m", "ruff", *arguments, *SOURCES)
            host.run(*command, timeout=RUFF_TIMEOUT, on_line=report.info)
    report.info(report.recap())
