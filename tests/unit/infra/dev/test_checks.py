"""Which lanes there are, and that no test falls between them."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.report import Report
from core.repository import REPOSITORY
from infra.dev import checks
from infra.dev.checks import ChecksFailed, all_lanes, run_checks
from infra.dev.lanes import Lane

NO_DOCKER = ["environment", "static", "unit"]

WITH_DOCKER = ["images", "environment", "static", "deploy", "e2e", "browser", "unit", "docker"]


def names(lanes: Sequence[Lane]) -> list[str]:
    return [lane.name for lane in lanes]


def test_fast_leaves_out_docker_and_all_adds_the_slow_ones() -> None:
    assert names(all_lanes(fast=True, slow=False)) == NO_DOCKER
    assert names(all_lanes(fast=False, slow=False)) == WITH_DOCKER
    assert names(all_lanes(fast=False, slow=True))[-3:] == ["slow", "slow-docker", "slow-deploy"]
    assert names(all_lanes(fast=True, slow=True)) == [*NO_DOCKER, "slow"]


def test_every_test_with_docker_is_in_a_lane() -> None:
    """The other lanes collect all of `tests` and choose by marks; these are given folders."""
    tests = REPOSITORY / "tests"
    marks = re.compile(r"pytest\.mark\.(docker|e2e)\b")
    folders = {
        path.relative_to(REPOSITORY).parts[1] for path in tests.rglob("*.py") if marks.search(path.read_text("utf-8"))
    }
    lanes = {lane.name: lane for lane in all_lanes(fast=False, slow=False)}
    given = {
        word.split("/")[1]
        for name in ("e2e", "deploy", "docker")  # `browser` has what `e2e` leaves out
        for word in lanes[name].commands[0]
        if word.startswith("tests/")
    }
    assert folders == given


def test_what_one_lane_ignores_another_runs() -> None:
    words = [word for lane in all_lanes(fast=False, slow=False) for command in lane.commands for word in command]
    ignored = [word.removeprefix("--ignore=") for word in words if word.startswith("--ignore=")]
    assert len(ignored) == 1
    assert [words.count(path) for path in ignored] == [1]


def test_what_failed_is_named_and_the_rest_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = sys.executable
    lanes = [
        Lane("static", ((python, "-c", "raise SystemExit('tasks.py:1:1: E501')"),)),
        Lane("unit", ((python, "-c", "print('== 3 passed in 0.1s ==')"),)),
    ]
    monkeypatch.setattr(checks, "install_test_environment", lambda *_: None)
    monkeypatch.setattr(checks, "install_test_needs", lambda *_: None)
    monkeypatch.setattr(checks, "unpack_test_needs", lambda *_: None)
    monkeypatch.setattr(checks, "all_lanes", lambda *_: lanes)
    monkeypatch.setattr(checks, "REPOSITORY", tmp_path)
    monkeypatch.setattr(checks, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(checks, "JUNIT", tmp_path / "reports" / "junit.xml")
    shown = io.StringIO()
    with pytest.raises(
        ChecksFailed, match=r"^static did not pass; the whole output is in reports/lanes/; `\./inv fix` repairs"
    ):
        run_checks(Report(shown))
    closing = shown.getvalue().partition("slowest of 0 tests")
    assert "static | tasks.py:1:1: E501\n" in closing[0]
    assert "== 3 passed in 0.1s ==" in closing[2]
    assert (tmp_path / "reports" / "junit.xml").exists()
