from __future__ import annotations

import io
import json

import pytest

from core.errors import CannotKnow, HostError, LabelrigError, NotConverged
from core.operation import Applier, Change, Operation, Previewer, converge
from core.report import Report


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


class Unreadable:
    """A state that cannot be read."""

    name = "stack"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def plan(self) -> list[Change]:
        raise self.error


def previewed(*operations: Operation) -> tuple[Previewer, str]:
    """A plan of the operations, and what was shown."""
    stream = io.StringIO()
    runner = Previewer(Report(stream))
    with runner.stage("all"):
        runner.run(operations)
    return runner, stream.getvalue()


def test_a_plan_shows_every_change_and_makes_none() -> None:
    log: list[str] = []
    runner, shown = previewed(Switch("a", log), Switch("b", log, on=True), Switch("c", log))
    assert log == ["plan a", "plan b", "plan c"]
    assert runner.applies is False
    assert runner.pending is True
    (stage,) = runner.report.stages
    assert (stage.ok, stage.changed, stage.unknown) == (["b"], ["switch a on", "switch c on"], [])
    assert "    ~ switch a on\n" in shown
    assert "    ✓ b\n" in shown
    assert "(changed)" not in shown


def test_a_plan_without_changes_has_nothing_pending() -> None:
    runner, _ = previewed(Switch("a", [], on=True))
    assert runner.pending is False
    assert runner.report.changed == 0


def test_what_cannot_be_read_behind_a_pending_change_is_unknown() -> None:
    lost = HostError("no engine answers here\nits last lines:\n  boom")
    runner, shown = previewed(Switch("engine", []), Unreadable(lost), Switch("after", []))
    (stage,) = runner.report.stages
    assert stage.unknown == ["stack"]
    assert stage.changed == ["switch engine on", "switch after on"]
    assert "    ? stack: unknown (no engine answers here)\n" in shown
    assert "boom" not in shown


def test_what_cannot_be_read_with_nothing_pending_is_an_error() -> None:
    runner = Previewer(Report(io.StringIO()))
    with pytest.raises(HostError, match=r"^no route$"):
        runner.run([Switch("a", [], on=True), Unreadable(HostError("no route")), Switch("b", [])])
    assert runner.report.stages[-1].unknown == []
    assert runner.report.changed == 0


def test_unknown_operation_makes_what_follows_unknown() -> None:
    """What an operation cannot know yet is always unknown, and so is what follows."""
    first = Unreadable(CannotKnow("the engine does not run yet"))
    runner, shown = previewed(first, Unreadable(HostError("no engine")))
    assert runner.report.stages[0].unknown == ["stack", "stack"]
    assert "    ? stack: unknown (the engine does not run yet)\n    ? stack: unknown (no engine)\n" in shown


def test_a_change_pending_in_one_stage_counts_in_the_next() -> None:
    runner, _ = previewed(Switch("engine", []))
    with runner.stage("next"):
        runner.run([Unreadable(HostError("no engine"))])
    assert runner.report.stages[1].unknown == ["stack"]


def test_a_fault_of_ours_is_never_taken_for_unknown() -> None:
    with pytest.raises(ZeroDivisionError):
        previewed(Switch("a", []), Unreadable(ZeroDivisionError()))


def test_a_plan_keeps_its_diffs_for_the_record() -> None:
    class Written(Switch):
        def plan(self) -> list[Change]:
            return [Change("update x.env", self._apply, "-A=1\n+A=2"), Change("write y.env", self._apply)]

    runner, shown = previewed(Written("files", []))
    assert "    ~ update x.env\n        -A=1\n        +A=2\n    ~ write y.env\n" in shown
    record = json.loads(runner.report.as_json())
    assert record["diffs"] == [{"change": "update x.env", "diff": "-A=1\n+A=2"}]
    assert record["stages"][0]["changed"] == ["update x.env", "write y.env"]


def test_for_real_the_same_operations_are_brought_about() -> None:
    log: list[str] = []
    runner = Applier(Report(io.StringIO()))
    with runner.stage("all"):
        runner.run([Switch("a", log)])
    assert runner.applies is True
    assert log == ["plan a", "apply a", "plan a"]
    assert runner.report.stages[0].changed == ["switch a on"]
    assert "diffs" not in json.loads(runner.report.as_json())


@pytest.mark.parametrize("error", [HostError("no engine"), CannotKnow("not yet")])
def test_for_real_nothing_is_unknown(error: LabelrigError) -> None:
    runner = Applier(Report(io.StringIO()))
    with pytest.raises(type(error)):
        runner.run([Switch("a", []), Unreadable(error)])
    with pytest.raises(CannotKnow, match=r"^the images: no engine$"):
        runner.unknown("the images", "no engine")
    assert runner.report.stages[-1].unknown == []


def test_pending_behind_change_or_unknown_only_in_a_plan() -> None:
    """Something is pending behind a change or an unknown of a plan, and never in a real run."""
    runner = Previewer(Report(io.StringIO()))
    runner.run([Switch("a", [], on=True)])
    assert runner.pending is False
    runner.unknown("containers", "which of them start anew is known later")
    assert runner.pending is True
    runner.run([Switch("a", [], on=True)])  # type: ignore[unreachable]
    assert runner.pending is True  # what was not known then is not known now
    assert Previewer(Report(io.StringIO())).pending is False
    applier = Applier(Report(io.StringIO()))
    applier.run([Switch("a", [])])
    assert applier.pending is False
    with pytest.raises(CannotKnow):
        applier.unknown("containers", "why")
    assert applier.pending is False


def test_error_that_ends_a_plan_leaves_nothing_new_pending() -> None:
    """An error that ends a plan leaves nothing pending that was not."""
    runner = Previewer(Report(io.StringIO()))
    with pytest.raises(HostError):
        runner.run([Unreadable(HostError("no route"))])
    assert runner.pending is False
