"""Tasks for whoever changes labelrig: fix, test, test-e2e, bench."""

from __future__ import annotations

import subprocess
import sys

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from commands.base import expected_errors_in_words


@task(
    help={
        "fast": "leave out everything that needs Docker",
        "all": "also the slow tests: fuzzing, load, reference predictor, lab hosts of their own, bench",
        "only": "run only the tests under this path, without lint and types",
    }
)
@expected_errors_in_words
def test(_context: Context, fast: bool = False, all: bool = False, only: str | None = None) -> None:
    """Run lint, types, import rules and all tests (unit, contract, integration, end to end), in lanes side by side."""
    from core.report import Report
    from infra.dev.checks import run_checks

    run_checks(Report(), fast=fast, slow=all, only=only)


@task
@expected_errors_in_words
def fix(_context: Context) -> None:
    """Repair lint and format, and write the documents that are made from the settings."""
    from core.report import Report
    from infra.dev.fix import run_fix

    run_fix(Report())


@task(name="test-e2e")
@expected_errors_in_words
def test_e2e(_context: Context) -> None:
    """Start a separate stack and run the end-to-end tests."""
    from core.report import Report
    from infra.dev.checks import run_checks

    run_checks(Report(), only="tests/e2e")


@task(
    help={
        "models": "comma-separated: demo, tiny, small, base-plus, large (default: demo,tiny; on a GPU also large)",
        "engines": "comma-separated: torch, openvino, cuda (default: all that the machine has)",
        "sizes": "megapixels, comma-separated: 2, 12",
        "quick": "the demo model and few repetitions",
        "out": "folder for bench.md and bench.json (default: .labelrig/bench)",
        "docs": "also write the tables into docs/performance.md",
        "machine": "the machine in plain words, for the table",
    }
)
@expected_errors_in_words
def bench(
    _context: Context,
    models: str | None = None,
    engines: str | None = None,
    sizes: str | None = None,
    quick: bool = False,
    out: str | None = None,
    docs: bool = False,
    machine: str | None = None,
) -> None:
    """Measure what a click costs here, compared with Label Studio's own SAM2 example, and print one table."""
    from core.report import Report
    from core.repository import REPOSITORY
    from hosts.local import LocalHost
    from infra.dev.environment import install_test_environment

    report = Report()
    with report.stage("test environment"):
        install_test_environment(LocalHost(), report)
    given = {"models": models, "engines": engines, "sizes": sizes, "out": out, "machine": machine}
    flags = [f"--{name}" for name, wanted in (("quick", quick), ("docs", docs)) if wanted]
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    done = subprocess.run((sys.executable, "-m", "tools.bench", *flags, *options), cwd=REPOSITORY, check=False)
    if done.returncode:
        raise Exit("", code=done.returncode)
