"""J, F, and what is counted of tracks."""

from __future__ import annotations

import numpy as np
import pytest

from tools.quality.region_and_contour import Mask, contour, contour_accuracy, j_and_f, region_similarity
from tools.quality.tracking import WAYS, Track, departures, figures


def square(left: int, top: int, side: int = 20) -> Mask:
    mask = np.zeros((60, 80), bool)
    mask[top : top + side, left : left + side] = True
    return mask


NOTHING = np.zeros((60, 80), bool)


def test_same_masks_agree() -> None:
    assert region_similarity(square(10, 10), square(10, 10)) == 1
    assert contour_accuracy(square(10, 10), square(10, 10)) == 1
    assert j_and_f(NOTHING, NOTHING) == 1


@pytest.mark.parametrize("pair", [(NOTHING, square(10, 10)), (square(10, 10), NOTHING), (square(0, 0), square(50, 30))])
def test_nothing_in_common(pair: tuple[Mask, Mask]) -> None:
    assert j_and_f(*pair) == 0


def test_region_is_intersection_over_union() -> None:
    assert region_similarity(square(10, 10), square(20, 10)) == pytest.approx(200 / 600)


def test_contours_may_be_a_tolerance_apart() -> None:
    """0.8 % of the diagonal, rounded up: here one pixel. Two apart, only the edges along the way still agree."""
    assert contour_accuracy(square(11, 10), square(10, 10)) == 1
    assert 0.4 < contour_accuracy(square(12, 10), square(10, 10)) < 0.7
    assert contour_accuracy(square(10, 10, 20), square(16, 16, 8)) == 0


def test_contour_is_a_pixel_wide() -> None:
    edge = contour(square(10, 10))
    assert 70 < edge.sum() < 90
    assert not edge[15, 15]


def test_figures_are_means_and_shares() -> None:
    tracks = [
        Track("motion", dict.fromkeys(WAYS, 0.5), False, gone=0, gone_empty=0, left=0, left_empty=0),
        Track("alike", dict.fromkeys(WAYS, 1.0), True, gone=4, gone_empty=3, left=2, left_empty=1),
    ]
    found = figures(tracks)
    assert found["J&F"] == dict.fromkeys(WAYS, 0.75)
    assert found["by kind"]["alike"] == dict.fromkeys(WAYS, 1.0)
    assert (found["tracks"], found["swapped"]) == (2, 0.5)
    assert (found["frames gone"], found["empty when gone"]) == (4, 0.75)
    assert (found["departures"], found["empty after departure"]) == (2, 0.5)
    none = figures(tracks[:1])
    assert (none["empty when gone"], none["empty after departure"]) == (None, None)


@pytest.mark.parametrize(("empty", "expected"), [("", (0, 0)), ("yyy", (1, 1)), ("yyn yy", (2, 1)), ("n y n", (3, 1))])
def test_a_departure_is_frames_that_follow_on_each_other(empty: str, expected: tuple[int, int]) -> None:
    """A space is a frame on which it is there."""
    gone = [(frame, each == "y") for frame, each in enumerate(empty, 5) if each != " "]
    assert departures(gone) == expected
