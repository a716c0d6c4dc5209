"""A picture that is read piece by piece: what an engine needs of a large one is small, and all of it never is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
BAND_PIXELS = 1 << 20  # read at a time


class Picture(Protocol):
    """An upright picture."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""

    def piece(self, box_xyxy: Box) -> NDArray[np.uint8]:
        """``(h, w, 3)`` uint8, RGB: the pixels of a box in whole pixels; right and bottom exclusive."""


@dataclass(frozen=True)
class ArrayPicture:
    """Pixels that are there already: ``(H, W, 3)`` uint8, RGB, upright."""

    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"pixels: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def piece(self, box_xyxy: Box) -> NDArray[np.uint8]:
        """The pixels of a box; a view."""
        left, top, right, bottom = box_xyxy
        return self.pixels[top:bottom, left:right]


def bands(size_wh: tuple[int, int], widest: int = 1) -> Iterator[Box]:
    """Boxes over the full width from top to bottom, each of some 2^20 pixels.

    Args:
        size_wh: of the picture.
        widest: how wide a row becomes at least while it is worked on.
    """
    width, height = size_wh
    rows = max(1, BAND_PIXELS // max(width, widest))
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)
