"""What a run found, as Markdown: the goals this project has set itself, and one table for each kind of figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.errors import BenchError
from tools.bench.results import EngineResult, Run, Sample

BEGIN = "<!-- bench: begin; written by `./inv bench --docs` -->"
END = "<!-- bench: end -->"
STATED_FOR = "tiny"  # the model that the goals are stated for: medians, 2 cores, unless a goal says else
MEMORY_HEADROOM_MB = 1500
FIDELITY = 0.995
GPU_ENGINE, GPU_MODEL = "cuda", "large"
MET = {True: "yes", False: "**no**", None: "-"}
STOCK = ("set_image", "predict", "rle")
PROJECT_IMAGES = 10_000
WEIGHTS = {"trained": "trained", "clean": "random, clean mask", "ragged": "random, ragged mask"}


@dataclass(frozen=True)
class Verdict:
    """One goal.

    Attributes:
        about: model and engine that were measured.
        met: None where the run measured nothing for it.
    """

    figure: str
    goal: str
    about: str
    measured: str
    met: bool | None


def judge(run: Run) -> list[Verdict]:
    """Every goal, in the order in which they were set, for the engine that answers a cold click fastest."""
    chosen = _chosen(run)
    return [*_on_cpu(chosen), *_on_gpu(run), _fidelity_goal(run), _memory_goal(chosen)]


def _chosen(run: Run) -> EngineResult | None:
    """The CPU engine with the fastest cold click at the first size, on the model that the goals are stated for.

    A run without that model is judged on its first one: the table names it.
    """
    measured = [one for one in run.engines if one.engine != GPU_ENGINE and one.clicks and not one.failed]
    model = STATED_FOR if any(one.model == STATED_FOR for one in measured) else measured[0].model if measured else ""
    stated = [one for one in measured if one.model == model]
    return min(stated, key=lambda one: _median(one.clicks[0].cold) or 0.0, default=None)


def _on_cpu(chosen: EngineResult | None) -> Iterable[Verdict]:
    small, large = (chosen.clicks_at(size) if chosen else None for size in ("2 MP", "12 MP"))
    load = {row.annotators: row.clicks for row in chosen.load} if chosen else {}
    stock, cold, warm, bare = (_median(getattr(small, name, None)) for name in ("stock", "cold", "warm", "bare"))
    single, four = _median(load.get(1)), load.get(4)
    opened, revisit = (_median(getattr(chosen, name, None)) for name in ("opened", "revisit"))
    late = revisit - bare if revisit is not None and bare is not None else None
    for figure, above, below, limit in (
        ("warm click, whole request / bare decoder, 2 MP", warm, bare, 1.3),
        ("stock path / warm click, 2 MP", stock, warm, -100),
        ("stock path / cold click, 2 MP", stock, cold, -5),
        ("warm click at 12 MP / at 2 MP", _median(large.warm if large else None), warm, 1.6),
        ("first click after open / warm click", opened, single or warm, 1.1),
        ("revisit after a restart, less the bare decoder", late, None, 60),
        ("4 annotators, p95 / single, median", four.p95 if four else None, single, 4.5),
    ):
        if figure.startswith("revisit"):
            yield _limit(figure, above, limit, "ms", chosen)
        else:
            yield _limit(figure, above / below if above is not None and below else None, limit, "", chosen)


def _on_gpu(run: Run) -> list[Verdict]:
    found = (one for one in run.engines if (one.model, one.engine) == (GPU_MODEL, GPU_ENGINE) and one.clicks)
    result = next(found, None)
    row = result.clicks_at("2 MP") if result else None
    return [
        _limit("GPU: warm click, median, 2 MP", row.warm.median if row else None, 10, "ms", result),
        _limit("GPU: warm click, p95, 2 MP", row.warm.p95 if row else None, 20, "ms", result),
        _limit("GPU: cold click, 2 MP", _median(row.cold if row else None), 30, "ms", result),
        _limit("GPU: embedding", result.embed_per_second if result else None, -80, "images/s", result),
    ]


def _limit(figure: str, value: float | None, limit: float, unit: str, result: EngineResult | None) -> Verdict:
    """A goal for a figure with a unit, or for a ratio; a negative limit is a lower one."""
    goal = f"{'>=' if limit < 0 else '<='} {abs(limit):g} {unit}".rstrip()
    if value is None:
        return Verdict(figure, goal, _about(result), "not measured", None)
    shown = f"{value:.1f} {unit}" if unit else f"{value:.3g}"
    return Verdict(figure, goal, _about(result), shown, value >= -limit if limit < 0 else value <= limit)


def _fidelity_goal(run: Run) -> Verdict:
    """The worst mean over models and engines, random ragged weights included."""
    figure, goal = "masks against stock in float32, mean IoU", f">= {FIDELITY}"
    found = [one for result in run.engines for one in result.fidelity]
    if not found:
        return Verdict(figure, goal, "-", "not measured", None)
    worst = min(found, key=lambda one: one.mean_iou)
    about = f"{worst.model}, {worst.engine}, {worst.weights} weights: the lowest of {len(found)}"
    return Verdict(figure, goal, about, f"{worst.mean_iou:.4f}", worst.mean_iou >= FIDELITY)


def _memory_goal(chosen: EngineResult | None) -> Verdict:
    figure, memory = "memory after many cached images", chosen.memory if chosen else None
    if memory is None:
        return Verdict(figure, "<= the setting + 1.5 GB", _about(chosen), "not measured", None)
    limit = memory.setting_mb + MEMORY_HEADROOM_MB
    goal = f"<= {limit / 1000:.2f} GB (the setting + 1.5 GB)"
    measured = f"{memory.highest_mb / 1000:.2f} GB at most, {memory.images} images"
    return Verdict(figure, goal, _about(chosen), measured, memory.highest_mb <= limit)


def markdown(run: Run) -> str:
    """All tables, with the machine above them."""
    software = ", ".join(f"{name} {version}" for name, version in run.software.items())
    goals = [(one.figure, one.goal, one.measured, MET[one.met], one.about) for one in judge(run)]
    parts = [
        f"Machine: {run.machine}. Software: {software}. One run of {run.seconds / 60:.1f} minutes. Times are medians "
        "in milliseconds, in brackets the quartiles and the number of measurements.",
        "### Goals\n\n" + _table("figure|goal|measured|met|measured on", goals),
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


def _clicks(run: Run) -> str:
    head = "model|engine|weights|image|stock path|cold|warm|bare decoder|warm / bare|stock / cold|stock / warm|reply"
    rows = [
        (
            *_named(result, row.weights, row.size),
            *map(_shown, (row.stock, row.cold, row.warm, row.bare)),
            f"{row.warm.median / row.bare.median:.2f}",
            f"{row.stock.median / row.cold.median:.1f}" if row.cold else "-",
            f"{row.stock.median / row.warm.median:.0f}",
            f"{row.reply_bytes / 1000:.0f} kB",
        )
        for result in run.engines
        for row in result.clicks
    ]
    return _table(head, rows)


def _stages(run: Run) -> str:
    pairs = [(result, row) for result in run.engines for row in result.clicks]
    names = list(dict.fromkeys(name for _, row in pairs for name in row.stages if name != "total"))
    head = ("model", "engine", "weights", "image", *names, "outside the backend's stages", "stock: " + ", ".join(STOCK))
    rows = [
        (
            *_named(result, row.weights, row.size),
            *(f"{row.stages[name]:.1f}" if name in row.stages else "-" for name in names),
            f"{row.warm.median - row.stages.get('total', sum(row.stages.values())):.1f}" if row.stages else "-",
            ", ".join(f"{row.stock_stages[name]:.0f}" for name in STOCK),
        )
        for result, row in pairs
    ]
    return _table("|".join(head), rows)


def _load(run: Run) -> str:
    rows = [
        (
            *_named(result),
            str(load.annotators),
            *(f"{value:.1f}" for value in (load.clicks.median, load.clicks.p95, load.per_second)),
            str(load.clicks.n),
        )
        for result in run.engines
        for load in result.load
    ]
    return _table("model|engine|annotators|p50|p95|clicks/s|n", rows)


def _images(run: Run) -> str:
    head = (
        "model|engine|first click after open|revisit after restart|ready after|with caches|"
        "memory: setting, ready, after n images, peak"
    )
    rows = [
        (
            *_named(result),
            _shown(result.opened),
            _shown(result.revisit),
            f"{result.ready_seconds:.1f} s",
            f"{result.ready_again_seconds:.1f} s",
            f"{memory.setting_mb} MB, {memory.before_mb:.0f} MB, {memory.after_mb:.0f} MB ({memory.images}), "
            f"{memory.highest_mb:.0f} MB"
            if (memory := result.memory)
            else "-",
        )
        for result in run.engines
        if not result.failed
    ]
    return _table(head, rows)


def _project(run: Run) -> str:
    rows = [
        (
            *_named(result),
            f"{result.embed_per_second:.2f}",
            f"{result.embedding_bytes / 1e6:.2f} MB",
            f"{result.packed_bytes / 1e6:.2f} MB",
            f"{result.packed_bytes * PROJECT_IMAGES / 1e9:.1f} GB",
            f"{PROJECT_IMAGES / result.embed_per_second / 3600:.1f} h",
        )
        for result in run.engines
        if result.embed_per_second and not result.failed
    ]
    return _table("model|engine|images/s|in memory|on the disk|10 000 images, disk|10 000 images, time", rows)


def _fidelity(run: Run) -> str:
    rows = [
        (
            *_named(result, one.weights),
            str(one.prompts),
            f"{one.mean_iou:.4f}",
            f"{one.worst_iou:.4f}",
            f"{one.same_choice:.0%}",
        )
        for result in run.engines
        for one in result.fidelity
    ]
    return _table("model|engine|weights|clicks|mean IoU|worst|same candidate chosen", rows)


def _named(result: EngineResult, weights: str | None = None, *more: str) -> tuple[str, ...]:
    return (result.model, result.computes or result.engine, *([WEIGHTS[weights]] if weights else []), *more)


def _about(result: EngineResult | None) -> str:
    return f"{result.model}, {result.engine}" if result else "-"


def _median(sample: Sample | None) -> float | None:
    return sample.median if sample else None


def _shown(sample: Sample | None) -> str:
    if sample is None:
        return "-"
    low, high = sample.spread
    digits = 0 if sample.median >= 100 else 1
    return f"{sample.median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f}, n={sample.n})"


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Nothing was measured."
    names = head.split("|")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def replace_between_marks(document: Path, tables: str) -> None:
    """Exchange what stands between the document's marks, in one step.

    Raises:
        BenchError: the document is missing, or has not exactly one pair of marks.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{document.name} cannot be read: {error.strerror}") from None
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BenchError(f"{document.name} must hold `{BEGIN}` and then `{END}`, each once")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    part = document.with_name(document.name + ".part")
    part.write_text(f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}", encoding="utf-8")
    part.replace(document)
