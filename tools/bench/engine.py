"""A measuring process: the engine that the backend would take in the same environment, with nothing around it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from backend.__main__ import load_model
from backend.segmenter import Embedding, Prompts, Segmenter
from backend.settings import load_settings
from backend.weights.catalog import choose, load_catalog
from tools.bench import loop


class Engine:
    """The engine and one image."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._pixels: Any = None
        self._embedding: Embedding | None = None

    def set(self, path: str) -> loop.Answer:
        """Encode the image that later prompts are about; says how long that took and how large the embedding is."""
        self._pixels = loop.read_rgb(path)
        taken = loop.milliseconds(self._encode)
        embedding = self._embedded()
        size, packed = self._segmenter.size_of(embedding), len(self._segmenter.pack(embedding))
        return {"encode": taken, "bytes": size, "packed": packed}

    def decode(self, xy: list[loop.Point]) -> loop.Answer:
        """Decode each prompt: milliseconds of each."""
        embedding = self._embedded()
        taken = []
        for prompt in [_prompt(one) for one in xy]:
            began = time.perf_counter()
            self._segmenter.decode(embedding, prompt)
            taken.append((time.perf_counter() - began) * 1000)
        return {"decode": taken}

    def masks(self, xy: list[loop.Point], out: str) -> loop.Answer:
        """Write the candidates of each prompt to a file."""
        answers = [self._segmenter.decode(self._embedded(), _prompt(one)) for one in xy]
        loop.save_candidates(out, [one.logits for one in answers], [one.iou for one in answers])
        return {}

    def _encode(self) -> None:
        self._embedding = self._segmenter.encode(self._pixels)

    def _embedded(self) -> Embedding:
        if self._embedding is None:
            raise ValueError("no image: ask for `set` first")
        return self._embedding


def _prompt(xy: loop.Point) -> Prompts:
    return Prompts(np.asarray([xy], dtype=np.float32), np.asarray([True]))


def main() -> int:
    """Load, then answer requests until the input ends."""
    settings = load_settings()
    segmenter = load_model(settings, choose(settings, load_catalog()))
    engine = Engine(segmenter)
    actions: dict[str, Callable[..., loop.Answer]] = {
        "set": engine.set,
        "decode": engine.decode,
        "masks": engine.masks,
    }
    return loop.serve(actions, {"engine": segmenter.engine, "device": segmenter.device})


if __name__ == "__main__":
    sys.exit(main())
