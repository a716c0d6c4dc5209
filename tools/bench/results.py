"""What a run measures: samples and rows. `as_json` writes them to bench.json, `tools.bench.report` as tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class BenchError(Exception):
    """The run cannot go on, or its figures would be wrong."""


class EngineFailed(BenchError):
    """A process of one engine failed; the run goes on with the others."""


class Sample:
    """Repeated measurements of one thing in milliseconds, in the order they were taken."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = [float(value) for value in values]
        if not self.values:
            raise ValueError("values: expected at least one measurement, got none")
        # Linear between the two nearest; with few measurements p95 is nearly the largest.
        self.p25, self.median, self.p75, self.p95 = np.quantile(self.values, (0.25, 0.5, 0.75, 0.95)).tolist()


@dataclass(frozen=True)
class ClickRow:
    """The clicks of one model, engine and image size."""

    model: str
    engine: str  # as requested: torch, openvino, cuda
    weights: str  # trained, clean (random, the mask one disc) or ragged (random)
    size: str  # 2 MP or 12 MP
    stock: Sample  # the stock path of a whole click
    warm: Sample  # an image seen before, another place
    bare: Sample  # the engine's decoder alone
    cold: Sample | None  # an image never seen
    stages: dict[str, float]  # the backend's own medians for warm clicks
    stock_stages: dict[str, float]  # set_image, predict, rle
    reply_bytes: int  # of a warm click's answer


@dataclass(frozen=True)
class LoadRow:
    """Warm clicks of several annotators at once, each on an image of their own, without a pause."""

    annotators: int
    clicks: Sample
    per_second: float


@dataclass(frozen=True)
class Memory:
    """Resident memory of the backend: with the model loaded, after clicks on many images, at its peak."""

    images: int
    setting_mb: int
    before_mb: float
    after_mb: float
    highest_mb: float


@dataclass(frozen=True)
class Fidelity:
    """The engine's masks against those of the stock predictor in float32."""

    model: str
    engine: str
    weights: str
    prompts: int
    mean_iou: float  # of the candidate that stock would show, in the image's size
    worst_iou: float
    same_choice: float  # share of prompts for which the engine ranks the same candidate first


@dataclass
class EngineResult:
    """Everything about one model on one engine."""

    model: str
    engine: str
    computes: str = ""  # as the backend reports it, openvino-bf16 for example
    failed: str = ""  # why there are no figures
    ragged_failed: str = ""  # the same for unaltered random weights
    ready_seconds: float = 0.0
    ready_again_seconds: float = 0.0
    embedding_bytes: int = 0
    packed_bytes: int = 0
    embed_per_second: float = 0.0  # images of the backend's own embed job: read, encoded and written
    clicks: list[ClickRow] = field(default_factory=list)
    load: list[LoadRow] = field(default_factory=list)
    opened: Sample | None = None  # first click after the task was opened and the backend had finished what that started
    revisit: Sample | None = None  # first click on an image whose embedding an earlier process left on disk
    memory: Memory | None = None
    gpu_memory_mb: float | None = None  # what the backend holds of the GPU's, after the clicks and the embed job
    fidelity: list[Fidelity] = field(default_factory=list)


@dataclass
class Run:
    """One run on one machine; `software` holds versions by name."""

    machine: str
    software: dict[str, str]
    engines: list[EngineResult] = field(default_factory=list)
    seconds: float = 0.0


def as_json(one: object) -> dict[str, Any]:
    """For `json.dumps(default=)`: a row as its fields, a sample with its figures and every measurement."""
    if not isinstance(one, Sample):
        return vars(one)
    figures = {f"{name}_ms": round(float(getattr(one, name)), 3) for name in ("median", "p25", "p75", "p95")}
    return {"n": len(one.values), **figures, "values_ms": [round(value, 3) for value in one.values]}
