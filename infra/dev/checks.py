"""`./inv test`: makes the test environment, then runs the checks in lanes (docs/testing.md)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import LabelrigError
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.dev.environment import install_test_environment
from infra.dev.lanes import Lane, Lanes, Outcome
from infra.dev.results import merge_junit
from infra.dev.test_needs import install_test_needs, unpack_test_needs

WINGS = (
    "commands",
    "core",
    "hosts",
    "labelstudio",
    "infra",
    "dataset",
    "backend",
    "labeling",
    "masks",
    "demo",
    "tools",
)
SOURCES = ("tasks.py", *WINGS, "tests")
REPORTS = REPOSITORY / "reports"
JUNIT = REPORTS / "junit.xml"
SLOWEST = 25
BROWSER = "tests/e2e/browser"
WITH_DOCKER = ("tests/contract", "tests/integration", "tests/labhost")
WORKERS = 2
# Half of what the lanes with containers take is waiting. The slow tests measure time and memory: fewer beside them.
LANES_AT_ONCE, WITH_SLOW = 3, 2


class ChecksFailed(LabelrigError):
    """A check did not pass; its output was shown."""


def run_checks(report: Report, *, fast: bool = False, slow: bool = False, only: str | None = None) -> None:
    """Run lint, types and tests in lanes; all of them, also when one fails.

    Args:
        fast: leave out the tests that need Docker.
        slow: also those that are marked `slow`.
        only: run just the tests under this path, slow ones too, without lint and types.

    Raises:
        ChecksFailed: names the lanes.
        CommandFailed: the test environment could not be made.
    """
    host = LocalHost()
    with report.stage("what the tests need"):
        install_test_needs(host, report)
        unpack_test_needs(host, report)
        if only is not None:
            install_test_environment(host, report)
    lanes = [Lane("only", (_pytest("only", only, "--verbose"),))] if only is not None else all_lanes(fast, slow)
    logs = REPORTS / "lanes"
    logs.mkdir(parents=True, exist_ok=True)
    for stale in (*logs.iterdir(), JUNIT):
        stale.unlink(missing_ok=True)
    outcomes = Lanes(report, logs, WITH_SLOW if slow else LANES_AT_ONCE).run(lanes)
    _close(report, outcomes, logs)
    failed = [outcome.name for outcome in outcomes if outcome.state != "ok"]
    if failed:
        fix = "; `./inv fix` repairs what can be repaired of lint and format" if "static" in failed else ""
        where = f"{logs.relative_to(REPOSITORY)}/"
        raise ChecksFailed(f"{', '.join(failed)} did not pass; the whole output is in {where}{fix}")
    if not (slow or only):
        report.info("  left out: the slow tests (./inv test --all)" + (" and those that need Docker" if fast else ""))


def all_lanes(fast: bool, slow: bool) -> list[Lane]:
    """The lanes in the order in which they start."""
    python = sys.executable
    environment = Lane("environment", ((python, "-m", "infra.dev.environment"),))
    static = Lane(
        "static",
        (
            (python, "-m", "ruff", "check", *SOURCES),
            (python, "-m", "ruff", "format", "--check", *SOURCES),
            (str(Path(python).with_name("lint-imports")), "--no-cache"),
            (python, "-m", "mypy", *SOURCES),
        ),
        after=("environment",),
    )
    parallel = ("-n", str(WORKERS), "--dist", "loadfile")
    unit = Lane(
        "unit", (_pytest("unit", "tests", *parallel, marks="not docker and not e2e and not slow"),), ("environment",)
    )
    slow_docker = "slow and (docker or e2e)"
    after = ("environment", "images")
    last = [
        Lane("slow", (_pytest("slow", "tests", *parallel, marks="slow and not docker and not e2e"),), ("environment",)),
        Lane(
            "slow-docker",
            (_pytest("slow-docker", "tests/e2e", *WITH_DOCKER, "--verbose", marks=slow_docker),),
            after,
        ),
        # Forty people at three lab hosts keep a machine busy: what runs beside them answers late.
        Lane(
            "slow-deploy", (_pytest("slow-deploy", "tests/deploy", "--verbose", marks=slow_docker),), after, alone=True
        ),
    ]
    images = Lane("images", ((python, "-m", "infra.dev.images"),))
    with_docker = [
        Lane(
            name,
            (_pytest(name, *paths, "--verbose", marks="(docker or e2e) and not slow"),),
            after=after,
        )
        for name, paths in (
            ("deploy", ("tests/deploy",)),
            ("e2e", ("tests/e2e", f"--ignore={BROWSER}")),
            ("browser", (BROWSER,)),
            ("docker", WITH_DOCKER),
        )
    ]
    # The longest first, so that all places are taken to the end; `unit` fills the time until the images are there.
    return [
        *([] if fast else [images]),
        environment,
        static,
        *([] if fast else with_docker[:-1]),
        unit,
        *([] if fast else with_docker[-1:]),
        *((last[:1] if fast else last) if slow else []),
    ]


def _pytest(lane: str, *arguments: str, marks: str = "") -> tuple[str, ...]:
    chosen = ("-m", marks) if marks else ()
    return (
        sys.executable,
        "-m",
        "pytest",
        "--no-header",
        *arguments,
        *chosen,
        f"--junitxml={REPORTS / 'lanes' / lane}.xml",
    )


def _close(report: Report, outcomes: Sequence[Outcome], logs: Path) -> None:
    """Failures and what was skipped, the slowest tests, and a line of each lane."""
    for outcome in outcomes:
        for line in outcome.closing():
            report.info(f"{outcome.name} | {line}")
    tests = merge_junit([outcome.name for outcome in outcomes], logs, JUNIT)
    report.info(f"the {SLOWEST} slowest of {len(tests)} tests, setup included:")
    for test in tests[:SLOWEST]:
        report.info(f"  {test.seconds:7.1f} s  {test.lane:<8} {test.name}")
    width = max(len(outcome.name) for outcome in outcomes)
    for outcome in outcomes:
        report.info(f"  {outcome.name:<{width}}  {outcome.state:<7} {outcome.seconds:>7.1f} s  {outcome.last_line}")
