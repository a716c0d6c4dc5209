"""The engine that the backend would take in the same environment, with nothing around it, and one image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.__main__ import load_model
from backend.segmenter import Prompts
from backend.settings import load_settings
from backend.weights.catalog import choose, load_catalog
from tools.bench.pictures import Point, read_rgb


class Engine:
    """For `tools.bench.worker`; points are x, y in pixels of the image."""

    def __init__(self) -> None:
        settings = load_settings()
        self._segmenter = load_model(settings, choose(settings, load_catalog()))

    def set(self, path: Path) -> tuple[int, int]:
        """Encode the image that later prompts are about: bytes of its embedding in memory and on disk."""
        self._embedding = self._segmenter.encode(read_rgb(path))
        return self._segmenter.size_of(self._embedding), len(self._segmenter.pack(self._embedding))

    def decode(self, points: Sequence[Point]) -> list[float]:
        """Milliseconds of the decoder for each prompt."""
        taken = []
        for prompt in map(_prompt, points):
            began = time.perf_counter()
            self._segmenter.decode(self._embedding, prompt)
            taken.append((time.perf_counter() - began) * 1000)
        return taken

    def masks(self, points: Sequence[Point]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The candidates of each prompt: ``(C, h, w)`` logits and ``(C,)`` predicted IoU."""
        found = [self._segmenter.decode(self._embedding, _prompt(point)) for point in points]
        return [(one.logits, one.iou) for one in found]


def _prompt(point: Point) -> Prompts:
    return Prompts(np.asarray([point], dtype=np.float32), np.asarray([True]))
