"""The part `clicks`: what `./inv bench` measures, on the GPU, with 1, 4 and 16 annotators."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tools.bench.plan import Counts
from tools.bench.report import judge, markdown
from tools.bench.results import EngineResult, Run, Sample, as_json
from tools.gpu_check.backends import runner
from tools.gpu_check.outcome import Kept, Row

SIZES = ("2 MP", "12 MP")
ON_GPU = Counts(
    cold=16, stock=5, rounds=8, per_round=25, annotators=(1, 4, 16), load=480, opened=5, revisits=8, embed=6,
    fidelity=3, prompts=8, memory_seconds=0.0,
)  # fmt: skip
DRY = Counts(
    cold=2, stock=1, rounds=1, per_round=2, annotators=(1, 4, 16), load=16, opened=1, revisits=1, embed=2,
    fidelity=1, prompts=2, memory_seconds=0.0,
)  # fmt: skip


def check(kept: Kept, dry_run: bool) -> None:
    """Clicks of `tiny` and `large` at 2 and 12 MP; in a dry run of `demo` at 2 MP."""
    models = ("demo",) if dry_run else ("tiny", "large")
    if dry_run:
        kept.skip("tiny, large and 12 MP: a dry run clicks the demo model at 2 MP")
    kept.skip("memory after many images, ragged masks and OpenVINO: ./inv bench has them")

    def keep(run: Run) -> None:
        kept.outcome.rows = rows(run, dry_run)
        kept.outcome.tables = markdown(run).replace("### ", "### Clicks: ")
        kept.outcome.data = plain(run)
        kept.save()

    with tempfile.TemporaryDirectory(prefix="labelrig-gpu-") as name:
        bench = runner(Path(name), models, SIZES[:1] if dry_run else SIZES, dry_run, DRY if dry_run else ON_GPU)
        keep(bench.run(keep))


def rows(run: Run, dry_run: bool) -> list[Row]:
    """The goals that were set for a GPU, and the figures of each model; in a dry run without the goals."""
    found = []
    if not dry_run:
        found += [
            Row(f"{one.figure}, {one.about}", one.measured, one.goal, one.met)
            for one in judge(run)
            if one.figure.startswith(("GPU", "masks"))
        ]
    for engine in run.engines:
        found += _of_engine(engine)
    return found


def plain(run: Run) -> dict[str, Any]:
    """A run as `bench.json` has it."""
    found: dict[str, Any] = json.loads(json.dumps(vars(run), default=as_json))
    return found


def _of_engine(engine: EngineResult) -> list[Row]:
    if engine.failed:
        return [Row(engine.model, f"failed: {engine.failed}", "answers", False)]
    found = []
    for row in engine.clicks:
        at = f"{engine.model}, {row.size}"
        found.append(Row(f"{at}: warm click, p50 / p95", _both(row.warm)))
        if row.cold is not None:
            found.append(Row(f"{at}: cold click, p50 / p95", _both(row.cold)))
        found.append(Row(f"{at}: stock predictor's click, p50 / p95", _both(row.stock)))
    for load in engine.load:
        shown = f"{_both(load.clicks)}, {load.per_second:.0f} clicks/s"
        found.append(Row(f"{engine.model}: {load.annotators} annotators, p50 / p95", shown))
    if engine.embed_per_second:
        found.append(Row(f"{engine.model}: embedding", f"{engine.embed_per_second:.1f} images/s"))
    if engine.gpu_memory_mb is not None:
        found.append(Row(f"{engine.model}: memory of the GPU", f"{engine.gpu_memory_mb:.0f} MB"))
    return found


def _both(sample: Sample) -> str:
    return f"{sample.median:.1f} / {sample.p95:.1f} ms (n={len(sample.values)})"
