"""Drawn pairs: a scene as a colour camera and as a thermal one see it, through a known transform."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (320, 240)
Matrix = NDArray[np.float64]


def similarity(degrees: float, scale: float, shift_xy: tuple[float, float], size_wh: tuple[int, int] = SIZE) -> Matrix:
    """Turned and scaled at the middle, then shifted."""
    x, y = ((side - 1) / 2 for side in size_wh)
    a, b = scale * np.cos(np.deg2rad(degrees)), scale * np.sin(np.deg2rad(degrees))
    return np.array([[a, -b, x + shift_xy[0] - a * x + b * y], [b, a, y + shift_xy[1] - b * x - a * y], [0, 0, 1]])


def draw_pair(folder: Path, name: str, seed: int, matrix: Matrix, size_wh: tuple[int, int] = SIZE) -> None:
    """8-bit colour and 16-bit thermal: the same edges, other contrasts, noise, a few things in one of them only."""
    random = np.random.default_rng(seed)
    width, height = size_wh
    rgb = np.full((height, width, 3), random.integers(60, 200, 3), np.float32)
    warm = np.full((height, width), 29000.0, np.float32)
    for number in range(40):
        centre = (int(random.integers(0, width)), int(random.integers(0, height)))
        axes = (int(random.integers(5, 40)), int(random.integers(5, 40)))
        turn = float(random.integers(0, 180))
        if number % 8 != 7:  # seen by the colour camera
            cv2.ellipse(rgb, centre, axes, turn, 0, 360, [float(one) for one in random.integers(0, 256, 3)], -1)
        if number % 8 != 6:  # seen by the thermal one
            cv2.ellipse(warm, centre, axes, turn, 0, 360, float(random.integers(28000, 30000)), -1)
    noisy = cv2.GaussianBlur(rgb, (0, 0), 0.8) + random.normal(0, 4, rgb.shape)
    seen = cv2.warpPerspective(cv2.GaussianBlur(warm, (0, 0), 1.2), matrix, size_wh, flags=cv2.INTER_CUBIC)
    seen = np.where(seen < 20000, 29000, seen) + random.normal(0, 30, seen.shape)
    for side, pixels in (("rgb", np.clip(noisy, 0, 255).astype(np.uint8)), ("thermal", seen.astype(np.uint16))):
        (folder / side).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / side / f"{name}.png")
