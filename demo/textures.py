"""Scalar fields that give backgrounds and objects their surface.

Every field is ``(h, w)`` float32 in about ``[-1, 1]`` and is defined in units of the picture's side ``sqrt(W
* H)``, so that a scene looks the same at every size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

PATTERNS = ("stripes", "checks", "dots", "clouds")


def gradient(size_wh: tuple[int, int], angle: float) -> Field:
    """A linear ramp across the picture along ``angle`` (radians), from -1 to 1."""
    width, height = size_wh
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    reach = abs(np.cos(angle)) + abs(np.sin(angle))
    return np.asarray((np.cos(angle) * x + np.sin(angle) * y) / reach, dtype=np.float32)


def clouds(rng: np.random.Generator, size_wh: tuple[int, int], cells: float) -> Field:
    """Smooth random noise (value noise): a random grid with about ``cells`` knots per side, interpolated."""
    width, height = size_wh
    side = (width * height) ** 0.5
    columns = max(2, round(cells * width / side))
    rows = max(2, round(cells * height / side))
    grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    smooth = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32)


def pattern(
    rng: np.random.Generator, kind: str, size_wh: tuple[int, int], origin_xy: tuple[int, int], side: float
) -> Field:
    """A surface for one object.

    Args:
        rng: source of phase, angle and period.
        kind: one of ``PATTERNS``.
        size_wh: size in pixels of the wanted piece.
        origin_xy: picture pixel of its top left corner, so that the piece does not depend on how the object
            was cut.
        side: the picture's side in pixels.

    Raises:
        ValueError: if ``kind`` is not one of ``PATTERNS``.
    """
    if kind not in PATTERNS:
        raise ValueError(f"unknown pattern {kind!r}; known: {', '.join(PATTERNS)}")
    angle, period, seed = rng.uniform(0, np.pi), rng.uniform(0.035, 0.07), int(rng.integers(2**31))
    if kind == "clouds":
        return clouds(np.random.default_rng(seed), size_wh, cells=5)
    x = (np.arange(size_wh[0], dtype=np.float32)[None, :] + origin_xy[0]) / side
    y = (np.arange(size_wh[1], dtype=np.float32)[:, None] + origin_xy[1]) / side
    u = (np.cos(angle) * x + np.sin(angle) * y) * (2 * np.pi / period)
    v = (np.cos(angle) * y - np.sin(angle) * x) * (2 * np.pi / period)
    if kind == "stripes":
        wave = np.sin(u)
    elif kind == "checks":
        wave = np.sin(u) * np.sin(v) * 2
    else:
        wave = 2 * np.maximum(np.sin(u) * np.sin(v), 0) - 0.3
    return np.asarray(np.clip(wave, -1, 1), dtype=np.float32)
