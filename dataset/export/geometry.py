"""Shapes that Label Studio draws, as pixels: a pixel belongs to a shape when its centre does.

All coordinates are image pixels from the top left corner: the first pixel reaches from 0 to 1, its centre is 0.5.
Angles are degrees, clockwise on the screen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
ELLIPSE_CORNERS = 256
PIXEL_DECIMALS = 2  # of coordinates in exports, and of what counts as the same shape


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
    return np.asarray(np.cumsum(winding.reshape(height, width + 1), axis=1)[:, :width] != 0)


def rectangle_corners(x: float, y: float, width: float, height: float, degrees: float) -> Points:
    """The corners of a rectangle that is turned about its corner (x, y): ``(4, 2)``, in the order of drawing.

    Width and height are negative when it was drawn to the left or upwards.
    """
    angle = np.deg2rad(degrees)
    along = np.asarray([np.cos(angle), np.sin(angle)]) * width
    down = np.asarray([-np.sin(angle), np.cos(angle)]) * height
    return np.asarray([x, y]) + np.stack([np.zeros(2), along, along + down, down])


def ellipse_corners(x: float, y: float, radius_x: float, radius_y: float, degrees: float) -> Points:
    """An ellipse that is turned about its centre (x, y), as a polygon of 256 corners."""
    turn = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)
    angle = np.deg2rad(degrees)
    local = np.stack([radius_x * np.cos(turn), radius_y * np.sin(turn)], axis=1)
    spin = np.asarray([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(np.asarray([x, y]) + local @ spin)


def box_xywh(mask: Mask) -> tuple[int, int, int, int] | None:
    """The upright box around a mask: left, top, width, height in whole pixels; None for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1
