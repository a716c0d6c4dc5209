"""The engine that the backend would take in the same environment, with nothing around it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
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
        self._encoded = lru_cache(1)(lambda path: self._segmenter.encode(read_rgb(path)))

    def sizes(self, path: Path) -> tuple[int, int]:
        """Bytes of an image's embedding, in memory and on disk."""
        embedding = self._encoded(path)
        return self._segmenter.size_of(embedding), len(self._segmenter.pack(embedding))

    def decode(self, path: Path, points: Sequence[Point]) -> list[float]:
        """Milliseconds of the decoder for each prompt."""
        embedding, taken = self._encoded(path), []
        for prompt in map(_prompt, points):
            began = time.perf_counter()
            self._segmenter.decode(embedding, prompt)
            taken.append((time.perf_counter() - began) * 1000)
        return taken

    def masks(self, path: Path, points: Sequence[Point]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The candidates of each prompt: ``(C, h, w)`` logits and ``(C,)`` predicted IoU."""
        found = [self._segmenter.decode(self._encoded(path), _prompt(point)) for point in points]
        return [(one.logits, one.iou) for one in found]


def _prompt(point: Point) -> Prompts:
    return Prompts(np.asarray([point], dtype=np.float32), np.asarray([True]))
