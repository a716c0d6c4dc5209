"""A mask as rings along its pixels' edges, exactly; and rings joined to one polygon for formats that take only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.arrays import Mask, Ring

Corners = NDArray[np.int64]
NEAREST = 256


@dataclass(frozen=True)
class Part:
    """One connected part of a mask. The outline runs clockwise on the screen, holes the other way round."""

    outline: Ring
    holes: tuple[Ring, ...]


def parts_of(mask: Mask, inset: float = 0.0, *, diagonal: bool = False) -> list[Part]:
    """Trace a mask, the part with the topmost and then leftmost pixel first.

    Args:
        mask: ``(H, W)`` bool.
        inset: how far edges are moved into the mask, in pixels, below 0.5. With a little inset a reader that cuts
            coordinates to whole pixels and draws edges (OpenCV's `fillPoly`) and one that asks for pixel centres both
            get the mask back.
        diagonal: pixels that touch at a corner only are one part, and a gap between them does not open a hole;
            else they are two parts, and the gap joins the hole to the outside.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return []
    padded = np.pad(mask[top : top + height, left : left + width], 1)
    _, components = cv2.connectedComponents(padded.view(np.uint8), connectivity=8 if diagonal else 4)
    outlines: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for corners in _rings(padded, diagonal):
        # The first corner is the ring's topmost and then leftmost: the part lies below its outline, and above a hole.
        (x, y), is_outline = corners[0], bool(corners[1, 1] == corners[0, 1])
        component = int(components[y + is_outline, x + 1])
        ring = _moved(np.roll(corners, -1, axis=0) if is_outline else corners, inset) + np.asarray([left, top])
        if is_outline:
            outlines[component] = ring
        else:
            holes.setdefault(component, []).append(ring)
    return [Part(outline, tuple(holes.get(component, ()))) for component, outline in outlines.items()]


def joined(parts: Sequence[Part]) -> Ring:
    """All parts and holes as one polygon: each hangs on a bridge of no width that is walked there and back.

    Filling by the even-odd and by the non-zero rule leaves the holes open. A reader that draws edges draws the bridge
    between two parts too, one pixel wide.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("an empty mask has no outline")
    rings = sorted((bridged(part.outline, part.holes) for part in parts), key=len, reverse=True)
    return bridged(rings[0], rings[1:])


def simplified(ring: Ring, tolerance: float) -> Ring:
    """Leave out corners within `tolerance` pixels of the line between those that stay; at least three stay."""
    if not tolerance:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.float32).reshape(-1, 1, 2), tolerance, closed=True).reshape(-1, 2)
    return np.asarray(fewer, dtype=np.float64) if len(fewer) >= 3 else ring


def bridged(ring: Ring, others: Sequence[Ring]) -> Ring:
    """Walk around each of `others` from the corner that is near to it, and come back.

    Bridges may cross, they enclose nothing. The first others may hang on each other, so that bridges are short; the
    many of a speckled mask hang on what is there then, which takes seconds less.
    """
    for other in others[:NEAREST]:
        ring = _inserted(ring, [other])
    return _inserted(ring, others[NEAREST:])


def _inserted(ring: Ring, others: Sequence[Ring]) -> Ring:
    walks: dict[int, list[Ring]] = {}
    for other in others:
        at = int(np.argmin(((ring - other[0]) ** 2).sum(axis=1)))
        of = int(np.argmin(((other - ring[at]) ** 2).sum(axis=1)))
        walks.setdefault(at, []).append(np.concatenate([other[of:], other[: of + 1], ring[at : at + 1]]))
    pieces, last = [], 0
    for at in sorted(walks):
        pieces += [ring[last : at + 1], *walks[at]]
        last = at + 1
    return np.concatenate([*pieces, ring[last:]])


def _rings(padded: Mask, diagonal: bool) -> list[Corners]:
    """The corners of every ring, from its topmost and then leftmost one, with the mask on the right hand.

    Along a row, and along a column, corners come in pairs: each pair is one edge. So every corner has one neighbour
    to the side and one above or below, and where two pixels touch diagonally there are two corners in one place.

    Args:
        padded: ``(H + 2, W + 2)`` bool, all False at the border.

    Returns:
        ``(N, 2)`` x and y on the grid of the H + 1 by W + 1 pixel corners; in order of the first corner.
    """
    northwest, northeast, southwest, southeast = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    is_twice = (northwest == southeast) & (northeast == southwest) & (northwest != northeast)
    y, x = np.nonzero((northwest ^ northeast ^ southwest ^ southeast) | is_twice)
    y, x = (np.repeat(one, 1 + is_twice[y, x]) for one in (y, x))
    second = np.zeros(y.size, dtype=np.bool_)
    second[1:] = (y[1:] == y[:-1]) & (x[1:] == x[:-1])
    # Of two corners in one place the first has the edge to its left and the second the edge to its right. Which of
    # them has the edge upwards: the one whose pixel it is, or else the one of the other pixel.
    second_has_up = (northwest[y, x] == diagonal) & is_twice[y, x]
    down_later = np.where(second_has_up, ~second, second)
    beside, across = np.empty(y.size, dtype=np.int64), np.empty(y.size, dtype=np.int64)
    beside[0::2], beside[1::2] = np.arange(1, y.size, 2), np.arange(0, y.size, 2)
    order = np.lexsort((down_later, y, x))
    across[order[0::2]], across[order[1::2]] = order[1::2], order[0::2]
    # With the mask on the right hand, an edge is walked to the right where the mask is below it. From a corner
    # that has no way on along its row the ring goes up or down.
    at = np.arange(y.size)
    goes_right = southeast[y, x][np.minimum(at, beside)]
    goes_beside = goes_right == (at < beside)
    ahead = np.where(goes_beside, beside, across).tolist()
    places, walked, rings = np.stack([x, y], axis=1), bytearray(y.size), []
    for first in range(y.size):
        if walked[first]:
            continue
        ring, corner = [], first
        while not walked[corner]:
            walked[corner] = 1
            ring.append(corner)
            corner = ahead[corner]
        rings.append(places[ring])
    return rings


def _moved(corners: Corners, inset: float) -> Ring:
    """Move each edge to its right hand, where the mask is. Edges at a corner are at a right angle: the moves add up."""
    if not inset:
        return corners.astype(np.float64)
    ahead = np.sign(np.roll(corners, -1, axis=0) - corners)
    behind = np.roll(ahead, 1, axis=0)
    right = np.stack([-(ahead + behind)[:, 1], (ahead + behind)[:, 0]], axis=1)
    return np.asarray(corners + inset * right)
