"""The shapes that Label Studio draws, as corners and as the boxes around them.

Coordinates are in one unit along both axes, mostly pixels. Angles are degrees, clockwise on the screen and in pixels,
not in percent: a turned shape keeps its form on an image that is not square (libs/editor, regions/RectRegion.jsx,
EllipseRegion.jsx).
"""

from __future__ import annotations

import numpy as np

from masks.arrays import Points

ELLIPSE_CORNERS = 256
LARGEST_NUMBER = 1e9  # of a coordinate; beyond it sums are no longer exact


def around(points_xy: Points) -> Points:
    """The upright box around ``(N, 2)`` points, N at least 1: ``(4,)`` left, top, right, bottom."""
    return np.concatenate([points_xy.min(axis=0), points_xy.max(axis=0)])


def polygon_corners(given: object) -> Points:
    """The corners of a polygon out of a list of pairs: ``(N, 2)`` float64, N at least 3.

    Raises:
        ValueError: it is not such a list.
    """
    try:
        points = np.asarray(given, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("a polygon must be a list of points, each two numbers") from None
    if points.size and (points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) <= LARGEST_NUMBER).all()):
        raise ValueError(f"a polygon must be a list of points, each two numbers up to {LARGEST_NUMBER:g}")
    if len(points) < 3:
        raise ValueError(f"a polygon needs at least three points, it has {len(points)}")
    return points


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


def ellipse_box(x: float, y: float, radius_x: float, radius_y: float, degrees: float) -> Points:
    """The upright box around an ellipse that is turned about its centre (x, y): ``(4,)`` xyxy.

    The half width is the largest x of (rx cos t cos a - ry sin t sin a), which is sqrt((rx cos a)^2 + (ry sin a)^2).
    """
    angle = np.deg2rad(degrees)
    half = np.asarray(
        [
            np.hypot(radius_x * np.cos(angle), radius_y * np.sin(angle)),
            np.hypot(radius_x * np.sin(angle), radius_y * np.cos(angle)),
        ]
    )
    centre = np.asarray([x, y])
    return np.concatenate([centre - half, centre + half])


def contains(box_xyxy: Points, points_xy: Points, margin: float = 0.0) -> bool:
    """Whether all ``(N, 2)`` points lie in the box, made larger by `margin` of its sides all around."""
    grown = np.asarray([-margin, margin])[:, None] * (box_xyxy[2:] - box_xyxy[:2]) + box_xyxy.reshape(2, 2)
    return bool(((points_xy >= grown[0]) & (points_xy <= grown[1])).all())
