"""Where the objects of a drawn scene stand, in units of the picture's side ``sqrt(W * H)``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo import shapes

RADIUS = (0.10, 0.23)
STRIP_RADIUS = (0.26, 0.34)
GRID = 72
MIN_VISIBLE = 0.75
MIN_AREA = 0.010
TRIES = 30


@dataclass(frozen=True)
class Placed:
    """One shape in its place: ``points`` ``(N, 2)`` float64, columns ``x, y``, in units of the picture's
    side."""

    points: shapes.Points
    kind: str


def place(rng: np.random.Generator, kinds: list[str], size_wh: tuple[int, int], *, overlap: bool) -> list[Placed]:
    """Find a place for each shape, in order; later ones may hide part of earlier ones where ``overlap`` is
    set.

    Every placed shape keeps ``MIN_VISIBLE`` of its area in sight and covers at least ``MIN_AREA`` of the
    picture. A shape for which no room is found in ``TRIES`` tries ends the list; the first one is always
    placed.
    """
    side = (size_wh[0] * size_wh[1]) ** 0.5
    extent = np.array(size_wh) / side
    grid_wh = (max(8, round(GRID * extent[0])), max(8, round(GRID * extent[1])))
    placed: list[Placed] = []
    full: list[int] = []
    visible: list[NDArray[np.bool_]] = []
    for index, kind in enumerate(kinds):
        for _ in range(TRIES):
            # crowded scenes need smaller shapes, or the last one would hardly ever find room
            shrink = 1.0 if index < 2 else 0.8
            item = _candidate(rng, kind, extent, shrink, near=placed if overlap else [])
            mask = shapes.rasterise(item.points * GRID, grid_wh, supersample=2).placed(grid_wh)
            rest = [earlier & ~mask for earlier in visible]
            if mask.sum() < MIN_AREA * mask.size:
                continue
            if overlap or kinds[0] == "strip":
                fits = all(part.sum() >= MIN_VISIBLE * area for part, area in zip(rest, full, strict=True))
            else:
                fits = not any((earlier & _grown(mask)).any() for earlier in visible)
            if fits or not placed:
                break
        else:
            break
        placed.append(item)
        full.append(int(mask.sum()))
        visible = [*rest, mask]
    return placed


def _candidate(
    rng: np.random.Generator, kind: str, extent: NDArray[np.float64], shrink: float, near: list[Placed]
) -> Placed:
    low, high = STRIP_RADIUS if kind == "strip" else RADIUS
    radius = rng.uniform(low, low + (high - low) * shrink)
    points = shapes.outline(rng, kind) * radius
    half = np.abs(points).max(axis=0)
    room = np.maximum(extent / 2 - half * 0.95, 0.0)
    centre = extent / 2 + rng.uniform(-1, 1, 2) * room
    if near and rng.random() < 0.7:  # lean on an earlier shape, so that something is really hidden
        target = near[int(rng.integers(len(near)))].points
        angle, gap = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.7, 1.2)
        reach = gap + 0.6 * float(np.ptp(target, axis=0).min()) / 2
        centre = target.mean(axis=0) + reach * np.array([np.cos(angle), np.sin(angle)])
        centre = np.clip(centre, extent / 2 - room, extent / 2 + room)
    return Placed(points + centre, kind)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its neighbours in a 5x5 window: the gap kept between shapes that must not touch."""
    padded = np.pad(mask, 2)
    height, width = mask.shape
    grown = np.zeros_like(mask)
    for dy in range(5):
        for dx in range(5):
            grown |= padded[dy : dy + height, dx : dx + width]
    return grown
