"""What is measured on masks. numpy is imported where it is used: commands that never see a mask import this too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from masks.arrays import Mask

SAME_OBJECT = 0.5  # IoU of a redrawn mask with the one that it takes the place of


def box_xywh(mask: Mask) -> tuple[int, int, int, int] | None:
    """The upright box around a mask: left, top, width, height in whole pixels; None for an empty mask."""
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def intersection_over_union(first: Mask, second: Mask) -> float:
    """IoU of two masks of one shape, in ``[0, 1]``; two empty masks agree (1).

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"masks of shape {first.shape} and {second.shape} cannot be compared")
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def same_object(mask: Mask, offers: Iterable[tuple[str, Mask]]) -> str | None:
    """The name of the mask that this one takes the place of; None where it overlaps none of its shape enough."""
    overlaps = [(intersection_over_union(mask, other), name) for name, other in offers if other.shape == mask.shape]
    best = max(overlaps, default=(0.0, ""))
    return best[1] if best[0] >= SAME_OBJECT else None
