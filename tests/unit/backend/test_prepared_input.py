"""What the encoder gets of a picture: the same in bands as at once, in the memory of a band."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from backend import picture
from backend.engines.inputs import MEAN, STD, prepared
from backend.picture import ArrayPicture, Box


def at_once(pixels: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """As `SAM2Transforms` does it."""
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().div_(255)
    square = functional.interpolate(image, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return np.asarray(((square - mean) / std)[0].numpy())


@pytest.mark.parametrize(
    "size_wh", [(1, 1), (1, 700), (700, 1), (64, 64), (63, 65), (640, 480), (333, 7), (50, 401), (130, 1000)]
)
def test_bands_give_what_the_whole_gives(size_wh: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)
    for band in (1, 64 * 5, 1 << 20):
        monkeypatch.setattr(picture, "BAND_PIXELS", band)
        found = prepared(ArrayPicture(pixels), 64)
        assert found.size_wh == size_wh
        np.testing.assert_allclose(found.values, at_once(pixels, 64), atol=2e-6)


@dataclass
class Endless:
    """A picture that is there only where it is read."""

    size_wh: tuple[int, int]
    largest: int = field(default=0)

    def piece(self, box_xyxy: Box) -> NDArray[np.uint8]:
        left, top, right, bottom = box_xyxy
        self.largest = max(self.largest, (right - left) * (bottom - top))
        return np.full((bottom - top, right - left, 3), 7, dtype=np.uint8)


@pytest.mark.parametrize("size_wh", [(1, 65_535), (65_535, 1), (65_535, 64), (64, 65_535)])
def test_a_strip_takes_no_more_than_a_photo(size_wh: tuple[int, int]) -> None:
    """One pixel wide, and stretched to the square in width first: it took 800 MB at the model's own thread."""
    strip = Endless(size_wh)
    tracemalloc.start()
    try:
        found = prepared(strip, 1024)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert strip.largest <= picture.BAND_PIXELS
    assert peak < 80 << 20  # the square is 12.6 MB
    assert np.ptp(found.values[0]) < 1e-5
