from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.geometry import strokes
from backend.geometry.strokes import Touch, sample
from masks.rle import decode_rle, encode_rle


def drawn(*lines: list[tuple[int, int]], size_wh: tuple[int, int] = (300, 200), width: int = 9) -> NDArray[np.bool_]:
    canvas = np.zeros(size_wh[::-1], dtype=np.uint8)
    for line in lines:
        cv2.polylines(canvas, [np.asarray(line, dtype=np.int32)], False, 1, width)
    return canvas > 0


def lies_on(mask: NDArray[np.bool_], points: NDArray[np.float64]) -> bool:
    columns, rows = np.floor(points).astype(int).T
    return bool(mask[rows, columns].all())


def touch(*points: tuple[float, float], width: float = 4, erases: bool = False) -> Touch:
    return Touch(np.asarray(points, dtype=np.float64), width, erases)


def test_a_line_gets_points_at_even_distances_along_its_middle() -> None:
    points = sample(drawn([(20, 50), (280, 50)]), gap=8)
    assert len(points) == 5
    np.testing.assert_allclose(points[:, 1], 50.5)
    np.testing.assert_allclose(np.diff(points[:, 0]), 51, atol=4)
    assert points[0, 0] > 35  # not at the very end


def test_a_ring_gets_points_around_it() -> None:
    mask = np.zeros((200, 200), dtype=np.uint8)
    cv2.circle(mask, (100, 100), 80, 1, 9)
    points = sample(mask > 0, gap=8)
    assert len(points) == 5
    assert lies_on(mask > 0, points)
    angles = np.sort(np.arctan2(*(points - 100.5).T))
    assert np.diff(angles, append=angles[0] + 2 * np.pi).max() < np.deg2rad(110)
    assert np.abs(np.hypot(*(points - 100.5).T) - 80).max() < 4


def test_a_blob_gets_points_well_inside() -> None:
    mask = np.zeros((200, 200), dtype=np.uint8)
    cv2.circle(mask, (100, 100), 60, 1, -1)
    points = sample(mask > 0, gap=8)
    assert 3 <= len(points) <= 5
    assert np.hypot(*(points - 100.5).T).max() < 40


def test_separate_lines_get_their_share() -> None:
    mask = drawn([(10, 20), (290, 20)], [(10, 150), (80, 150)])
    rows = sample(mask, gap=8)[:, 1]
    assert (rows < 100).sum() > (rows > 100).sum() >= 1


def test_a_thin_line_beside_a_thick_one_counts() -> None:
    mask = drawn([(10, 40), (290, 40)], width=31) | drawn([(10, 150), (290, 150)], width=5)
    rows = sample(mask, gap=8)[:, 1]
    assert (rows > 100).any()
    assert (rows < 100).any()


def test_specks_do_not_count() -> None:
    mask = drawn([(20, 50), (280, 50)])
    mask[190, 5] = True
    assert sample(mask, gap=8)[:, 1].max() < 60


def test_small_things() -> None:
    mask = np.zeros((4, 7), dtype=bool)
    assert sample(mask).shape == (0, 2)
    mask[2, 5] = True
    np.testing.assert_array_equal(sample(mask), [[5.5, 2.5]])
    dot = drawn([(100, 100), (100, 100)], width=11)
    assert len(sample(dot, gap=8)) == 1


def test_a_line_of_one_pixel_in_a_large_image() -> None:
    mask = drawn([(100, 100), (2000, 1900), (2900, 200)], size_wh=(3000, 2000), width=1)
    points = sample(mask, gap=15)
    assert len(points) == 5
    assert lies_on(mask, points)


masks = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(0, 39), st.integers(0, 29), st.integers(1, 9)),
    min_size=1,
    max_size=5,
)


@given(masks, st.integers(1, 3))
def test_points_lie_on_the_stroke_and_are_always_the_same(
    lines: list[tuple[int, int, int, int, int]], enlarged: int
) -> None:
    mask = np.zeros((30, 40), dtype=bool)
    for x0, y0, x1, y1, width in lines:
        mask |= drawn([(x0, y0), (x1, y1)], size_wh=(40, 30), width=width)
    mask = np.kron(mask, np.ones((enlarged, enlarged), dtype=bool))
    points = sample(mask, gap=2)
    assert 1 <= len(points) <= strokes.MAX_POINTS
    assert lies_on(mask, points)
    assert len(np.unique(points, axis=0)) == len(points)
    np.testing.assert_array_equal(points, sample(mask.copy(), gap=2))


def test_where_a_mask_lies_in_memory_does_not_matter() -> None:
    """The last bits of OpenCV's distances depend on it: half of these placements gave other points."""
    mask = drawn([(17, 0), (27, 10)], size_wh=(40, 30), width=9) | drawn([(22, 9), (0, 1)], size_wh=(40, 30), width=9)
    mask[0, 0] = True
    mask = np.kron(mask, np.ones((2, 2), dtype=bool))
    others, found = [], []
    for size in range(1, 3000, 7):
        others.append(np.empty(size, dtype=np.uint8))  # moves what is allocated next
        found.append(sample(mask.copy(), gap=2))
    for points in found:
        np.testing.assert_array_equal(points, found[0])


@given(masks)
def test_a_stroke_survives_label_studios_code(lines: list[tuple[int, int, int, int, int]]) -> None:
    mask = np.zeros((30, 40), dtype=bool)
    for x0, y0, x1, y1, width in lines:
        mask |= drawn([(x0, y0), (x1, y1)], size_wh=(40, 30), width=width)
    np.testing.assert_array_equal(
        strokes.of_mask(decode_rle(encode_rle(mask), (40, 30))).points(2), strokes.of_mask(mask).points(2)
    )


def test_touches_are_drawn_where_the_editor_draws_them() -> None:
    """Percent of width and height, the line's width in percent of the image's width, round ends."""
    stroke = strokes.of_touches([touch((10, 50), (90, 50), width=5)], (400, 200))
    whole = np.zeros((200, 400), dtype=bool)
    left, top = (int(value) for value in stroke.origin_xy)
    height, width = stroke.mask.shape
    whole[top : top + height, left : left + width] = stroke.mask
    assert stroke.scale == 1
    assert whole[100, 40:360].all()
    assert np.flatnonzero(whole[:, 200]).tolist() == pytest.approx(list(range(90, 111)), abs=1)
    assert np.flatnonzero(whole.any(axis=0))[[0, -1]] == pytest.approx([30, 370], abs=2)
    assert stroke.covers == pytest.approx(340 * 20 / 80_000, rel=0.1)


def test_erased_parts_are_gone_and_parts_outside_are_cut() -> None:
    stroke = strokes.of_touches([touch((-50, 50), (150, 50)), touch((50, 0), (50, 100), erases=True)], (400, 200))
    assert stroke.distance(np.asarray([100.0, 100]), 8) == 0
    assert stroke.distance(np.asarray([200.0, 100]), 3) is None
    points = stroke.points(8)
    assert ((points >= 0) & (points <= 100)).all()
    assert not (np.abs(points[:, 0] - 50) < 2).any()


def test_touches_outside_the_image_and_nothing_but_an_eraser() -> None:
    for touches in ([touch((200, 200), (300, 300))], [touch((50, 50), erases=True)], []):
        stroke = strokes.of_touches(touches, (400, 200))
        assert stroke.covers == 0
        assert len(stroke.points(8)) == 0


def test_long_stroke_in_large_image_is_measured_in_image_pixels() -> None:
    """A long stroke in a large image is drawn smaller and measured in the image's pixels."""
    stroke = strokes.of_touches([touch((10, 10), (90, 10), width=1)], (8000, 6000))
    assert max(stroke.mask.shape) <= strokes.DRAWN_SIDE
    assert stroke.scale < 1
    assert stroke.covers == pytest.approx(6480 * 80 / 48_000_000, rel=0.15)
    assert stroke.distance(np.asarray([4000.0, 600]), 40) == 0
    assert stroke.distance(np.asarray([4000.0, 670]), 40) == pytest.approx(30, abs=10)
    np.testing.assert_allclose(stroke.points(40)[:, 1], 10, atol=0.3)


def test_what_was_brushed_since_the_mask_was_saved_counts() -> None:
    saved = drawn([(20, 50), (100, 50)], size_wh=(400, 200))
    stroke = strokes.of_mask(saved, [touch((50, 80), (90, 80)), touch((0, 25), (100, 25), width=5, erases=True)])
    assert stroke.distance(np.asarray([60.0, 50]), 3) is None
    assert stroke.distance(np.asarray([280.0, 160]), 3) == 0
    assert saved[50, 60]  # the caller's mask is untouched


@given(st.floats(-50, 450), st.floats(-50, 250), st.floats(1, 40))
def test_distance_is_that_to_the_nearest_pixel(x: float, y: float, limit: float) -> None:
    mask = drawn([(50, 30), (350, 170)], size_wh=(400, 200))
    rows, columns = np.nonzero(mask)
    expected = np.hypot(
        np.maximum(0, np.abs(columns + 0.5 - x) - 0.5), np.maximum(0, np.abs(rows + 0.5 - y) - 0.5)
    ).min()
    found = strokes.of_mask(mask).distance(np.asarray([x, y]), limit)
    if expected <= limit:
        assert found == pytest.approx(expected)
    else:
        assert found is None
