"""What a run measured, as Markdown: the goals that this project has set, and one table for each kind of figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.bench.results import ClickRow, EngineResult, LoadRow, Memory, Run, Sample

BEGIN, END = "<!-- bench: begin; written by `./inv bench --docs` -->", "<!-- bench: end -->"
STATED_FOR = "tiny"  # the model that the goals are stated for: medians, 2 cores, unless a goal says otherwise
GPU = ("large", "cuda")
FIDELITY = 0.995
PROJECT_IMAGES = 10_000
MET = {True: "yes", False: "**no**", None: "-"}
WEIGHTS = {"trained": "trained", "clean": "random, clean mask", "ragged": "random, ragged mask"}
STOCK = ("set_image", "predict", "rle")


@dataclass(frozen=True)
class Verdict:
    """One goal, the model and engine it is about, and whether it is met; None where the run measured nothing for it."""

    figure: str
    goal: str
    about: str
    measured: str
    met: bool | None


def judge(run: Run) -> list[Verdict]:
    """Every goal, in the order in which they were set, for the engine that answers a cold click fastest."""
    cpu, gpu = _chosen(run), next((one for one in run.engines if (one.model, one.engine) == GPU and one.clicks), None)
    small, large, on_gpu = _row(cpu, "2 MP"), _row(cpu, "12 MP"), _row(gpu, "2 MP")
    stock, cold, warm, bare = (_figure(small, name) for name in ("stock", "cold", "warm", "bare"))
    load = {row.annotators: row for row in cpu.load} if cpu else {}
    single, revisit = _figure(load.get(1), "clicks"), _figure(cpu, "revisit")
    late = revisit - bare if revisit is not None and bare is not None else None
    goals: list[tuple[str, float | None, float, str, EngineResult | None]] = [
        ("warm click, whole request / bare decoder, 2 MP", _ratio(warm, bare), 1.3, "", cpu),
        ("stock path / warm click, 2 MP", _ratio(stock, warm), -100, "", cpu),
        ("stock path / cold click, 2 MP", _ratio(stock, cold), -5, "", cpu),
        ("warm click at 12 MP / at 2 MP", _ratio(_figure(large, "warm"), warm), 1.6, "", cpu),
        ("first click after open / warm click", _ratio(_figure(cpu, "opened"), single or warm), 1.1, "", cpu),
        ("revisit after a restart, less the bare decoder", late, 60, "ms", cpu),
        ("4 annotators, p95 / single, median", _ratio(_figure(load.get(4), "clicks", "p95"), single), 4.5, "", cpu),
        ("GPU: warm click, median, 2 MP", _figure(on_gpu, "warm"), 10, "ms", gpu),
        ("GPU: warm click, p95, 2 MP", _figure(on_gpu, "warm", "p95"), 20, "ms", gpu),
        ("GPU: cold click, 2 MP", _figure(on_gpu, "cold"), 30, "ms", gpu),
        ("GPU: embedding", gpu.embed_per_second if gpu else None, -80, "images/s", gpu),
    ]
    return [*(_limit(*goal) for goal in goals), _fidelity_goal(run), _memory_goal(cpu)]


def _chosen(run: Run) -> EngineResult | None:
    """The CPU engine with the fastest cold click at the first size, on the model that the goals are stated for.

    A run without that model is judged on its first one: the table names it.
    """
    measured = [one for one in run.engines if one.engine != "cuda" and one.clicks and not one.failed]
    stated = [one for one in measured if one.model == STATED_FOR]
    stated = stated or [one for one in measured if one.model == measured[0].model]
    return min(stated, key=lambda one: _figure(one.clicks[0], "cold") or 0.0, default=None)


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


def _memory_goal(cpu: EngineResult | None) -> Verdict:
    figure, goal = "memory after many cached images", "the setting + 1.5 GB"
    if cpu is None or (memory := cpu.memory) is None:
        return Verdict(figure, f"<= {goal}", _about(cpu), "not measured", None)
    limit, measured = memory.setting_mb + 1500, f"{memory.highest_mb / 1000:.2f} GB at most, {memory.images} images"
    return Verdict(figure, f"<= {limit / 1000:.2f} GB ({goal})", _about(cpu), measured, memory.highest_mb <= limit)


def markdown(run: Run) -> str:
    """All tables, with the machine above them."""
    software = ", ".join(f"{name} {version}" for name, version in run.software.items())
    goals = [f"{one.figure} | {one.goal} | {one.measured} | {MET[one.met]} | {one.about}" for one in judge(run)]
    left_out = [f"- {one.model}, {one.engine}: {one.failed}\n" for one in run.engines if one.failed]
    left_out += [
        f"- {one.model}, {one.engine}, ragged: {one.ragged_failed}\n" for one in run.engines if one.ragged_failed
    ]
    parts = [
        f"Machine: {run.machine}. Software: {software}. One run of {run.seconds / 60:.1f} minutes. Times are medians "
        "in milliseconds, in brackets the quartiles and the number of measurements.\n",
        _table("Goals", "figure | goal | measured | met | measured on", goals),
        *_about_clicks(run),
        *_about_images(run),
    ]
    return "\n".join([*parts, *(["### Left out\n\n" + "".join(left_out)] if left_out else [])])


def _about_clicks(run: Run) -> Iterator[str]:
    clicks = [
        (row, f"{_named(one)} | {WEIGHTS[row.weights]} | {row.size}") for one in run.engines for row in one.clicks
    ]
    lines = [
        f"{name} | {_shown(row.stock)} | {_shown(row.cold)} | {_shown(row.warm)} | {_shown(row.bare)}"
        f" | {row.warm.median / row.bare.median:.2f} | "
        + (f"{row.stock.median / row.cold.median:.1f}" if row.cold else "-")
        + f" | {row.stock.median / row.warm.median:.0f} | {row.reply_bytes / 1000:.0f} kB"
        for row, name in clicks
    ]
    head = "model | engine | weights | image | stock path | cold | warm | bare decoder | warm / bare | stock / cold"
    yield _table("One click", f"{head} | stock / warm | reply", lines)
    names = list(dict.fromkeys(stage for row, _ in clicks for stage in row.stages if stage != "total"))
    lines = []
    for row, name in clicks:
        stages = [f"{row.stages[stage]:.1f}" if stage in row.stages else "-" for stage in names]
        outside = row.warm.median - row.stages.get("total", sum(row.stages.values()))
        stock = ", ".join(f"{row.stock_stages[stage]:.0f}" for stage in STOCK)
        lines.append(" | ".join([name, *stages, f"{outside:.1f}" if row.stages else "-", stock]))
    head = " | ".join(["model | engine | weights | image", *names, "outside the backend's stages"])
    yield _table("Where the time goes", f"{head} | stock: {', '.join(STOCK)}", lines)


def _about_images(run: Run) -> Iterator[str]:
    done = [(one, _named(one)) for one in run.engines if not one.failed]
    lines = [
        f"{_named(one)} | {row.annotators} | {row.clicks.median:.1f} | {row.clicks.p95:.1f} | {row.per_second:.1f}"
        f" | {len(row.clicks.values)}"
        for one in run.engines
        for row in one.load
    ]
    yield _table("Several annotators at once", "model | engine | annotators | p50 | p95 | clicks/s | n", lines)
    lines = [
        f"{name} | {_shown(one.opened)} | {_shown(one.revisit)} | {one.ready_seconds:.1f} s"
        f" | {one.ready_again_seconds:.1f} s | {_memory(one.memory)}"
        for one, name in done
    ]
    head = "model | engine | first click after open | revisit after restart | ready after | with caches | memory:"
    yield _table("Images opened and revisited", f"{head} setting, ready, after n images, peak", lines)
    lines = [
        f"{name} | {speed:.2f} | {one.embedding_bytes / 1e6:.2f} MB | {one.packed_bytes / 1e6:.2f} MB"
        f" | {one.packed_bytes * PROJECT_IMAGES / 1e9:.1f} GB | {PROJECT_IMAGES / speed / 3600:.1f} h"
        for one, name in done
        if (speed := one.embed_per_second)
    ]
    head = "model | engine | images/s | in memory | on the disk | 10 000 images, disk | 10 000 images, time"
    yield _table("Pre-encoding a project", head, lines)
    lines = [
        f"{_named(one)} | {WEIGHTS[row.weights]} | {row.prompts} | {row.mean_iou:.4f} | {row.worst_iou:.4f}"
        f" | {row.same_choice:.0%}"
        for one in run.engines
        for row in one.fidelity
    ]
    head = "model | engine | weights | clicks | mean IoU | worst | same candidate chosen"
    yield _table("Masks against the stock predictor", head, lines)


def _named(result: EngineResult) -> str:
    return f"{result.model} | {result.computes or result.engine}"


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


def _memory(memory: Memory | None) -> str:
    if memory is None:
        return "-"
    after = f"{memory.after_mb:.0f} MB ({memory.images}), {memory.highest_mb:.0f} MB"
    return f"{memory.setting_mb} MB, {memory.before_mb:.0f} MB, {after}"


def _table(title: str, head: str, lines: Sequence[str]) -> str:
    rule = " | ".join(["---"] * len(head.split(" | ")))
    rows = "".join(f"| {line} |\n" for line in (head, rule, *lines)) if lines else "Nothing was measured.\n"
    return f"### {title}\n\n{rows}"
