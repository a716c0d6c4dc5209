"""Polygons as pixels: a pixel belongs to a polygon when its centre does."""

from __future__ import annotations

import numpy as np

from masks.arrays import Mask, Points


def filled(points_xy: Points, size_wh: tuple[int, int]) -> Mask:
    """Fill a polygon by the non-zero rule, as a browser's canvas does.

    Args:
        points_xy: ``(N, 2)``, N >= 3, not closed by a repeated point; may lie outside the image.
        size_wh: width and height of the image.

    Returns:
        ``(H, W)`` bool.
    """
    width, height = size_wh
    ahead = np.roll(points_xy, -1, axis=0)
    # Each edge is walked from its upper end: a bridge there and back then cancels out to the last bit.
    is_down = (points_xy[:, 1] < ahead[:, 1])[:, None]
    x0, y0 = np.where(is_down, points_xy, ahead).T
    x1, y1 = np.where(is_down, ahead, points_xy).T
    # Rows whose centre lies between the ends, the lower end exclusive: a corner is then counted once.
    first = np.clip(np.ceil(y0 - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(y1 - 0.5), 0, height).astype(np.int64)
    edge = np.repeat(np.arange(len(points_xy)), last - first)
    rows = np.arange(edge.size) - np.repeat(np.cumsum(last - first) - last, last - first)
    crossing = x0[edge] + (rows + 0.5 - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
    columns = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    winding = np.zeros(height * (width + 1), dtype=np.int32)
    np.add.at(winding, rows * (width + 1) + columns, np.where(is_down[:, 0], 1, -1)[edge])
    lines = winding.reshape(height, width + 1)
    return np.asarray(np.cumsum(lines, axis=1, out=lines)[:, :width] != 0)
