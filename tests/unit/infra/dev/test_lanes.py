"""Lanes run side by side, all to their end, and none outlives an interrupt."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.report import Report
from core.repository import REPOSITORY
from core.waiting import wait_for
from infra.dev.lanes import LANE_VARIABLE, NO_BYTECODE, Lane, Lanes, Outcome

PYTEST_LIKE = """
print("tests/test_x.py .F [100%]")
print("=========== FAILURES ===========")
print("E  assert 1 == 2")
print("====== short test summary info ======")
print("FAILED tests/test_x.py::test_y")
print("==== 1 failed, 1 passed in 0.10s ====")
raise SystemExit(1)
"""
SKIPS = """
print("tests/test_x.py .s [100%]")
print("====== short test summary info ======")
print("SKIPPED [1] tests/test_x.py:3: no GPU")
print("==== 1 passed, 1 skipped in 0.10s ====")
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def run(folder: Path, *lanes: Lane, at_once: int = 2) -> tuple[dict[str, Outcome], str]:
    shown = io.StringIO()
    outcomes = Lanes(Report(shown), folder, at_once).run(lanes)
    assert [outcome.name for outcome in outcomes] == [lane.name for lane in lanes]
    return {outcome.name: outcome for outcome in outcomes}, shown.getvalue()


def test_two_lanes_run_at_once(tmp_path: Path) -> None:
    """Each waits for a file of the other."""
    meet = (
        "import pathlib, sys, time\n"
        "mine, other = (pathlib.Path(name) for name in sys.argv[1:])\n"
        "mine.touch()\n"
        "end = time.monotonic() + 20\n"
        "while not other.exists():\n"
        "    assert time.monotonic() < end\n"
        "    time.sleep(0.01)\n"
    )
    left, right = str(tmp_path / "left"), str(tmp_path / "right")
    outcomes, _ = run(
        tmp_path, Lane("left", ((*python(meet), left, right),)), Lane("right", ((*python(meet), right, left),))
    )
    assert [outcome.state for outcome in outcomes.values()] == ["ok", "ok"]


def test_lane_that_runs_alone(tmp_path: Path) -> None:
    """It waits for those that run, and those that follow wait for it."""
    mark = tmp_path / "marks"
    mark.mkdir()
    work = (
        f"import time; from pathlib import Path; one = Path({str(mark)!r}) / %r; one.touch(); time.sleep(0.5); "
        "print(sorted(each.name for each in one.parent.iterdir())); one.unlink()"
    )
    lanes = [
        Lane(name, (python(work % name),), alone=name == "alone") for name in ("first", "alone", "second", "third")
    ]
    outcomes, _ = run(tmp_path, *lanes, at_once=2)
    assert all(outcome.state == "ok" for outcome in outcomes.values())
    assert outcomes["alone"].last_line == "['alone']"


def test_a_failed_lane_stops_no_other(tmp_path: Path) -> None:
    outcomes, shown = run(
        tmp_path, Lane("bad", (python("raise SystemExit(3)"),)), Lane("good", (python("print('fine')"),)), at_once=1
    )
    assert (outcomes["bad"].state, outcomes["good"].state) == ("failed", "ok")
    assert "good | fine\n" in shown


def test_every_command_of_a_lane_runs(tmp_path: Path) -> None:
    """A lane fails with its first command and shows the others all the same."""
    outcomes, shown = run(tmp_path, Lane("static", (python("raise SystemExit('E501')"), python("print('types fine')"))))
    assert outcomes["static"].state == "failed"
    assert outcomes["static"].closing() == ["E501"]
    assert outcomes["static"].last_line == "types fine"
    assert "static | types fine\n" in shown


def test_waits_for_the_lane_it_needs(tmp_path: Path) -> None:
    made = tmp_path / "made"
    slow = f"import pathlib, time; time.sleep(0.3); pathlib.Path({str(made)!r}).touch()"
    look = f"import pathlib; assert pathlib.Path({str(made)!r}).exists()"
    outcomes, _ = run(tmp_path, Lane("e2e", (python(look),), after=("images",)), Lane("images", (python(slow),)))
    assert outcomes["e2e"].state == "ok"


def test_not_run_where_what_it_needs_failed(tmp_path: Path) -> None:
    """So does what needs that lane in turn."""
    outcomes, shown = run(
        tmp_path,
        Lane("images", (python("raise SystemExit(1)"),)),
        Lane("e2e", (python("print('started')"),), after=("images",)),
        Lane("last", (python("print('started')"),), after=("e2e",)),
    )
    assert (outcomes["e2e"].state, outcomes["last"].state) == ("not run", "not run")
    assert "not run: needs images" in shown
    assert "started" not in shown


def test_failures_are_shown_at_the_end(tmp_path: Path) -> None:
    """While lanes run only progress is shown; the log has everything."""
    outcomes, shown = run(tmp_path, Lane("unit", (python(PYTEST_LIKE),)))
    assert "unit | tests/test_x.py .F [100%]\n" in shown
    assert "assert 1 == 2" not in shown
    closing = outcomes["unit"].closing()
    assert "E  assert 1 == 2" in closing
    assert closing[-1] == outcomes["unit"].last_line == "==== 1 failed, 1 passed in 0.10s ===="
    assert "E  assert 1 == 2\n" in (tmp_path / "unit.log").read_text()


def test_skips_of_a_passed_lane_are_shown_at_the_end(tmp_path: Path) -> None:
    outcomes, _ = run(tmp_path, Lane("unit", (python(SKIPS),)))
    assert outcomes["unit"].closing() == [
        "====== short test summary info ======",
        "SKIPPED [1] tests/test_x.py:3: no GPU",
    ]


def test_a_missing_program_fails_its_lane(tmp_path: Path) -> None:
    outcomes, _ = run(tmp_path, Lane("static", (("/none/lint-imports",),)))
    assert outcomes["static"].state == "failed"
    assert outcomes["static"].closing() == ["/none/lint-imports: No such file or directory"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("shell", [(), ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")], ids=["terminal", "background"])
def test_an_interrupt_ends_all_children(tmp_path: Path, number: signal.Signals, shell: tuple[str, ...]) -> None:
    """They get the chance to clean up: pytest removes what its fixtures started."""
    child = (
        "import os, pathlib, sys, time\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "path.write_text(str(os.getpid()))\n"
        "try:\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    path.with_suffix('.cleaned').touch()\n"
    )
    (tmp_path / "child.py").write_text(child)
    main = (
        "import io, sys\n"
        "from pathlib import Path\n"
        "from core.report import Report\n"
        "from infra.dev.lanes import Lane, Lanes\n"
        "folder = Path(sys.argv[1])\n"
        "lanes = [Lane(name, ((sys.executable, str(folder / 'child.py'), str(folder / name)),) * 2) for name in 'ab']\n"
        "Lanes(Report(io.StringIO()), folder, 2).run(lanes)\n"
    )
    process = subprocess.Popen([*shell, *python(main), str(tmp_path)], cwd=REPOSITORY, stderr=subprocess.PIPE)
    paths = [tmp_path / "a", tmp_path / "b"]
    wait_for(
        "both children",
        lambda: True if all(path.exists() and path.read_text() for path in paths) else None,
        timeout=30,
        pause=0.05,
    )
    time.sleep(0.2)  # until both sleep inside their `try`
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in error
    assert [path.with_suffix(".cleaned").exists() for path in paths] == [True, True]
    for path in paths:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


def test_a_lane_knows_its_name(tmp_path: Path) -> None:
    """Two lanes on one machine make compose projects of their own."""
    say = python(f"import os; print(os.environ[{LANE_VARIABLE!r}])")
    outcomes, _ = run(tmp_path, Lane("left", (say,)), Lane("right", (say,)))
    assert [outcomes[name].last_line for name in ("left", "right")] == ["left", "right"]


def test_a_lane_keeps_its_bytecode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some CI images switch that off, for one process; here a thousand follow."""
    monkeypatch.setenv(NO_BYTECODE, "1")
    outcomes, _ = run(tmp_path, Lane("lane", (python("import sys; print(sys.dont_write_bytecode)"),)))
    assert outcomes["lane"].last_line == "False"
