"""The arrays of this package. Pixels count from the image's top left corner: the first one reaches from 0 to 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W), True on the object
Points = NDArray[np.float64]  # (N, 2), columns x and y
Ring = NDArray[np.float64]  # (N, 2) corners of a polygon, not closed by a repeated point

# As many as Pillow decodes at most, which is what no click and no browser's canvas goes beyond.
MOST_PIXELS = 178_956_970


def check_size(size_wh: tuple[int, int]) -> None:
    """Refuse a size that no image has, before memory for its pixels is asked for.

    Args:
        size_wh: width and height in pixels, from any file.

    Raises:
        ValueError: a side is not positive, or there are more than 178 956 970 pixels.
    """
    width, height = size_wh
    if min(width, height) < 1:
        raise ValueError(f"expected an image of at least one pixel, got {width}x{height}")
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width}x{height} pixels are more than an image has (at most {MOST_PIXELS})")
