"""Proposals for all objects of an image: a grid of points, and of the masks that they give those that are good, once.

The measures are those of SAM's automatic mask generation (Kirillov et al., Segment Anything, 2023, appendix B;
sam2/automatic_mask_generator.py): the model's own estimate of the IoU, and how little a mask depends on where its
logits are cut. Duplicates are told by the masks themselves, not by their boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Candidates, Prompts

MOST_POINTS_A_SIDE = 32
CELLS_A_POINT = 3  # closer points give the same masks
LEAST_IOU = 0.8
# Of the real models, whose logits have 256 cells a side. Between the two cuts lies a band of cells along the outline:
# of a mask with fewer cells it takes a larger share.
LEAST_STABILITY, STABILITY_CELLS = 0.95, 256
STABILITY_OFFSET = 1.0  # logits above and below the cut
MOST_OVERLAP = 0.7  # IoU above which the worse of two masks is a duplicate
MOST_OF_IMAGE = 0.95  # a mask of nearly everything is no object
LOGITS_LIMIT = 32.0


@dataclass(frozen=True)
class Proposal:
    """One object, as the model sees it.

    Attributes:
        logits: ``(h, w)`` float16 at the model's low resolution, stretched over the whole image; above 0 is object.
        score: the model's own estimate of the mask's IoU.
    """

    logits: NDArray[np.float16]
    score: float

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return self.logits.nbytes


def points_a_side(cells: int) -> int:
    """How many points of the grid are enough for a model whose logits have so many cells a side."""
    return max(1, min(MOST_POINTS_A_SIDE, cells // CELLS_A_POINT))


def least_stability(cells: int) -> float:
    """The limit for logits of so many cells a side."""
    return 1 - (1 - LEAST_STABILITY) * STABILITY_CELLS / cells


def grid_points(side: int, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """``(side * side, 2)`` x and y in pixels of the image: the middles of equal rectangles, row by row."""
    middles = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(middles, middles)
    return np.stack([x.ravel(), y.ravel()], axis=1) * np.asarray(size_wh, dtype=np.float32)


def stability(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """How little masks depend on the cut: the IoU of each cut 1 above and 1 below 0.

    Args:
        logits: ``(..., h, w)``.

    Returns:
        ``(...)`` in ``[0, 1]``; 0 where nothing is above the lower cut.
    """
    inner = np.count_nonzero(logits > STABILITY_OFFSET, axis=(-2, -1))
    outer = np.count_nonzero(logits > -STABILITY_OFFSET, axis=(-2, -1))
    return np.asarray(inner / np.maximum(outer, 1), dtype=np.float64)


def lone_points(points_xy: NDArray[np.float32]) -> list[Prompts]:
    """``(N, 2)`` points as prompts of one each."""
    positive = np.ones(1, dtype=np.bool_)
    return [Prompts(point[None], positive) for point in points_xy]


def good_ones(found: Sequence[Candidates]) -> list[Proposal]:
    """The candidates that are worth a proposal, in their order."""
    kept = []
    for one in found:
        share = np.count_nonzero(one.logits > 0, axis=(-2, -1)) / one.logits[0].size
        good = (one.iou >= LEAST_IOU) & (share > 0) & (share <= MOST_OF_IMAGE)
        good &= stability(one.logits) >= least_stability(one.logits.shape[-1])
        for number in np.flatnonzero(good):
            limited = np.clip(one.logits[number], -LOGITS_LIMIT, LOGITS_LIMIT)
            kept.append(Proposal(limited.astype(np.float16), float(one.iou[number])))
    return kept


def without_duplicates(proposals: Sequence[Proposal]) -> list[Proposal]:
    """The best of those that show one object: masks whose IoU with a better one is above 0.7 are left out.

    Returns:
        The best first.
    """
    if not proposals:
        return []
    order = np.argsort([-one.score for one in proposals], kind="stable")
    bits = np.stack([np.packbits(proposals[number].logits > 0) for number in order])
    areas = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    left = np.ones(len(order), dtype=np.bool_)
    kept = []
    for place, number in enumerate(order):
        if not left[place]:
            continue
        kept.append(proposals[number])
        # Two masks of very different areas cannot have such an IoU: most pairs need no look at their pixels.
        small, large = np.minimum(areas, areas[place]), np.maximum(areas, areas[place])
        rivals = np.flatnonzero(left & (small > MOST_OVERLAP * large))
        rivals = rivals[rivals > place]
        both = np.bitwise_count(bits[rivals] & bits[place]).sum(axis=1, dtype=np.int64)
        left[rivals[both > MOST_OVERLAP * (areas[rivals] + areas[place] - both)]] = False
    return kept
