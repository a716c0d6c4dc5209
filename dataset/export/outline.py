"""A mask as polygons that follow its pixels' edges exactly, and all of it as one polygon for formats that want one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Ring = NDArray[np.float64]
NEAREST = 256


@dataclass(frozen=True)
class Part:
    """One connected part of a mask. Rings are ``(N, 2)`` pixels, not closed by a repeated point.

    The outline runs clockwise on the screen, holes the other way round. Pixels that touch at a corner only are two
    parts; such gaps join a hole to the outside.
    """

    outline: Ring
    holes: tuple[Ring, ...]


def parts_of(mask: Mask, inset: float = 0.0) -> list[Part]:
    """Trace a mask, the part with the topmost and then leftmost pixel first.

    Args:
        mask: ``(H, W)`` bool.
        inset: how far edges are moved into the mask, in pixels, below 0.5. With a little inset a reader that cuts
            coordinates to whole pixels and draws edges (OpenCV's `fillPoly`) and one that asks for pixel centres both
            get the mask back.
    """
    _, components = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    outlines: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for corners, (row, column) in _rings(mask):
        ring = _moved(corners, inset)
        component = int(components[row, column])
        if _doubled_area(corners) > 0:
            outlines[component] = ring
        else:
            holes.setdefault(component, []).append(ring)
    return [Part(outline, tuple(holes.get(component, ()))) for component, outline in outlines.items()]


def joined(parts: list[Part]) -> Ring:
    """All parts and holes as one polygon: each hangs on a bridge of no width that is walked there and back.

    Filling by the even-odd and by the non-zero rule leaves the holes open. A reader that draws edges draws the bridge
    between two parts too, one pixel wide.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("an empty mask has no outline")
    rings = sorted((_hung(part.outline, list(part.holes)) for part in parts), key=len, reverse=True)
    return _hung(rings[0], rings[1:])


def simplified(ring: Ring, tolerance: float) -> Ring:
    """Leave out corners within `tolerance` pixels of the line between those that stay; at least three stay."""
    if not tolerance:
        return ring
    fewer = cv2.approxPolyDP(ring.astype(np.float32).reshape(-1, 1, 2), tolerance, closed=True).reshape(-1, 2)
    return np.asarray(fewer, dtype=np.float64) if len(fewer) >= 3 else ring


def _hung(ring: Ring, others: list[Ring]) -> Ring:
    """Walk around each of `others` from the corner that is near to it, and come back.

    The first ones may hang on each other, so that bridges are short; the many of a speckled mask hang on what is there
    then, which takes seconds less.
    """
    for other in others[:NEAREST]:
        ring = _inserted(ring, [other])
    return _inserted(ring, others[NEAREST:])


def _inserted(ring: Ring, others: list[Ring]) -> Ring:
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


def _rings(mask: Mask) -> list[tuple[NDArray[np.int64], tuple[int, int]]]:
    """The corners of every ring on the grid of pixel corners, with one pixel (row, column) of the mask beside it.

    Every edge between a pixel of the mask and another is walked with the mask on the right hand; where two pixels touch
    at a corner, the way turns right and stays at its own pixel.
    """
    padded = np.pad(mask, 1)
    height, width = mask.shape
    step = width + 1  # a corner (x, y) has the number y * step + x
    starts, ends, headings, pixels = [], [], [], []
    # heading 0 right, 1 down, 2 left, 3 up; the pixel on the right hand lies at (row, column)
    for heading, (drow, dcol), start_xy, end_xy in (
        (0, (-1, 0), (0, 0), (1, 0)),
        (1, (0, 1), (1, 0), (1, 1)),
        (2, (1, 0), (1, 1), (0, 1)),
        (3, (0, -1), (0, 1), (0, 0)),
    ):
        beside = padded[1 + drow : 1 + drow + height, 1 + dcol : 1 + dcol + width]
        rows, columns = np.nonzero(mask & ~beside)
        starts.append((rows + start_xy[1]) * step + columns + start_xy[0])
        ends.append((rows + end_xy[1]) * step + columns + end_xy[0])
        headings.append(np.full(rows.size, heading))
        pixels.append(rows * width + columns)
    return _walked(*(np.concatenate(one) for one in (starts, ends, headings, pixels)), step=step, width=width)


def _walked(
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    headings: NDArray[np.int64],
    pixels: NDArray[np.int64],
    *,
    step: int,
    width: int,
) -> list[tuple[NDArray[np.int64], tuple[int, int]]]:
    leaving: dict[int, list[int]] = {}
    for edge, start in enumerate(starts.tolist()):
        leaving.setdefault(start, []).append(edge)
    heading_of, end_of = headings.tolist(), ends.tolist()
    order = np.lexsort((headings, pixels)).tolist()
    walked = bytearray(len(order))
    rings = []
    for first in order:
        if walked[first]:
            continue
        edge, corners = first, []
        while not walked[edge]:
            walked[edge] = 1
            heading, choices = heading_of[edge], leaving[end_of[edge]]
            right = (heading + 1) % 4
            following = choices[0]
            if len(choices) == 2 and heading_of[following] != right:
                following = choices[1]
            if heading_of[following] != heading:
                corners.append(end_of[edge])
            edge = following
        numbers = np.asarray(corners)
        row, column = divmod(int(pixels[first]), width)
        rings.append((np.stack([numbers % step, numbers // step], axis=1), (row, column)))
    return rings


def _moved(corners: NDArray[np.int64], inset: float) -> Ring:
    """Move each edge to its right hand, where the mask is. Edges at a corner are at a right angle: the moves add up."""
    if not inset:
        return corners.astype(np.float64)
    ahead = np.sign(np.roll(corners, -1, axis=0) - corners)
    behind = np.roll(ahead, 1, axis=0)
    right = np.stack([-(ahead + behind)[:, 1], (ahead + behind)[:, 0]], axis=1)
    return np.asarray(corners + inset * right)


def _doubled_area(ring: NDArray[np.int64]) -> int:
    """Positive for a ring that runs clockwise on the screen."""
    ahead = np.roll(ring, -1, axis=0)
    return int((ring[:, 0] * ahead[:, 1] - ring[:, 1] * ahead[:, 0]).sum())
