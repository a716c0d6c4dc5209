"""A mask as polygons: exact pixel edges, simplified by a tolerance, holes on zero-width bridges."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.arrays import Mask, Points, Ring
from masks.outlines import bridged, parts_of

MOST_PARTS = 64
MOST_HOLES = 256
STRAIGHT = 0.2  # sine of the angle under which two edges have no usable crossing


def polygons(mask: Mask, tolerance: float) -> list[Ring]:
    """One ring for each part of a mask, the largest first.

    Parts and holes that lie within the tolerance of their own centre are left out, the largest part never. At most the
    64 largest parts and the 256 largest holes: what a speckled mask has more would bring the editor down.

    Args:
        mask: ``(H, W)`` bool.
        tolerance: how far a ring may be from the mask's edge, in pixels.

    Returns:
        Rings ``(N, 2)`` float64, N >= 3, x and y in pixels from the image's corner (the first pixel reaches from 0 to
        1), not closed by a repeated point. A hole runs the other way round and hangs on a bridge that is walked
        there and back, so filling by the even-odd and by the non-zero rule both leave it open.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return []
    kept = _without_dust(mask[top : top + height, left : left + width], 2 * tolerance)
    limit = np.asarray([width, height], dtype=np.float64)
    rings = []
    for part in sorted(parts_of(kept, diagonal=True), key=lambda one: -_area(one.outline)):
        # From the topmost and then leftmost corner downwards, as OpenCV's own contours run: what is simplified depends
        # on where it begins.
        ring = _oriented(_simplified(part.outline[::-1], tolerance, limit), clockwise=True)
        rings_of_holes = (np.roll(hole[::-1], 1, axis=0) for hole in part.holes)
        holes = [_oriented(_simplified(hole, tolerance, limit), clockwise=False) for hole in rings_of_holes]
        rings.append(bridged(ring, holes) + np.asarray([left, top]))
    return rings


def _without_dust(mask: NDArray[np.bool_], side: float) -> NDArray[np.bool_]:
    """Leave out parts, and fill holes, of which both sides are this short, and those beyond the limits."""
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if number > 2:
        mask = _largest(np.asarray(stats), side, MOST_PARTS, spare_first=True)[labels]
    number, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    if number > 1:
        open_background = _largest(np.asarray(stats), side, MOST_HOLES, spare_first=False)
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            open_background[edge] = True
        open_background[0] = False
        mask = ~open_background[labels]
    return mask


def _largest(stats: NDArray[Any], side: float, limit: int, *, spare_first: bool) -> NDArray[np.bool_]:
    """Which components are among so many largest and longer than this; 0 is never one of them."""
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = -1
    long = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) > side
    order = np.argsort(-areas, kind="stable")[:limit]
    chosen = np.zeros(len(areas), dtype=np.bool_)
    chosen[order] = long[order]
    chosen[order[0]] |= spare_first
    chosen[0] = False
    return chosen


def _simplified(outline: Ring, tolerance: float, limit: Points) -> Ring:
    """Ramer, Douglas and Peucker, then every edge moved to halve what it cuts off and what it adds.

    Simplifying takes points of the outline, so chords of a round shape all lie inside it, and a polygon would be small
    by up to the tolerance. The exact area between the outline and each chord says how far the edge has to move out.
    """
    epsilon, corners = tolerance, outline.astype(np.int32)
    while True:
        # Halved until a thin part is not folded into a line; at 0 all corners are left, and these are 4 or more.
        simple = np.asarray(cv2.approxPolyDP(corners, epsilon, closed=True), dtype=np.float64).reshape(-1, 2)
        if len(simple) >= 3 and _area(simple):
            return _balanced(outline, simple, tolerance, limit)
        epsilon = epsilon / 2 if epsilon > 0.1 else 0.0


def _balanced(outline: Ring, simple: Ring, tolerance: float, limit: Points) -> Ring:
    indices = _places(outline, simple)
    if indices is None:
        return simple
    points, vertices = outline - outline[0], simple - outline[0]
    summed = np.concatenate([[0.0], np.cumsum(_cross(points, np.roll(points, -1, axis=0)))])
    until = np.roll(indices, -1)
    along_outline = summed[until] - summed[indices] + np.where(until <= indices, summed[-1], 0.0)
    ahead = np.roll(vertices, -1, axis=0)
    edges = ahead - vertices
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    if not lengths.all():
        return simple
    # Twice the signed area between outline and chord; an edge moved by d along its normal adds length * d.
    shifts = np.clip((along_outline - _cross(vertices, ahead)) / 2 / lengths, -tolerance, tolerance)
    normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1) / lengths[:, None]
    before, shifts_before = np.roll(normals, 1, axis=0), np.roll(shifts, 1)
    # The new vertex is where the two moved edges cross; where they are nearly one line, between their moves.
    sine = _cross(before, normals)
    has_crossing = np.abs(sine) > STRAIGHT
    across = np.stack([normals[:, 1], -normals[:, 0]], axis=1) * shifts_before[:, None]
    across += np.stack([-before[:, 1], before[:, 0]], axis=1) * shifts[:, None]
    middle = (before * shifts_before[:, None] + normals * shifts[:, None]) / 2
    moves = np.where(has_crossing[:, None], across / np.where(has_crossing, sine, 1.0)[:, None], middle)
    far = np.hypot(moves[:, 0], moves[:, 1])
    moves *= np.minimum(1.0, tolerance / np.maximum(far, 1e-9))[:, None]
    return np.asarray(np.clip(simple + moves, 0.0, limit))


def _places(outline: Ring, simple: Ring) -> NDArray[np.int64] | None:
    """Where the points of a simplified outline lie in it; None when a place is visited twice and the order is lost."""
    visits: dict[tuple[float, float], list[int]] = {}
    for index, (x, y) in enumerate(outline.tolist()):
        visits.setdefault((x, y), []).append(index)
    start, last, found = visits[tuple(simple[0].tolist())][0], -1, []
    for x, y in simple.tolist():
        later = [step for index in visits[(x, y)] if (step := (index - start) % len(outline)) > last]
        if not later:
            return None
        last = min(later)
        found.append((last + start) % len(outline))
    return np.asarray(found, dtype=np.int64)


def _cross(a: Ring, b: Ring) -> NDArray[np.float64]:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _area(ring: Ring) -> float:
    """Signed; positive is clockwise on the screen, where y points down."""
    shifted = ring - ring[0]
    return float(_cross(shifted, np.roll(shifted, -1, axis=0)).sum() / 2)


def _oriented(ring: Ring, *, clockwise: bool) -> Ring:
    return ring if (_area(ring) > 0) == clockwise else ring[::-1]
