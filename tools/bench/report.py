"""What a run measured, as Markdown: the goals that this project has set, and one table for each kind of figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tools.bench.results import ClickRow, EngineResult, LoadRow, Run, Sample

BEGIN, END = "<!-- bench: begin; written by `./inv bench --docs` -->", "<!-- bench: end -->"
STATED_FOR = "tiny"  # the model that the goals are stated for: medians, 2 cores, unless a goal says otherwise
GPU = ("large", "cuda")
MEMORY_HEADROOM_MB = 1500
FIDELITY = 0.995
PROJECT_IMAGES = 10_000
MET = {True: "yes", False: "**no**", None: "-"}
WEIGHTS = {"trained": "trained", "clean": "random, clean mask", "ragged": "random, ragged mask"}
STOCK = ("set_image", "predict", "rle")


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
    gpu = next((one for one in run.engines if (one.model, one.engine) == GPU and one.clicks), None)
    row = _row(gpu, "2 MP")
    return [
        *_on_cpu(chosen),
        _limit("GPU: warm click, median, 2 MP", _figure(row, "warm"), 10, "ms", gpu),
        _limit("GPU: warm click, p95, 2 MP", _figure(row, "warm", "p95"), 20, "ms", gpu),
        _limit("GPU: cold click, 2 MP", _figure(row, "cold"), 30, "ms", gpu),
        _limit("GPU: embedding", gpu.embed_per_second if gpu else None, -80, "images/s", gpu),
        _fidelity_goal(run),
        _memory_goal(chosen),
    ]


def _chosen(run: Run) -> EngineResult | None:
    """The CPU engine with the fastest cold click at the first size, on the model that the goals are stated for.

    A run without that model is judged on its first one: the table names it.
    """
    measured = [one for one in run.engines if one.engine != "cuda" and one.clicks and not one.failed]
    stated = [one for one in measured if one.model == STATED_FOR]
    stated = stated or [one for one in measured if one.model == measured[0].model]
    return min(stated, key=lambda one: _figure(one.clicks[0], "cold") or 0.0, default=None)


def _on_cpu(chosen: EngineResult | None) -> Iterable[Verdict]:
    small, large = _row(chosen, "2 MP"), _row(chosen, "12 MP")
    stock, cold, warm, bare = (_figure(small, name) for name in ("stock", "cold", "warm", "bare"))
    load = {row.annotators: row for row in chosen.load} if chosen else {}
    single, revisit = _figure(load.get(1), "clicks"), _figure(chosen, "revisit")
    late = revisit - bare if revisit is not None and bare is not None else None
    for figure, value, limit, unit in (
        ("warm click, whole request / bare decoder, 2 MP", _ratio(warm, bare), 1.3, ""),
        ("stock path / warm click, 2 MP", _ratio(stock, warm), -100, ""),
        ("stock path / cold click, 2 MP", _ratio(stock, cold), -5, ""),
        ("warm click at 12 MP / at 2 MP", _ratio(_figure(large, "warm"), warm), 1.6, ""),
        ("first click after open / warm click", _ratio(_figure(chosen, "opened"), single or warm), 1.1, ""),
        ("revisit after a restart, less the bare decoder", late, 60, "ms"),
        ("4 annotators, p95 / single, median", _ratio(_figure(load.get(4), "clicks", "p95"), single), 4.5, ""),
    ):
        yield _limit(figure, value, limit, unit, chosen)


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
    done = [one for one in run.engines if not one.failed]
    clicks = [(result, row) for result in run.engines for row in result.clicks]
    stages = list(dict.fromkeys(name for _, row in clicks for name in row.stages if name != "total"))
    tables = {
        "Goals": _table(
            "figure|goal|measured|met|measured on",
            [(one.figure, one.goal, one.measured, MET[one.met], one.about) for one in judge(run)],
        ),
        "One click": _table(
            "model|engine|weights|image|stock path|cold|warm|bare decoder|warm / bare|stock / cold|stock / warm|reply",
            [_click(result, row) for result, row in clicks],
        ),
        "Where the time goes": _table(
            "|".join(
                ("model|engine|weights|image", *stages, "outside the backend's stages|stock: " + ", ".join(STOCK))
            ),
            [_stages(result, row, stages) for result, row in clicks],
        ),
        "Several annotators at once": _table(
            "model|engine|annotators|p50|p95|clicks/s|n",
            [
                (*_named(result), str(load.annotators), *(f"{value:.1f}" for value in figures), str(len(sample.values)))
                for result in run.engines
                for load in result.load
                for sample in [load.clicks]
                for figures in [(sample.median, sample.p95, load.per_second)]
            ],
        ),
        "Images opened and revisited": _table(
            "model|engine|first click after open|revisit after restart|ready after|with caches|"
            "memory: setting, ready, after n images, peak",
            list(map(_opened, done)),
        ),
        "Pre-encoding a project": _table(
            "model|engine|images/s|in memory|on the disk|10 000 images, disk|10 000 images, time",
            [_project(one) for one in done if one.embed_per_second],
        ),
        "Masks against the stock predictor": _table(
            "model|engine|weights|clicks|mean IoU|worst|same candidate chosen",
            [
                (*_named(result), WEIGHTS[one.weights], str(one.prompts), *map("{:.4f}".format, ious), same)
                for result in run.engines
                for one in result.fidelity
                for ious, same in [((one.mean_iou, one.worst_iou), f"{one.same_choice:.0%}")]
            ],
        ),
    }
    left_out = [f"- {one.model}, {one.engine}: {one.failed}" for one in run.engines if one.failed]
    left_out += [f"- {one.model}, {one.engine}, ragged: {one.ragged_failed}" for one in done if one.ragged_failed]
    if left_out:
        tables["Left out"] = "\n".join(left_out)
    head = (
        f"Machine: {run.machine}. Software: {software}. One run of {run.seconds / 60:.1f} minutes. Times are medians "
        "in milliseconds, in brackets the quartiles and the number of measurements."
    )
    return "\n\n".join([head, *(f"### {title}\n\n{table}" for title, table in tables.items())]) + "\n"


def _click(result: EngineResult, row: ClickRow) -> Sequence[str]:
    return (
        *_named(result, row),
        *map(_shown, (row.stock, row.cold, row.warm, row.bare)),
        f"{row.warm.median / row.bare.median:.2f}",
        f"{row.stock.median / row.cold.median:.1f}" if row.cold else "-",
        f"{row.stock.median / row.warm.median:.0f}",
        f"{row.reply_bytes / 1000:.0f} kB",
    )


def _stages(result: EngineResult, row: ClickRow, names: Sequence[str]) -> Sequence[str]:
    inside = row.stages.get("total", sum(row.stages.values()))
    return (
        *_named(result, row),
        *(f"{row.stages[name]:.1f}" if name in row.stages else "-" for name in names),
        f"{row.warm.median - inside:.1f}" if row.stages else "-",
        ", ".join(f"{row.stock_stages[name]:.0f}" for name in STOCK),
    )


def _opened(result: EngineResult) -> Sequence[str]:
    memory = "-"
    if found := result.memory:
        figures = f"{found.before_mb:.0f} MB, {found.after_mb:.0f} MB ({found.images}), {found.highest_mb:.0f} MB"
        memory = f"{found.setting_mb} MB, {figures}"
    ready = (f"{seconds:.1f} s" for seconds in (result.ready_seconds, result.ready_again_seconds))
    return *_named(result), _shown(result.opened), _shown(result.revisit), *ready, memory


def _project(result: EngineResult) -> Sequence[str]:
    return (
        *_named(result),
        f"{result.embed_per_second:.2f}",
        f"{result.embedding_bytes / 1e6:.2f} MB",
        f"{result.packed_bytes / 1e6:.2f} MB",
        f"{result.packed_bytes * PROJECT_IMAGES / 1e9:.1f} GB",
        f"{PROJECT_IMAGES / result.embed_per_second / 3600:.1f} h",
    )


def _named(result: EngineResult, row: ClickRow | None = None) -> Sequence[str]:
    return (result.model, result.computes or result.engine, *((WEIGHTS[row.weights], row.size) if row else ()))


def _about(result: EngineResult | None) -> str:
    return f"{result.model}, {result.engine}" if result else "-"


def _row(result: EngineResult | None, size: str) -> ClickRow | None:
    rows = result.clicks if result else []
    return next((row for row in rows if row.size == size and row.weights != "ragged"), None)


def _figure(row: ClickRow | LoadRow | EngineResult | None, sample: str, figure: str = "median") -> float | None:
    return getattr(getattr(row, sample, None), figure, None)


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _shown(sample: Sample | None) -> str:
    if sample is None:
        return "-"
    low, middle, high = (f"{one:.{int(sample.median < 100)}f}" for one in (sample.p25, sample.median, sample.p75))
    return f"{middle} ({low} to {high}, n={len(sample.values)})"


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Nothing was measured."
    names = head.split("|")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
