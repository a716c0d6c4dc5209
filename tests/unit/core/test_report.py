"""What people see of a run or a plan, and what the record keeps."""

from __future__ import annotations

import io
import json

import pytest

from core.report import Report


def test_progress_is_thinned_out_where_there_is_no_terminal() -> None:
    now = [0.0]
    stream = io.StringIO()
    report = Report(stream, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        report.progress(f"step {second}")
    assert stream.getvalue().split() == ["step", "10", "step", "20"]


def test_a_notice_is_said_once_a_stage() -> None:
    report = Report(io.StringIO())
    for name in ("one", "two"):
        with report.stage(name):
            report.notice("a link was left out")
            report.notice("a link was left out")
    assert report.notices == ["a link was left out"] * 2


def test_the_record_holds_stages_notices_and_facts() -> None:
    report = Report(io.StringIO())
    report.facts["url"] = "http://127.0.0.1:8080"
    with report.stage("one"):
        report.notice("look")
        report.ok("engine", ["start it"])
    record = json.loads(report.as_json())
    assert record["changed"] == 1
    assert record["notices"] == ["look"]
    assert record["url"] == "http://127.0.0.1:8080"
    assert record["stages"][0]["changed"] == ["start it"]
    assert "diffs" not in record
    assert "1 changed in" in report.recap()


def test_recap_has_columns_for_skipped_and_unknown() -> None:
    """The recap has a column for what was skipped or unknown, where there is any."""
    now = [0.0]
    stream = io.StringIO()
    report = Report(stream, clock=lambda: now[0])
    with report.stage("gpu"):
        report.skipped("GPU", "none is there")
        report.ok("engine", [])
        now[0] = 2.0
    with report.stage("stack"):
        report.unknown("containers", "no engine yet")
        report.unknown("database", "no engine yet")
    with report.stage("proof"):
        pass
    assert report.recap().splitlines() == [
        "  gpu    ok   1  changed   0  skipped   1     2.0 s",
        "  stack  ok   0  changed   0  unknown   2     0.0 s",
        "  proof  ok   0  changed   0     0.0 s",
        "  0 changed in 2.0 s",
    ]
    assert "    - GPU: skipped (none is there)\n" in stream.getvalue()
    assert "    ? containers: unknown (no engine yet)\n" in stream.getvalue()
    stages = json.loads(report.as_json())["stages"]
    assert [stage["skipped"] for stage in stages] == [["GPU"], [], []]
    assert [stage["unknown"] for stage in stages] == [[], ["containers", "database"], []]


def test_a_stage_that_fails_says_so_and_the_recap_too() -> None:
    stream = io.StringIO()
    report = Report(stream)
    with pytest.raises(ZeroDivisionError), report.stage("one"):
        raise ZeroDivisionError
    assert "  one: failed, " in stream.getvalue()
    assert report.recap().splitlines()[0].endswith("s  FAILED")


def test_planned_change_has_a_diff_and_counts_at_the_end() -> None:
    """A planned change is shown with its diff, and counted once its operation has ended."""
    stream = io.StringIO()
    report = Report(stream)
    report.preview = True
    with report.stage("files"):
        report.would_change("update x", "-1\n+2")
        report.would_change("write y")
        assert report.changed == 0
        report.ok("files written", ["update x", "write y"])
    assert report.changed == 2
    assert stream.getvalue().startswith(
        "▸ files\n    ~ update x\n        -1\n        +2\n    ~ write y\n  files: 2 would change, "
    )
    assert report.recap().splitlines()[0].startswith("  files  ok   0  would change   2  ")
    assert report.recap().splitlines()[-1].startswith("  2 would change in ")
    record = json.loads(report.as_json())
    assert (record["changed"], record["stages"][0]["changed"]) == (2, ["update x", "write y"])
    assert record["diffs"] == [{"change": "update x", "diff": "-1\n+2"}]


def test_what_a_run_did_is_ticked_off() -> None:
    stream = io.StringIO()
    report = Report(stream)
    with report.stage("files"):
        report.ok("files written", ["update x"])
        report.ok("engine", [])
    assert "    ✓ files written (changed)\n    ✓ engine\n" in stream.getvalue()


def test_steps_are_numbered_and_what_is_beside_them_is_not() -> None:
    stream = io.StringIO()
    report = Report(stream)
    with report.stage("hook"):
        pass
    with report.steps(2):
        for name in ("images", "model", "one more"):
            with report.stage(name):
                pass
    with report.stage("rollback"):
        pass
    headings = [line for line in stream.getvalue().splitlines() if line.startswith("▸")]
    assert headings == ["▸ hook", "▸ step 1 of 2: images", "▸ step 2 of 2: model", "▸ one more", "▸ rollback"]
    assert [stage.name for stage in report.stages] == ["hook", "images", "model", "one more", "rollback"]


def test_work_that_is_no_operation_never_says_0_changed() -> None:
    """`preannotate` and `embed` say themselves how many masks and images there are."""
    stream = io.StringIO()
    report = Report(stream)
    with report.stage("embed"):
        report.info("2 images encoded")
    assert stream.getvalue().splitlines()[-1].startswith("  embed: done, ")
    assert "changed" not in stream.getvalue()
