"""Random masks with holes and parts."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import strategies as st

from masks.arrays import Mask

__all__ = ["Mask", "objects", "speckled"]


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
