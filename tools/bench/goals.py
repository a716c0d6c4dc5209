"""The goals this project has set itself, against what a run found. Medians, 2 cores, tiny, unless a goal says else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tools.bench.results import EngineResult, Run

STATED_FOR = "tiny"
MEMORY_HEADROOM_MB = 1500
FIDELITY = 0.995
GPU_ENGINE, GPU_MODEL = "cuda", "large"


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
    verdicts = _on_cpu(run)
    verdicts += _on_gpu(run)
    verdicts.append(_fidelity(run))
    chosen = _chosen(run)
    verdicts.append(_memory(chosen))
    return verdicts


def _chosen(run: Run) -> EngineResult | None:
    """The CPU engine with the fastest cold click at the first size, on the model that the goals are stated for.

    A run without that model is judged on its first one: the table names it.
    """
    measured = [one for one in run.engines if one.engine != GPU_ENGINE and one.clicks and not one.failed]
    model = STATED_FOR if any(one.model == STATED_FOR for one in measured) else measured[0].model if measured else ""
    stated = [one for one in measured if one.model == model]
    return min(stated, key=lambda one: one.clicks[0].cold.median if one.clicks[0].cold else 0.0, default=None)


def _on_cpu(run: Run) -> list[Verdict]:
    chosen = _chosen(run)
    small = chosen.clicks_at("2 MP") if chosen else None
    large = chosen.clicks_at("12 MP") if chosen else None
    cold = small.cold.median if small and small.cold else None
    warm = small.warm.median if small else None
    single = next((row for row in chosen.load if row.annotators == 1), None) if chosen else None
    four = next((row for row in chosen.load if row.annotators == 4), None) if chosen else None
    about = _about(chosen)
    bare = small.bare.median if small else None
    stock = small.stock.median if small else None
    revisit = chosen.revisit.median if chosen and chosen.revisit else None
    opened = chosen.opened.median if chosen and chosen.opened else None
    return [
        _ratio("warm click, whole request / bare decoder, 2 MP", warm, bare, 1.3, about),
        _ratio("stock path / warm click, 2 MP", stock, warm, 100, about, at_least=True),
        _ratio("stock path / cold click, 2 MP", stock, cold, 5, about, at_least=True),
        _ratio("warm click at 12 MP / at 2 MP", large.warm.median if large else None, warm, 1.6, about),
        _ratio("first click after open / warm click", opened, single.clicks.median if single else warm, 1.1, about),
        _limit("revisit after a restart, less the bare decoder", _less(revisit, bare), 60, "ms", about),
        _ratio(
            "4 annotators, p95 / single, median",
            four.clicks.p95 if four else None,
            single.clicks.median if single else None,
            4.5,
            about,
        ),
    ]


def _on_gpu(run: Run) -> list[Verdict]:
    result = next(
        (one for one in run.engines if (one.model, one.engine) == (GPU_MODEL, GPU_ENGINE) and one.clicks), None
    )
    row = result.clicks_at("2 MP") if result else None
    about = _about(result)
    rate = result.embed_per_second if result else None
    return [
        _limit("GPU: warm click, median, 2 MP", row.warm.median if row else None, 10, "ms", about),
        _limit("GPU: warm click, p95, 2 MP", row.warm.p95 if row else None, 20, "ms", about),
        _limit("GPU: cold click, 2 MP", row.cold.median if row and row.cold else None, 30, "ms", about),
        _limit("GPU: embedding", rate, 80, "images/s", about, at_least=True),
    ]


def _fidelity(run: Run) -> Verdict:
    """The worst mean over models and engines, random ragged weights included."""
    found = [one for result in run.engines for one in result.fidelity]
    worst = min(found, key=lambda one: one.mean_iou, default=None)
    return Verdict(
        "masks against stock in float32, mean IoU",
        f">= {FIDELITY}",
        f"{worst.model}, {worst.engine}, {worst.weights} weights: the lowest of {len(found)}" if worst else "-",
        f"{worst.mean_iou:.4f}" if worst else "not measured",
        worst.mean_iou >= FIDELITY if worst else None,
    )


def _memory(chosen: EngineResult | None) -> Verdict:
    memory = chosen.memory if chosen else None
    figure = "memory after many cached images"
    if memory is None:
        return Verdict(figure, "<= the setting + 1.5 GB", _about(chosen), "not measured", None)
    limit = memory.setting_mb + MEMORY_HEADROOM_MB
    return Verdict(
        figure,
        f"<= {limit / 1000:.2f} GB (the setting + 1.5 GB)",
        _about(chosen),
        f"{memory.highest_mb / 1000:.2f} GB at most, {memory.images} images",
        memory.highest_mb <= limit,
    )


def _ratio(
    figure: str, above: float | None, below: float | None, limit: float, about: str, *, at_least: bool = False
) -> Verdict:
    value = above / below if above is not None and below else None
    return _verdict(figure, value, limit, "", about, at_least, lambda ratio: f"{ratio:.3g}")


def _limit(figure: str, value: float | None, limit: float, unit: str, about: str, *, at_least: bool = False) -> Verdict:
    return _verdict(figure, value, limit, f" {unit}", about, at_least, lambda one: f"{one:.1f} {unit}")


def _verdict(
    figure: str,
    value: float | None,
    limit: float,
    unit: str,
    about: str,
    at_least: bool,
    show: Callable[[float], str],
) -> Verdict:
    goal = f"{'>=' if at_least else '<='} {limit:g}{unit}"
    if value is None:
        return Verdict(figure, goal, about, "not measured", None)
    return Verdict(figure, goal, about, show(value), value >= limit if at_least else value <= limit)


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _about(result: EngineResult | None) -> str:
    return f"{result.model}, {result.engine}" if result else "-"
