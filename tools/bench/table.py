"""A run as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tools.bench.goals import Verdict, judge
from tools.bench.results import ClickRow, EngineResult, Run, Sample

MET = {True: "yes", False: "**no**", None: "-"}
STOCK = ("set_image", "predict", "rle")
PROJECT_IMAGES = 10_000
WEIGHTS = {
    "trained": "trained",
    "clean": "random, clean mask",
    "ragged": "random, ragged mask",
}


def markdown(run: Run) -> str:
    """All tables, with the machine above them."""
    software = ", ".join(f"{name} {version}" for name, version in run.software.items())
    parts = [
        f"Machine: {run.machine}. Software: {software}. One run of {run.seconds / 60:.1f} minutes. Times are medians "
        "in milliseconds, in brackets the quartiles and the number of measurements.",
        "### Goals\n\n" + _goals(judge(run)),
        "### One click\n\n" + _clicks(run),
        "### Where the time goes\n\n" + _stages(run),
        "### Several annotators at once\n\n" + _load(run),
        "### Images opened and revisited\n\n" + _images(run),
        "### Pre-encoding a project\n\n" + _project(run),
        "### Masks against the stock predictor\n\n" + _fidelity(run),
    ]
    left_out = [f"- {one.model}, {one.engine}: {one.failed}" for one in run.engines if one.failed]
    left_out += [
        f"- {one.model}, {one.engine}, ragged: {one.ragged_failed}" for one in run.engines if one.ragged_failed
    ]
    if left_out:
        parts.append("### Left out\n\n" + "\n".join(left_out))
    return "\n\n".join(parts) + "\n"


def _goals(verdicts: Sequence[Verdict]) -> str:
    rows = [(one.figure, one.goal, one.measured, MET[one.met], one.about) for one in verdicts]
    return _table(("figure", "goal", "measured", "met", "measured on"), rows)


def _clicks(run: Run) -> str:
    head = (
        "model", "engine", "weights", "image", "stock path", "cold", "warm", "bare decoder", "warm / bare",
        "stock / cold", "stock / warm", "reply",
    )  # fmt: skip
    rows = [
        (
            row.model,
            result.computes or row.engine,
            WEIGHTS[row.weights],
            row.size,
            _shown(row.stock),
            _shown(row.cold),
            _shown(row.warm),
            _shown(row.bare),
            f"{row.warm.median / row.bare.median:.2f}",
            f"{row.stock.median / row.cold.median:.1f}" if row.cold else "-",
            f"{row.stock.median / row.warm.median:.0f}",
            f"{row.reply_bytes / 1000:.0f} kB",
        )
        for result, row in _rows(run)
    ]
    return _table(head, rows)


def _stages(run: Run) -> str:
    names = list(dict.fromkeys(name for _, row in _rows(run) for name in row.stages if name != "total"))
    head = ("model", "engine", "weights", "image", *names, "outside the backend's stages", "stock: " + ", ".join(STOCK))
    rows = []
    for result, row in _rows(run):
        told = row.stages.get("total", sum(row.stages.values()))
        rows.append(
            (
                row.model,
                result.computes or row.engine,
                WEIGHTS[row.weights],
                row.size,
                *(f"{row.stages[name]:.1f}" if name in row.stages else "-" for name in names),
                f"{row.warm.median - told:.1f}" if row.stages else "-",
                ", ".join(f"{row.stock_stages[name]:.0f}" for name in STOCK),
            )
        )
    return _table(head, rows)


def _load(run: Run) -> str:
    rows = [
        (
            result.model,
            result.computes or result.engine,
            str(load.annotators),
            f"{load.clicks.median:.1f}",
            f"{load.clicks.p95:.1f}",
            f"{load.per_second:.1f}",
            str(load.clicks.n),
        )
        for result in run.engines
        for load in result.load
    ]
    return _table(("model", "engine", "annotators", "p50", "p95", "clicks/s", "n"), rows)


def _images(run: Run) -> str:
    head = (
        "model", "engine", "first click after open", "revisit after restart", "ready after", "with caches",
        "memory: setting, ready, after n images, peak",
    )  # fmt: skip
    rows = []
    for result in _measured(run):
        memory = result.memory
        rows.append(
            (
                result.model,
                result.computes or result.engine,
                _shown(result.opened),
                _shown(result.revisit),
                f"{result.ready_seconds:.1f} s",
                f"{result.ready_again_seconds:.1f} s",
                f"{memory.setting_mb} MB, {memory.before_mb:.0f} MB, {memory.after_mb:.0f} MB ({memory.images}), "
                f"{memory.highest_mb:.0f} MB"
                if memory
                else "-",
            )
        )
    return _table(head, rows)


def _project(run: Run) -> str:
    rows = [
        (
            result.model,
            result.computes or result.engine,
            f"{result.embed_per_second:.2f}",
            f"{result.embedding_bytes / 1e6:.2f} MB",
            f"{result.packed_bytes / 1e6:.2f} MB",
            f"{result.packed_bytes * PROJECT_IMAGES / 1e9:.1f} GB",
            f"{PROJECT_IMAGES / result.embed_per_second / 3600:.1f} h",
        )
        for result in _measured(run)
        if result.embed_per_second
    ]
    head = ("model", "engine", "images/s", "in memory", "on the disk", "10 000 images, disk", "10 000 images, time")
    return _table(head, rows)


def _fidelity(run: Run) -> str:
    rows = [
        (
            one.model,
            result.computes or one.engine,
            WEIGHTS[one.weights],
            str(one.prompts),
            f"{one.mean_iou:.4f}",
            f"{one.worst_iou:.4f}",
            f"{one.same_choice:.0%}",
        )
        for result in run.engines
        for one in result.fidelity
    ]
    return _table(("model", "engine", "weights", "clicks", "mean IoU", "worst", "same candidate chosen"), rows)


def _measured(run: Run) -> list[EngineResult]:
    return [one for one in run.engines if not one.failed]


def _rows(run: Run) -> list[tuple[EngineResult, ClickRow]]:
    return [(result, row) for result in run.engines for row in result.clicks]


def _shown(sample: Sample | None) -> str:
    if sample is None:
        return "-"
    low, high = sample.spread
    digits = 0 if sample.median >= 100 else 1
    return f"{sample.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}, n={sample.n})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Nothing was measured."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
