"""Holes, parts and edges of a mask that is there."""

from __future__ import annotations

import numpy as np
import pytest

from masks.arrays import Mask
from masks.editing import MOST_PARTS, parts, smoothed, without_holes


def empty(height: int = 60, width: int = 80) -> Mask:
    return np.zeros((height, width), dtype=np.bool_)


def test_holes_are_filled_and_bays_are_not() -> None:
    mask = empty()
    mask[10:40, 10:40] = True
    mask[20:24, 20:24] = False  # a hole of 16 pixels
    mask[30:35, 20:30] = False  # one of 50
    mask[10:20, 12:14] = False  # open to the outside
    filled = without_holes(mask)
    wanted = mask.copy()
    wanted[20:24, 20:24] = wanted[30:35, 20:30] = True
    assert np.array_equal(filled, wanted)
    wanted[30:35, 20:30] = False
    assert np.array_equal(without_holes(mask, 16), wanted)
    assert without_holes(wanted, 3) is wanted


def test_what_lies_at_the_images_edge_is_no_hole() -> None:
    mask = empty()
    mask[:20, :20] = True
    mask[:5, 5:10] = False
    assert without_holes(mask) is mask
    assert not without_holes(empty()).any()
    assert without_holes(~empty()).all()


def test_parts_come_one_by_one_the_largest_first() -> None:
    mask = empty()
    mask[5:10, 5:10] = True
    mask[10:12, 10:12] = True  # touches by a corner
    mask[30:50, 30:60] = True
    large, small = parts(mask)
    assert (large.sum(), small.sum()) == (600, 29)
    assert np.array_equal(large | small, mask)
    assert parts(empty()) == []


def test_a_mask_of_dust_is_not_taken_apart() -> None:
    mask = empty()
    mask[:10:2, :52:4] = True
    assert mask.sum() == MOST_PARTS + 1
    with pytest.raises(ValueError, match="it has 65 parts, and 64 are the most"):
        parts(mask)


def test_smoothing_takes_hairs_and_steps_and_leaves_the_place() -> None:
    mask = empty()
    mask[15:45, 20:60] = True
    rough = mask.copy()
    rough[14, 20:60:4] = True  # teeth
    rough[30, 60:75] = True  # a hair
    smooth = smoothed(rough, 2)
    assert not smooth[30, 64:].any()
    inner = np.logical_xor(smooth, mask)
    assert inner.sum() < 0.02 * mask.sum()
    assert smooth[16:44, 22:58].all()


def test_smoothing_does_not_eat_at_the_images_edge() -> None:
    mask = empty()
    mask[:, :40] = True
    assert np.array_equal(smoothed(mask, 3), mask)
    thin = empty()
    thin[30] = True
    assert not smoothed(thin, 3).any()
