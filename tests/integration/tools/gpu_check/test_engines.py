"""What becomes of the part `engines` when its tests hang: the comparisons after them are still to be made."""

from __future__ import annotations

from pathlib import Path

from tools.gpu_check.engines import run_tests
from tools.gpu_check.outcome import Kept, Outcome, Row


def test_tests_that_hang_are_ended_within_the_parts_budget(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "engines.json", Outcome("engines"), budget_seconds=0.1)  # pytest needs longer to start
    run_tests(kept, dry_run=False)
    assert kept.outcome.rows == [Row("tests marked gpu", "ended after 0 s", "pass", False)]
