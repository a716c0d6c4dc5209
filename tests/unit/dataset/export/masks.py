"""Random masks with holes and parts, and the readers of each format as its own field has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@st.composite
def speckled(draw: st.DrawFn) -> Mask:
    """Any pixels at all: parts that touch at corners, holes in holes, lines of one pixel, never empty."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.asarray(bits).reshape(height, width)
    mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return mask


@st.composite
def objects(draw: st.DrawFn) -> Mask:
    """Ellipses with holes and parts on an image of usual shape, some over its edge."""
    width, height = draw(st.integers(80, 200)), draw(st.integers(60, 160))
    mask = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(1, 3))):
        centre = (draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1)))
        axes = (draw(st.integers(14, 50)), draw(st.integers(14, 50)))
        cv2.ellipse(mask, centre, axes, draw(st.integers(0, 179)), 0, 360, 1, -1)
        if draw(st.booleans()):
            cv2.circle(mask, centre, draw(st.integers(2, 8)), 0, -1)
    mask[height // 2, width // 2] = 1
    return mask.astype(bool)


def iou(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


def read_yolo(path: Path, size_wh: tuple[int, int]) -> list[tuple[int, Mask]]:
    """As ultralytics reads and rasterises: `polygon2mask` cuts to whole pixels, then fillPoly."""
    width, height = size_wh
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        numbers = line.split()
        points = np.asarray(numbers[1:], dtype=np.float32).reshape(-1, 2)
        assert len(points) >= 3
        assert (points >= 0).all()
        assert (points <= 1).all()
        pixels = points * np.asarray([width, height], dtype=np.float32)
        mask = np.zeros((height, width), dtype=np.uint8)
        cv2.fillPoly(mask, np.asarray([pixels], dtype=np.int32), color=(1,))
        found.append((int(numbers[0]), mask.astype(bool)))
    return found
