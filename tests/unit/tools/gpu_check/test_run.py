"""Parts as processes: whatever becomes of one, the others are run, and the report says it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tools.gpu_check.__main__ import main
from tools.gpu_check.outcome import Kept, Outcome, Row, read
from tools.gpu_check.plan import DEADLINE_SECONDS, PARTS, Part, Plan, parse
from tools.gpu_check.report import as_json, exit_code, markdown
from tools.gpu_check.run import command_of, run_parts

PROGRAMS = {
    "measures": "kept.row('a figure', '3 ms', '<= 4 ms', True); kept.skip('the other half: no network')",
    "misses": "kept.row('a figure', '5 ms', '<= 4 ms', False)",
    "fails": "kept.row('before', '1'); raise SystemExit('no such device')",
    "hangs": "kept.row('before', '1'); import threading; threading.Event().wait()",
    "is skipped": "kept.outcome.state, kept.outcome.reason = 'skipped', 'there is no such thing'; kept.save()",
    "is empty": "pass",
}
LONG, SHORT = 100.0, 3.0


def plan_of(*names: str, out: Path, deadline: float = DEADLINE_SECONDS) -> Plan:
    parts = tuple(Part(name, f"Part {name}", SHORT if name == "hangs" else LONG) for name in names)
    return Plan(parts, True, deadline, None, out)


def program(part: Part, out: Path) -> tuple[str, ...]:
    start = f"from tools.gpu_check.outcome import *; from pathlib import Path; kept = Kept(Path({str(out)!r}), "
    return sys.executable, "-c", f"{start}Outcome({part.name!r}), 1.0); {PROGRAMS[part.name]}"


def run(plan: Plan) -> list[Outcome]:
    return run_parts(plan, os.environ, program, lambda _line: None)


def test_one_part_takes_no_other_with_it(tmp_path: Path) -> None:
    outcomes = {one.part: one for one in run(plan_of(*PROGRAMS, out=tmp_path))}
    states = {name: one.state for name, one in outcomes.items()}
    assert states == {
        "measures": "passed", "misses": "failed", "fails": "failed", "hangs": "out of time", "is skipped": "skipped",
        "is empty": "failed",
    }  # fmt: skip
    assert outcomes["misses"].reason == "1 of 1 do not hold: a figure"
    assert outcomes["fails"].reason == "it ended with code 1: no such device"
    assert outcomes["hangs"].reason == "it was ended after 3 s"
    assert outcomes["is empty"].reason == "it measured nothing"
    assert outcomes["fails"].rows == [Row("before", "1")]  # what was measured before counts
    assert SHORT <= outcomes["hangs"].seconds < LONG


def test_what_the_time_does_not_reach_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    outcomes = run_parts(plan_of("measures", "misses", out=tmp_path), os.environ, program, said.append, began=-1e6)
    assert [one.state for one in outcomes] == ["skipped", "skipped"]
    assert said == [f"{name}: skipped, 0 s: the run's 480 s were over" for name in ("measures", "misses")]
    assert not list(tmp_path.iterdir())


def test_another_deadline_shares_out_the_budgets(tmp_path: Path) -> None:
    (outcome,) = run(plan_of("hangs", out=tmp_path, deadline=DEADLINE_SECONDS / 3))
    assert outcome.reason == "it was ended after 1 s"


def test_report_has_figures_reasons_and_what_was_left_out(tmp_path: Path) -> None:
    plan = parse(["--dry-run"], tmp_path)
    outcomes = [
        Outcome("machine", rows=[Row("machine", "2 cores | a card")], skipped=["driver: a dry run"]),
        Outcome("engines", rows=[Row("demo", "mean IoU 0.9", ">= 0.995", False)]).judged(),
        Outcome("clicks", tables="### Clicks\n\nfigures\n"), Outcome("propagate", "skipped", "no such route"),
    ]  # fmt: skip
    text = markdown(plan, outcomes, 12.3)
    assert text.startswith("Dry run on the CPU: it shows that the check works, its figures say nothing. 12 s of 480.\n")
    assert "| engines | failed | 0 | 1 of 1 do not hold: demo |\n" in text
    assert "## Masks of each engine against float32 on the CPU\n\n| figure | measured | limit | holds |\n" in text
    assert "| demo | mean IoU 0.9 | >= 0.995 | **no** |\n" in text
    assert "| machine | 2 cores \\| a card | - | - |\n" in text
    assert "\n### Clicks\n\nfigures\n" in text
    assert text.endswith("## Left out\n\n- machine: driver: a dry run\n- propagate: all of it: no such route\n")
    kept = json.loads(as_json(plan, outcomes, 12.34))
    assert (kept["dry_run"], kept["seconds"]) == (True, 12.3)
    assert kept["parts"][1]["rows"][0]["passed"] is False
    assert exit_code(outcomes) == 1
    assert exit_code(outcomes[:1] + outcomes[3:]) == 0
    assert exit_code([Outcome("engines", "out of time")]) == 1


def test_outcome_is_whole_after_each_figure(tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    assert read(path, "engines") == Outcome("engines")
    kept = Kept(path, Outcome("engines"), 1.0)
    kept.row("one", "1")
    assert read(path, "engines").rows == [Row("one", "1")]
    path.write_text("{")
    assert read(path, "engines") == Outcome("engines")


def test_default_plan_is_every_part_within_the_deadline(tmp_path: Path) -> None:
    plan = parse([], tmp_path)
    assert [part.name for part in plan.parts] == ["machine", "engines", "memory", "clicks", "propagate"]
    assert sum(part.seconds for part in PARTS) <= plan.deadline_seconds == DEADLINE_SECONDS == 480
    assert not plan.dry_run
    command = command_of(parse(["--dry-run", "--parts", "memory", "--seconds", "960"], tmp_path))
    told = ("tools.gpu_check.part", "memory", str(tmp_path / "x"), "120", "--dry-run")
    assert command(PARTS[2], tmp_path / "x")[2:] == told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", "engines,speed"], "--parts: 'speed' is none of machine, engines, memory, clicks, propagate"),
        (["--seconds", "0"], "--seconds: expected more than 0, got 0"),
        (["--wheels", "nowhere"], "--wheels: no wheel lies in nowhere; python -m tools.gpu_check.gather fills it"),
    ],
)
def test_wrong_options(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words, tmp_path)
    assert said in capsys.readouterr().err


def test_wheels_that_are_none_end_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "torn-1.0-py3-none-any.whl").write_bytes(b"no archive")
    assert main(["--dry-run", "--wheels", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "error: the 1 wheels could not be installed" in capfd.readouterr().err
