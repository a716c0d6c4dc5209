"""Which masks of the objects that were followed into a frame are not believed: they are none, and not remembered.

The model follows every object by itself, and may lose one to another that looks like it: then two masks lie on one
place. As in SAM 3 (`_suppress_shrinked_masks` of its tracker) a mask is let go of which little is left when each pixel
belongs to the object with the highest logit there. Objects whose given masks lie on one another, as a helmet's and a
person's, may go on doing so.

So which objects are followed together can change a mask. The digest in its note does not say it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Tracked
from labeling.tracks import LEAST_SCORE, LEAST_SHARE

PRESENT = 0.5  # of the model's own estimate
CELLS = 256  # the longest side of what is kept of a given mask

Mask = NDArray[np.bool_]


class Belief:
    """Of one run."""

    def __init__(self, least_score: float = LEAST_SCORE) -> None:
        """
        Args:
            least_score: a mask of a lower score is not believed; 0 believes every mask, as `SAM2VideoPredictor` does.
        """
        self._least_score = least_score
        self._frame = -1
        self._given: dict[str, Mask] = {}  # on this frame
        self._apart: set[frozenset[str]] = set()
        self._together: set[frozenset[str]] = set()

    def give(self, frame: int, object_id: str, mask: Mask) -> None:
        """Learn from a given mask on which others its object may lie; those of one frame come one after the other.

        Args:
            frame: its number.
            object_id: the object.
            mask: ``(H, W)`` bool, of one size for all objects of the frame.
        """
        if frame != self._frame:
            self._frame, self._given = frame, {}
        cells = _cells(mask)
        for other, its in self._given.items():
            are_apart = min(_share_left(cells, its), _share_left(its, cells)) >= LEAST_SHARE
            (self._apart if are_apart else self._together).add(frozenset((object_id, other)))
        self._given[object_id] = cells

    def doubted(self, found: Mapping[str, Tracked]) -> set[str]:
        """Of the objects that the model takes for present in a frame, those whose masks are not believed.

        Args:
            found: what the model found of each object; logits of one shape.
        """
        present = {name: one for name, one in found.items() if one.presence > PRESENT}
        doubted = {name for name, one in present.items() if one.score < self._least_score}
        if self._least_score:
            doubted |= self._covered({name: one.logits for name, one in present.items() if name not in doubted})
        return doubted

    def _covered(self, logits: Mapping[str, NDArray[np.float32]]) -> set[str]:
        masks = {name: one > 0 for name, one in logits.items()}
        covered = set()
        for name, mask in masks.items():
            rivals = [one for one in masks if self._are_rivals(name, one) and (masks[one] & mask).any()]
            if rivals:
                highest = np.max([logits[one] for one in rivals], axis=0)
                if _share_left(mask, highest > logits[name]) < LEAST_SHARE:
                    covered.add(name)
        return covered

    def _are_rivals(self, one: str, other: str) -> bool:
        pair = frozenset((one, other))
        return pair in self._apart and pair not in self._together


def _share_left(mask: Mask, cover: Mask) -> float:
    """How much of a mask another leaves of it, 0 to 1."""
    area = np.count_nonzero(mask)
    return np.count_nonzero(mask & ~cover) / area if area else 1.0


def _cells(mask: Mask) -> Mask:
    """The mask in at most `CELLS` x `CELLS` cells, each set where any of its pixels is: no object is too small."""
    rows, columns = (np.unique(np.arange(min(CELLS, side)) * side // min(CELLS, side)) for side in mask.shape)
    return np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), columns, axis=1)
