"""Percentiles of a picture in pieces are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from masks.stretching import Stretch, stretch_of


@pytest.mark.parametrize("count", [1, 2, 50, 51, 100, 101, 151, 1000, 5001])
def test_percentiles_are_those_of_numpy(count: int) -> None:
    grey = np.random.default_rng(count).normal(0, 1e4, count).astype(np.float32)
    low, high = np.percentile(grey, (1, 99), method="nearest").astype(float)
    if low == high:
        low, high = float(grey.min()), float(grey.max())
    assert stretch_of(lambda: np.array_split(grey, 3)) == Stretch(low, high)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([np.nan, np.inf], Stretch(0.0, 0.0)),
        ([-0.0, 0.0], Stretch(0.0, 0.0)),
        ([-3.4e38, np.nan, 3.4e38], Stretch(float(np.float32(-3.4e38)), float(np.float32(3.4e38)))),
        ([-1e-45, 1e-45], Stretch(float(np.float32(-1e-45)), float(np.float32(1e-45)))),
    ],
)
def test_odd_values(values: list[float], expected: Stretch) -> None:
    grey: NDArray[np.float32] = np.asarray(values, dtype=np.float32)
    assert stretch_of(lambda: [grey]) == expected
