"""From the model's candidates to one mask in the size that the browser shows."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Candidates

LARGE_PIXELS = 1 << 24  # above it a mask is enlarged in bands: at once it would be there as floating point too
BAND_PIXELS = 1 << 20
# Cells beside the object that still matter: one that interpolation reaches, one that the piece's own edge spoils.
MARGIN_CELLS = 2
SURE = 10.0  # the logit of a cell that lies wholly in a given mask: what SAM 2 itself makes of masks that it is given


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
    if size[0] * size[1] > LARGE_PIXELS:
        mask = np.zeros((size_wh[1], size_wh[0]), dtype=np.bool_)
        _enlarge_in_bands(logits[rows, columns], mask[down, across])
        return mask
    piece = (cv2.resize(logits[rows, columns], size, interpolation=cv2.INTER_LINEAR) > 0).view(np.uint8)
    # Written once, by one call: at 12 megapixels touching fresh memory twice costs more than the enlargement.
    borders = (down.start, size_wh[1] - down.stop, across.start, size_wh[0] - across.stop)
    return np.asarray(cv2.copyMakeBorder(piece, *borders, cv2.BORDER_CONSTANT, value=0)).view(np.bool_)


def as_logits(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """A mask as the model's own low resolution has it, to start from: the other way round of `full_size`.

    Args:
        mask: ``(H, W)`` bool, of the whole piece that the model sees.
        side: of the logits.

    Returns:
        ``(side, side)`` float32 in ``[-SURE, SURE]``: 0 where half of a cell is covered.
    """
    smaller = mask.shape[0] > side and mask.shape[1] > side
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    share = cv2.resize(mask.astype(np.float32), (side, side), interpolation=way)
    return np.asarray((2 * share - 1) * SURE, dtype=np.float32)


def _enlarge_in_bands(logits: NDArray[np.float32], into: NDArray[np.bool_]) -> None:
    """The same for a part of a large mask: in width at once, where it has few rows, and in height row by row."""
    height, width = into.shape
    wide = cv2.resize(logits, (width, logits.shape[0]), interpolation=cv2.INTER_LINEAR)
    middle = np.clip((np.arange(height) + 0.5) * (logits.shape[0] / height) - 0.5, 0, logits.shape[0] - 1)
    above = middle.astype(np.intp)
    below = np.minimum(above + 1, logits.shape[0] - 1)
    share = (middle - above).astype(np.float32)[:, None]
    rows = max(1, BAND_PIXELS // width)
    for start in range(0, height, rows):
        band = slice(start, start + rows)
        into[band] = wide[above[band]] * (1 - share[band]) + wide[below[band]] * share[band] > 0


def object_share(logits: NDArray[np.float32]) -> float:
    """How much of the image the upright box around the object takes, 0 to 1."""
    _, _, wide, high = cv2.boundingRect((logits > 0).view(np.uint8))
    return float(wide * high) / logits.size


def _piece(first: int, end: int, cells: int, pixels: int) -> tuple[slice, slice]:
    """The cells to enlarge along one axis, and the pixels they become.

    Both ends lie where a border between cells is also one between pixels, so that the piece is enlarged by exactly the
    factor of the whole. Where there is no such border inside, the piece is the whole.
    """
    step = cells // math.gcd(cells, pixels)
    start = max(0, (first - MARGIN_CELLS) // step * step)
    stop = min(cells, -(-(end + MARGIN_CELLS) // step) * step)
    return slice(start, stop), slice(start * pixels // cells, stop * pixels // cells)
