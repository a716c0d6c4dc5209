"""A mask or a picture on the twin: where a transform puts it, and how much of a mask the twin does not show."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.arrays import Mask

Matrix = NDArray[np.float64]  # (3, 3)
Size = tuple[int, int]  # width and height

FINER = 4  # a mask that becomes smaller is drawn so many times larger at most, and then counted by pixel


def carried(mask: Mask, matrix: Matrix, size_wh: Size) -> Mask:
    """The mask as the twin has it: a pixel is in it where the mask covers at least half.

    Args:
        mask: ``(H, W)`` bool of the first picture.
        matrix: its pixels to those of the twin; the centre of the first pixel is (0, 0).
        size_wh: of the twin.

    Returns:
        ``(H, W)`` bool; what lies outside is cut off.
    """
    return np.asarray(drawn_on(mask.astype(np.float32), matrix, size_wh) >= 0.5)


def drawn_on(values: NDArray[np.float32], matrix: Matrix, size_wh: Size) -> NDArray[np.float32]:
    """A picture as its twin has it: linear between pixels, the mean of several where the twin is smaller.

    Args:
        values: ``(H, W)`` or ``(H, W, C)`` of the first picture.
        matrix, size_wh: as of `carried`.

    Returns:
        ``(H, W)`` or ``(H, W, C)`` of the twin; 0 beside the first picture.
    """
    width, height = size_wh
    finer = _finer(matrix, (values.shape[1], values.shape[0]))
    inner = np.array([[finer, 0, (finer - 1) / 2], [0, finer, (finer - 1) / 2], [0, 0, 1]]) @ matrix
    drawn = cv2.warpPerspective(values, inner, (width * finer, height * finer), flags=cv2.INTER_LINEAR)
    if finer > 1:
        drawn = cv2.resize(drawn, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(drawn, dtype=np.float32)


def share_outside(mask: Mask, matrix: Matrix, size_wh: Size) -> float:
    """How much of a mask lies beyond the twin's border: a share of its pixels, in ``[0, 1]``; 1 of an empty one."""
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return 1.0
    x, y, below = matrix @ np.stack([columns, rows, np.ones(rows.size)])
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = x / below, y / below
    inside = (below > 0) & (x >= -0.5) & (x < size_wh[0] - 0.5) & (y >= -0.5) & (y < size_wh[1] - 0.5)
    return 1 - float(inside.mean())


def _finer(matrix: Matrix, size_wh: Size) -> int:
    """How many times smaller the twin shows things in the middle of the picture, as a whole number."""
    x, y = size_wh[0] / 2, size_wh[1] / 2
    places = matrix @ np.array([[x, x + 1, x], [y, y, y + 1], [1, 1, 1]])
    middle, right, down = (places[:2] / places[2]).T
    scale = float(np.sqrt(abs(np.linalg.det(np.stack([right - middle, down - middle])))))
    return int(np.clip(np.ceil(1 / max(scale, 1 / FINER)), 1, FINER))
