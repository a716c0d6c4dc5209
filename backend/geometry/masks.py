"""From the model's candidates to one mask in the size that the browser shows."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Candidates

# Cells beside the object that still matter: one that interpolation reaches, one that the piece's own edge spoils.
MARGIN_CELLS = 2


def best(candidates: Candidates, rank: int = 0) -> tuple[NDArray[np.float32], float]:
    """The candidate that the model trusts most, still at low resolution, and its predicted IoU.

    Choosing first means that only one mask is ever enlarged.

    Args:
        rank: 1 for the one that it trusts second most, and so on; after the last comes the first.
    """
    order = np.argsort(-candidates.iou, kind="stable")
    index = int(order[rank % len(order)])
    return candidates.logits[index], float(candidates.iou[index])


def full_size(logits: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Enlarge ``(h, w)`` logits to the image and cut at 0.

    Bilinear with half-pixel centres, as `torch.nn.functional.interpolate(align_corners=False)`. Only the piece around
    the object is enlarged: between cells that are 0 or less nothing rises above 0.

    Returns:
        ``(H, W)`` bool, True on the object.
    """
    if logits.ndim != 2:
        raise ValueError(f"logits: expected shape (h, w), got {logits.shape}")
    above = (logits > 0).view(np.uint8)
    left, top, wide, high = cv2.boundingRect(above)
    if not wide:
        return np.zeros((size_wh[1], size_wh[0]), dtype=np.bool_)
    columns, across = _piece(left, left + wide, logits.shape[1], size_wh[0])
    rows, down = _piece(top, top + high, logits.shape[0], size_wh[1])
    size = (across.stop - across.start, down.stop - down.start)
    piece = (cv2.resize(logits[rows, columns], size, interpolation=cv2.INTER_LINEAR) > 0).view(np.uint8)
    # Written once, by one call: at 12 megapixels touching fresh memory twice costs more than the enlargement.
    borders = (down.start, size_wh[1] - down.stop, across.start, size_wh[0] - across.stop)
    return np.asarray(cv2.copyMakeBorder(piece, *borders, cv2.BORDER_CONSTANT, value=0)).view(np.bool_)


def _piece(first: int, end: int, cells: int, pixels: int) -> tuple[slice, slice]:
    """The cells to enlarge along one axis, and the pixels they become.

    Both ends lie where a border between cells is also one between pixels, so that the piece is enlarged by exactly the
    factor of the whole. Where there is no such border inside, the piece is the whole.
    """
    step = cells // math.gcd(cells, pixels)
    start = max(0, (first - MARGIN_CELLS) // step * step)
    stop = min(cells, -(-(end + MARGIN_CELLS) // step) * step)
    return slice(start, stop), slice(start * pixels // cells, stop * pixels // cells)
