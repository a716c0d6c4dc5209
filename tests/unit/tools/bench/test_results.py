"""Figures, verdicts, tables, and where they are written."""

from __future__ import annotations

import json

import pytest

from core.text import between_markers
from tools.bench.__main__ import DOCUMENT
from tools.bench.report import BEGIN, END, judge, markdown
from tools.bench.results import ClickRow, EngineResult, Fidelity, LoadRow, Memory, Run, Sample, as_json


def test_quartiles_of_a_sample() -> None:
    sample = Sample([4, 1, 2, 3, 5])
    assert (sample.p25, sample.median, sample.p75) == (2, 3, 4)
    assert sample.p95 == pytest.approx(4.8)


def test_a_sample_needs_a_measurement() -> None:
    with pytest.raises(ValueError, match="expected at least one measurement"):
        Sample([])


def row(size: str, *, stock: float, cold: float, warm: float, bare: float, weights: str = "clean") -> ClickRow:
    return ClickRow(
        "tiny", "openvino", weights, size, Sample([stock]), Sample([warm]), Sample([bare]),
        cold=Sample([cold]), stages={"decode": bare, "total": warm - 1},
        stock_stages={"set_image": stock - 60, "predict": 50, "rle": 10}, reply_bytes=20_000,
    )  # fmt: skip


def result(engine: str = "openvino", model: str = "tiny", *, warm: float = 20.0) -> EngineResult:
    return EngineResult(
        model, engine, computes=f"{engine}-bf16", ready_seconds=5, embedding_bytes=16_000_000, packed_bytes=8_000_000,
        embed_per_second=1.5,
        clicks=[
            row("2 MP", stock=3000, cold=500, warm=warm, bare=17), row("12 MP", stock=3300, cold=600, warm=30, bare=17),
        ],
        load=[LoadRow(1, Sample([20]), 50), LoadRow(4, Sample([60, 80]), 50)],
        opened=Sample([21]), revisit=Sample([70]), memory=Memory(40, 256, 500, 900, 1000),
        fidelity=[Fidelity(model, engine, "clean", 24, 0.9991, 0.998, 1.0)],
    )  # fmt: skip


def verdicts(*results: EngineResult) -> dict[str, bool | None]:
    return {one.figure: one.met for one in judge(Run("a machine", {}, list(results)))}


def test_goals_met() -> None:
    met = verdicts(result())
    assert all(value for figure, value in met.items() if not figure.startswith("GPU"))
    assert {value for figure, value in met.items() if figure.startswith("GPU")} == {None}


def test_goals_missed() -> None:
    slow = result(warm=40.0)
    slow.revisit = Sample([78])
    slow.memory = Memory(40, 256, 500, 900, 1757)
    slow.fidelity = [*slow.fidelity, Fidelity("tiny", "openvino", "ragged", 24, 0.9949, 0.9, 1.0)]
    met = verdicts(slow)
    assert met["warm click, whole request / bare decoder, 2 MP"] is False
    assert met["stock path / warm click, 2 MP"] is False
    assert met["revisit after a restart, less the bare decoder"] is False
    assert met["memory after many cached images"] is False
    assert met["masks against stock in float32, mean IoU"] is False
    assert met["stock path / cold click, 2 MP"] is True


def test_goals_are_judged_on_tiny_and_its_fastest_engine() -> None:
    slow = result("torch")
    slow.clicks = [row("2 MP", stock=3000, cold=2000, warm=45, bare=42)]
    judged = judge(Run("a machine", {}, [result("torch", "demo"), slow, result()]))
    assert judged[0].about == "tiny, openvino"


def test_gpu_goals() -> None:
    gpu = result("cuda", "large")
    gpu.clicks = [row("2 MP", stock=100, cold=29, warm=9, bare=7)]
    gpu.embed_per_second = 79.0
    met = verdicts(gpu)
    assert met["GPU: warm click, median, 2 MP"] is True
    assert met["GPU: cold click, 2 MP"] is True
    assert met["GPU: embedding"] is False


def test_nothing_measured_is_no_goal_met() -> None:
    failed = EngineResult("tiny", "openvino", failed="the backend ended")
    assert set(verdicts(failed).values()) == {None}
    text = markdown(Run("a machine", {}, [failed]))
    assert "- tiny, openvino: the backend ended" in text
    assert "Nothing was measured." in text


def test_the_table_says_ratios_and_spread() -> None:
    text = markdown(Run("2 cores of Something", {"torch": "2"}, [result()], seconds=90))
    assert "Machine: 2 cores of Something. Software: torch 2. One run of 1.5 minutes." in text
    line = next(line for line in text.splitlines() if "| 2 MP |" in line)
    assert "| 1.18 | 6.0 | 150 | 20 kB |" in line
    assert "| 12 MP |" in text
    for table_line in (one for one in text.splitlines() if one.startswith("| ")):
        assert table_line.endswith(" |")


def test_json_keeps_every_measurement() -> None:
    body = json.loads(json.dumps(Run("a machine", {}, [result()]), default=as_json))
    assert body["engines"][0]["clicks"][0]["warm"] == {
        "n": 1, "median_ms": 20.0, "p25_ms": 20.0, "p75_ms": 20.0, "p95_ms": 20.0, "values_ms": [20.0],
    }  # fmt: skip
    assert body["engines"][0]["memory"]["setting_mb"] == 256


def test_the_real_document_has_its_marks() -> None:
    assert "\n\ntables\n\n" in between_markers(DOCUMENT.read_text(), BEGIN, END, "\ntables\n")
