from __future__ import annotations

import io
import json

import pytest

from infra.errors import NotConverged
from infra.operation import Change, converge
from infra.report import Report


class Switch:
    """A state that one change brings about; `stuck` never shows it."""

    def __init__(self, name: str, log: list[str], *, on: bool = False, stuck: bool = False) -> None:
        self.name, self.log, self.on, self.stuck = name, log, on, stuck

    def plan(self) -> list[Change]:
        self.log.append(f"plan {self.name}")
        return [] if self.on else [Change(f"switch {self.name} on", self._apply)]

    def _apply(self) -> None:
        self.log.append(f"apply {self.name}")
        self.on = not self.stuck


def test_each_operation_sees_what_those_before_it_made() -> None:
    log: list[str] = []
    report = Report(io.StringIO())
    with report.stage("all"):
        changed = converge([Switch("a", log), Switch("b", log, on=True), Switch("c", log)], report)
    assert changed == report.changed == 2
    assert log == ["plan a", "apply a", "plan a", "plan b", "plan c", "apply c", "plan c"]
    assert report.stages[0].ok == ["b"]
    assert report.stages[0].changed == ["switch a on", "switch c on"]


def test_a_check_that_does_not_see_its_own_result_raises() -> None:
    with pytest.raises(NotConverged, match=r"^a: applied, and still to do: switch a on$"):
        converge([Switch("a", [], stuck=True)], Report(io.StringIO()))


def test_a_stage_that_fails_says_so_and_the_error_goes_on() -> None:
    stream = io.StringIO()
    report = Report(stream)
    with pytest.raises(NotConverged), report.stage("all"):
        converge([Switch("a", [], stuck=True)], report)
    assert "all: failed" in stream.getvalue()
    assert json.loads(report.as_json())["stages"][0]["failed"] is True


def test_progress_is_thinned_out_where_there_is_no_terminal() -> None:
    now = [0.0]
    stream = io.StringIO()
    report = Report(stream, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        report.progress(f"step {second}")
    assert stream.getvalue().split() == ["step", "10", "step", "20"]


def test_the_record_holds_stages_notices_and_facts() -> None:
    report = Report(io.StringIO())
    report.facts["url"] = "http://127.0.0.1:8080"
    with report.stage("one"):
        report.notice("look")
        converge([Switch("a", [])], report)
    record = json.loads(report.as_json())
    assert record["changed"] == 1
    assert record["notices"] == ["look"]
    assert record["url"] == "http://127.0.0.1:8080"
    assert "1 changed in" in report.recap()
