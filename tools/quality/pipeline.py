"""One annotator's prompts through the backend's own parts, in one thread and without a server."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from backend.engines import torch_engine
from backend.engines.torch_engine import TorchSegmenter
from backend.geometry import crop, masks, proposals
from backend.geometry.mask_prompts import prompts_of
from backend.segmenter import Embedding, Prompts
from backend.weights.catalog import PACKAGE, load_catalog
from demo import model as demo_model

Mask = NDArray[np.bool_]
Logits = NDArray[np.float32]
BATCH = 64  # points


@lru_cache(maxsize=1)
def demo_segmenter(weights: Path = demo_model.WEIGHTS) -> TorchSegmenter:
    """The demo model in the backend's engine, full precision; built once a process."""
    config = load_catalog().models["demo"].config_file()
    if config is None:
        raise FileNotFoundError(f"the demo model's YAML is not in {PACKAGE}")
    return torch_engine.build(config, weights, torch.device("cpu"), None)


def prompts(points: list[tuple[float, float]], positive: list[bool], box: tuple[float, ...] | None = None) -> Prompts:
    """Prompts in pixels of the image."""
    return Prompts(
        np.asarray(points, dtype=np.float32).reshape(-1, 2),
        np.asarray(positive, dtype=np.bool_),
        None if box is None else np.asarray(box, dtype=np.float32),
    )


class Whole:
    """A whole image, encoded once."""

    def __init__(self, segmenter: TorchSegmenter, pixels: NDArray[np.uint8]) -> None:
        """Encode ``(H, W, 3)`` uint8 RGB."""
        self.size_wh = (pixels.shape[1], pixels.shape[0])
        self._segmenter = segmenter
        self._pixels = pixels
        self._embedding = segmenter.encode(pixels)
        self._pieces: dict[str, Embedding] = {}

    def logits(self, given: Prompts) -> Logits:
        """The best candidate, ``(h, w)`` over the whole image."""
        return masks.best(self._segmenter.decode(self._embedding, given))[0]

    def mask(self, given: Prompts) -> Mask:
        """The answer at full size, without a closer look."""
        return masks.full_size(self.logits(given), self.size_wh)

    def everything(self) -> list[Mask]:
        """The proposals for all objects at full size, the best first, as `backend.serving.everything` makes them."""
        points = proposals.grid_points(proposals.points_a_side(self._segmenter.input_side // crop.CELL), self.size_wh)
        found: list[proposals.Proposal] = []
        for start in range(0, len(points), BATCH):
            prompted = proposals.lone_points(points[start : start + BATCH])
            found += proposals.good_ones(self._segmenter.decode_batch([(self._embedding, one) for one in prompted]))
        kept = proposals.without_duplicates(found)
        return [masks.full_size(one.logits.astype(np.float32), self.size_wh) for one in kept]

    def from_mask(self, start: Mask) -> tuple[Mask, float]:
        """SAM 2's mask and score where a rough one is given, as `backend.serving.refining` asks for it."""
        given = prompts_of(start)
        piece = self.piece_for(given)
        if piece is not None:
            found = self._started(given, start, piece)
            if not piece.cuts(found[0]):
                return piece.paste(found[0], self.size_wh), found[1]
        logits, score = self._started(given, start, None)
        return masks.full_size(logits, self.size_wh), score

    def _started(self, given: Prompts, start: Mask, piece: crop.Crop | None) -> tuple[Logits, float]:
        embedding = self._embedding if piece is None else self._encoded(piece)
        seen = start if piece is None else piece.part_of(start)
        placed = given if piece is None else piece.prompts(given)
        side = self._segmenter.input_side // crop.CELL
        placed = replace(placed, mask_logits=masks.as_logits(seen, side))
        return masks.best(self._segmenter.decode(embedding, placed))

    def piece_for(self, given: Prompts, small_cells: float = crop.SMALL_CELLS) -> crop.Crop | None:
        """The piece that the backend would look at; None where the whole image serves as well."""
        found = None
        if given.box_xyxy is None:
            first = crop.first_point(given)
            found = crop.object_box(self.logits(first), self.size_wh, first.points_xy[0])
        return crop.choose_crop(self.size_wh, given, found, self._segmenter.input_side, small_cells)

    def closer(self, piece: crop.Crop, given: Prompts) -> Mask | None:
        """The answer from a piece, at full size; None where it reaches the piece's edge."""
        logits = masks.best(self._segmenter.decode(self._encoded(piece), piece.prompts(given)))[0]
        return None if piece.cuts(logits) else piece.paste(logits, self.size_wh)

    def _encoded(self, piece: crop.Crop) -> Embedding:
        found = self._pieces.get(piece.key)
        if found is None:
            found = self._pieces[piece.key] = self._segmenter.encode(piece.pixels(self._pixels))
        return found
