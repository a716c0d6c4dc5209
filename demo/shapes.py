"""Outlines of the drawn objects and their anti-aliased rasters.

An outline is a closed polygon ``(N, 2)`` float64, columns ``x, y``, in units of the object's radius around
its centre: no point lies farther than about 1 from the origin. Placing one is ``centre_xy + radius *
outline``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Points = NDArray[np.float64]

KINDS = ("ellipse", "polygon", "star", "box", "ring", "blob", "strip")


@dataclass(frozen=True)
class Raster:
    """Coverage of one shape, cut to the part of the picture it touches.

    Attributes:
        coverage: ``(h, w)`` float32 in ``[0, 1]``: the share of each pixel that the shape covers.
        origin_xy: picture pixel of ``coverage[0, 0]``.
    """

    coverage: NDArray[np.float32]
    origin_xy: tuple[int, int]

    def placed(self, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """The shape as a mask of the whole picture, ``(H, W)`` bool: pixels covered by one half or more."""
        mask = np.zeros((size_wh[1], size_wh[0]), dtype=bool)
        (x, y), (h, w) = self.origin_xy, self.coverage.shape
        mask[y : y + h, x : x + w] = self.coverage >= 0.5
        return mask


def outline(rng: np.random.Generator, kind: str) -> Points:
    """One random outline of the given kind, turned by a random angle.

    Raises:
        ValueError: if ``kind`` is not one of ``KINDS``.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of shape {kind!r}; known: {', '.join(KINDS)}")
    turn = rng.uniform(0, 2 * np.pi)
    if kind == "ellipse":
        points = _circle(64) * [1.0, rng.uniform(0.55, 1.0)]
    elif kind == "polygon":
        corners = int(rng.integers(4, 7))
        angles = (np.arange(corners) + rng.uniform(-0.22, 0.22, corners)) * 2 * np.pi / corners
        points = _polar(angles, rng.uniform(0.85, 1.0, corners))
    elif kind == "star":
        tips = int(rng.integers(4, 8))
        radii = np.where(np.arange(2 * tips) % 2, rng.uniform(0.55, 0.7), 1.0)
        points = _polar(np.arange(2 * tips) * np.pi / tips, radii)
    elif kind == "box":
        points = _rounded_box(1.0, rng.uniform(0.5, 0.95), corner=rng.uniform(0.08, 0.3))
        turn = rng.uniform(-0.35, 0.35)
    elif kind == "ring":
        points = _open_ring(rng.uniform(0.42, 0.55), gap=rng.uniform(1.0, 1.9))
    elif kind == "blob":
        angles = np.arange(72) * 2 * np.pi / 72
        radii = np.ones(72)
        for wave in (2, 3, 5):
            radii += rng.uniform(0.05, 0.32 / wave**0.5) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
        points = _polar(angles, radii / radii.max())
    else:
        points = _rounded_box(1.0, rng.uniform(0.34, 0.45), corner=0.1)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ rotation, dtype=np.float64)


def rasterise(points_xy: Points, size_wh: tuple[int, int], *, supersample: int = 4, blur_px: float = 0.0) -> Raster:
    """Draw a polygon with soft edges.

    Args:
        points_xy: ``(N, 2)`` float, pixels of a picture of ``size_wh``; points outside it are cut off.
        size_wh: width and height of the picture in pixels.
        supersample: sub-pixels per pixel and axis behind the anti-aliasing.
        blur_px: standard deviation in pixels of an extra Gaussian blur of the edge; 0 for none.
    """
    width, height = size_wh
    margin = 1 + int(np.ceil(3 * blur_px))
    low = np.floor(points_xy.min(axis=0)).astype(int) - margin
    high = np.ceil(points_xy.max(axis=0)).astype(int) + margin
    x0, y0 = int(np.clip(low[0], 0, width)), int(np.clip(low[1], 0, height))
    x1, y1 = int(np.clip(high[0], x0, width)), int(np.clip(high[1], y0, height))
    if x1 == x0 or y1 == y0:
        return Raster(np.zeros((0, 0), dtype=np.float32), (0, 0))
    fine = Image.new("L", ((x1 - x0) * supersample, (y1 - y0) * supersample))
    corners = (points_xy - [x0, y0]) * supersample - 0.5
    ImageDraw.Draw(fine).polygon([(float(x), float(y)) for x, y in corners], fill=255)
    coarse = fine.reduce(supersample) if supersample > 1 else fine
    if blur_px > 0:
        coarse = coarse.filter(ImageFilter.GaussianBlur(blur_px))
    return Raster(np.asarray(coarse, dtype=np.float32) / np.float32(255), (x0, y0))


def _polar(angles: NDArray[np.floating], radii: NDArray[np.floating]) -> Points:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1).astype(np.float64)


def _circle(count: int) -> Points:
    return _polar(np.arange(count) * 2 * np.pi / count, np.ones(count))


def _rounded_box(half_width: float, half_height: float, corner: float) -> Points:
    """A box with rounded corners, scaled so that its corners touch the unit circle."""
    radius = corner * half_height * 2
    quarter = np.linspace(0, np.pi / 2, 8)
    arcs = []
    for step, (sign_x, sign_y) in enumerate([(1, 1), (-1, 1), (-1, -1), (1, -1)]):
        centre = np.array([sign_x * (half_width - radius), sign_y * (half_height - radius)])
        arcs.append(centre + radius * _polar(quarter + step * np.pi / 2, np.ones(8)))
    points = np.concatenate(arcs)
    return np.asarray(points / np.hypot(half_width, half_height), dtype=np.float64)


def _open_ring(inner: float, gap: float) -> Points:
    """A ring with an opening of ``gap`` radians, like the letter C."""
    angles = np.linspace(gap / 2, 2 * np.pi - gap / 2, 56)
    return np.concatenate([_polar(angles, np.ones(56)), _polar(angles[::-1], np.full(56, inner))])
