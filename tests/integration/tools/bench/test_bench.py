"""The whole bench once, small: real processes, the demo model, the stock predictor beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.bench.__main__ import main

pytestmark = pytest.mark.slow


def test_quick_run_fills_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["--quick", "--engines", "torch", "--sizes", "2", "--out", str(tmp_path), "--machine", "a test machine"]
    )
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert shown.out == (tmp_path / "bench.md").read_text()
    assert "Machine: a test machine." in shown.out
    assert "0:00 demo, torch: start\n" in shown.err
    run = json.loads((tmp_path / "bench.json").read_text())
    (engine,) = run["engines"]
    (row,) = engine["clicks"]
    assert engine["failed"] == ""
    assert {row[name]["n"] for name in ("warm", "bare")} == {18}
    assert min(row[name]["median_ms"] for name in ("warm", "bare", "cold", "stock")) > 0
    assert set(row["stock_stages"]) == {"set_image", "predict", "rle"}
    assert {"decode", "total"} <= set(row["stages"])
    assert [load["annotators"] for load in engine["load"]] == [1, 2, 4, 8]
    assert engine["opened"]["n"] == engine["revisit"]["n"] == 3
    assert engine["embed_per_second"] > 0
    assert engine["packed_bytes"] >= engine["embedding_bytes"] > 0
    assert engine["fidelity"][0]["mean_iou"] >= 0.995
    assert {goal["figure"] for goal in run["goals"] if goal["met"] is None} >= {"GPU: embedding"}
