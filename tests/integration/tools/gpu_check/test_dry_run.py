"""The whole check once, small, on the CPU: so that no minute on a lent GPU is lost to a typing error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.gpu_check.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_dry_run_passes_every_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With budgets for a busy machine: the part `memory` has the model `tiny` encode on the CPU."""
    code = main(["--dry-run", "--seconds", "4000", "--out", str(tmp_path)])
    shown = capsys.readouterr()
    assert shown.out == (tmp_path / "gpu.md").read_text()
    run = json.loads((tmp_path / "gpu.json").read_text())
    parts = {part["part"]: part for part in run["parts"]}
    assert {name: part["state"] for name, part in parts.items()} == {
        "machine": "passed", "engines": "passed", "memory": "passed", "clicks": "passed", "propagate": "passed",
    }, shown.out  # fmt: skip
    assert code == 0
    tests, *ways = parts["engines"]["rows"]
    assert "skipped" in tests["measured"]
    assert [row["figure"] for row in ways] == [
        f"demo, trained weights, {way}"
        for way in ("float32", "bfloat16", "bfloat16, recorded", "bfloat16, recorded, batches")
    ]
    refused = [row["measured"] for row in parts["memory"]["rows"] if row["figure"].endswith("out of memory")]
    assert len(refused) == 2
    assert "never" not in refused
    assert {row["figure"] for row in parts["clicks"]["rows"]} >= {
        "demo, 2 MP: warm click, p50 / p95", "demo, 2 MP: cold click, p50 / p95",
        "demo, 2 MP: stock predictor's click, p50 / p95", "demo: 1 annotators, p50 / p95",
        "demo: 4 annotators, p50 / p95", "demo: 16 annotators, p50 / p95", "demo: embedding",
    }  # fmt: skip
    assert "a dry run uses the CPU" in shown.out
