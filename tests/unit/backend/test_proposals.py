"""Proposals for all objects: which masks are good, and which show the same thing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.geometry.proposals import (
    Proposal,
    good_ones,
    grid_points,
    least_stability,
    points_a_side,
    stability,
    without_duplicates,
)
from backend.segmenter import Candidates
from backend.serving.everything import LARGEST_BATCH, next_size

CELLS = 256


def square(left: int, top: int, side: int, height: float = 8.0) -> NDArray[np.float32]:
    logits = np.full((CELLS, CELLS), -height, dtype=np.float32)
    logits[top : top + side, left : left + side] = height
    return logits


def proposal(left: int, top: int, side: int, score: float) -> Proposal:
    return Proposal(square(left, top, side).astype(np.float16), score)


def test_grid_has_a_point_in_the_middle_of_each_rectangle() -> None:
    assert grid_points(2, (40, 20)).tolist() == [[10, 5], [30, 5], [10, 15], [30, 15]]
    assert [points_a_side(cells) for cells in (256, 48, 2)] == [32, 16, 1]


def test_stability_is_the_share_that_no_cut_changes() -> None:
    soft = square(0, 0, 20)
    soft[20:30, :20] = 0.5  # above the lower cut only
    assert stability(np.stack([square(0, 0, 20), soft, np.full((CELLS, CELLS), -9, np.float32)])).tolist() == [
        1.0,
        pytest.approx(20 / 30),
        0.0,
    ]


def test_a_coarse_model_has_a_wider_band() -> None:
    assert least_stability(256) == pytest.approx(0.95)
    assert least_stability(128) == pytest.approx(0.90)


def test_only_sure_and_stable_masks_are_proposed() -> None:
    unstable = square(0, 0, 20)
    unstable[20:30, :20] = 0.5
    everything = np.full((CELLS, CELLS), 8, dtype=np.float32)
    nothing = -everything
    logits = np.stack([square(5, 5, 20), square(90, 5, 20), unstable, everything, nothing])
    found = good_ones([Candidates(logits, np.asarray([0.9, 0.79, 0.9, 0.9, 0.9], np.float32))])
    assert [one.score for one in found] == [pytest.approx(0.9)]
    assert np.array_equal(found[0].logits > 0, square(5, 5, 20) > 0)


def test_of_masks_of_one_object_the_best_stays() -> None:
    same, shifted = proposal(10, 10, 40, 0.85), proposal(12, 10, 40, 0.95)
    part, beside = proposal(10, 10, 20, 0.9), proposal(120, 120, 40, 0.81)
    assert without_duplicates([same, shifted, part, beside]) == [shifted, part, beside]
    assert without_duplicates([]) == []


def test_a_batch_grows_until_it_takes_its_time() -> None:
    """A click waits behind one batch: on a slow machine it has one point, on a fast one 64."""
    size, sizes = 4, []
    for _ in range(8):
        sizes.append(size := next_size(size, 0.001 * size))
    assert sizes == [8, 16, 32, 64, 64, 64, 64, 64]
    assert LARGEST_BATCH == 64
    assert [next_size(size, 0.2) for size in (64, 2, 1)] == [32, 1, 1]
    assert next_size(8, 0.08) == 8
