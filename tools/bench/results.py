"""What a run found: samples and rows, and how they become one JSON file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one thing; `values` in milliseconds, in the order they were taken."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values: expected at least one measurement, got none")

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """From any sequence."""
        return cls(tuple(values))

    @property
    def n(self) -> int:
        """How many measurements."""
        return len(self.values)

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile: the middle half of the measurements lies between."""
        return self.quantile(0.25), self.quantile(0.75)

    @property
    def p95(self) -> float:
        """Nineteen in twenty are not above."""
        return self.quantile(0.95)

    def quantile(self, share: float) -> float:
        """Linear between the two nearest measurements; with few measurements p95 is nearly the largest."""
        return float(np.quantile(self.values, share))

    def as_json(self) -> dict[str, Any]:
        """The figures and every measurement."""
        return {
            "n": self.n,
            "median_ms": round(self.median, 3),
            "p25_ms": round(self.spread[0], 3),
            "p75_ms": round(self.spread[1], 3),
            "p95_ms": round(self.p95, 3),
            "values_ms": [round(value, 3) for value in self.values],
        }


@dataclass(frozen=True)
class ClickRow:
    """The clicks of one model, engine and image size.

    Attributes:
        engine: as asked for: `torch`, `openvino`, `cuda`.
        weights: `trained`, `clean` (random, the mask one disc) or `ragged` (random).
        size: `2 MP` or `12 MP`.
        stock: the stock path of a whole click.
        cold: an image never seen; None where it was not measured.
        warm: an image seen before, another place.
        bare: the engine's decoder alone.
        stages: the backend's own medians for warm clicks, milliseconds by name; empty where it tells none.
        stock_stages: `set_image`, `predict`, `rle`.
        reply_bytes: of a warm click's answer.
    """

    model: str
    engine: str
    weights: str
    size: str
    stock: Sample
    warm: Sample
    bare: Sample
    cold: Sample | None = None
    stages: dict[str, float] = field(default_factory=dict)
    stock_stages: dict[str, float] = field(default_factory=dict)
    reply_bytes: int = 0


@dataclass(frozen=True)
class LoadRow:
    """Warm clicks of several annotators at once, each on an image of their own, without a pause."""

    annotators: int
    clicks: Sample
    per_second: float


@dataclass(frozen=True)
class Memory:
    """The backend's memory after clicks on many images.

    Attributes:
        setting_mb: EMBEDDING_CACHE_MEMORY_MB.
        before_mb: resident memory when the model was loaded.
        after_mb: after the last image.
        highest_mb: the peak of the process.
    """

    images: int
    setting_mb: int
    before_mb: float
    after_mb: float
    highest_mb: float


@dataclass(frozen=True)
class Fidelity:
    """How far the engine's masks are those of the stock predictor in float32.

    Attributes:
        mean_iou: of the masks of the candidate that stock would show, in the image's size.
        worst_iou: the smallest of them.
        same_choice: share of prompts for which the engine trusts the same candidate most.
    """

    model: str
    engine: str
    weights: str
    prompts: int
    mean_iou: float
    worst_iou: float
    same_choice: float


@dataclass
class EngineResult:
    """Everything about one model on one engine.

    Attributes:
        computes: what the backend says it computes with, `openvino-bf16` for example.
        failed: why there are no figures; empty when there are.
        ragged_failed: the same for unaltered random weights.
        embed_per_second: images a second of the backend's own embed job: read, encoded and written.
        opened: first click after the task was opened and the backend had finished what that started.
        revisit: first click on an image whose embedding an earlier process left on disk.
    """

    model: str
    engine: str
    computes: str = ""
    failed: str = ""
    ragged_failed: str = ""
    ready_seconds: float = 0.0
    ready_again_seconds: float = 0.0
    embedding_bytes: int = 0
    packed_bytes: int = 0
    embed_per_second: float = 0.0
    clicks: list[ClickRow] = field(default_factory=list)
    load: list[LoadRow] = field(default_factory=list)
    opened: Sample | None = None
    revisit: Sample | None = None
    memory: Memory | None = None
    fidelity: list[Fidelity] = field(default_factory=list)

    def clicks_at(self, size: str, *, ragged: bool = False) -> ClickRow | None:
        """The row of one image size."""
        return next((row for row in self.clicks if row.size == size and (row.weights == "ragged") == ragged), None)


@dataclass
class Run:
    """One run of the bench.

    Attributes:
        machine: the machine in plain words.
        software: names and versions.
        seconds: how long the run took.
    """

    machine: str
    software: dict[str, str]
    engines: list[EngineResult] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As JSON's own types; samples with their figures."""
        return dict(
            json.loads(json.dumps(vars(self), default=lambda one: getattr(one, "as_json", lambda: vars(one))()))
        )
