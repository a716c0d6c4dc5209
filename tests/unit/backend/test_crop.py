from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from backend.geometry import masks
from backend.geometry.crop import CELL, CONTEXT, LARGEST_ZOOM, SMALL_CELLS, Crop, choose_crop, first_point, object_box
from backend.segmenter import Prompts

LARGE_WH = (6000, 4000)
SIDE = 1024
PIECE = Crop((1000, 600, 1400, 1000), (4000, 3000))


def prompts(*points: tuple[float, float, bool], box: tuple[float, ...] | None = None) -> Prompts:
    return Prompts(
        np.asarray([point[:2] for point in points], dtype=np.float32).reshape(-1, 2),
        np.asarray([point[2] for point in points], dtype=np.bool_),
        None if box is None else np.asarray(box, dtype=np.float32),
    )


def around(x: float, y: float, width: float, height: float) -> NDArray[np.float32]:
    return np.asarray([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dtype=np.float32)


def test_a_small_box_gets_a_piece_and_a_large_one_does_not() -> None:
    limit = SMALL_CELLS * CELL / SIDE * LARGE_WH[0]
    small = choose_crop(LARGE_WH, prompts(box=(3000, 2000, 3000 + limit - 1, 2050)), None, SIDE)
    assert small is not None
    assert choose_crop(LARGE_WH, prompts(box=(3000, 2000, 3000 + limit + 1, 2050)), None, SIDE) is None


def test_each_axis_counts_against_its_own_length() -> None:
    """The image is stretched to a square: 150 pixels are more of the height than of the width."""
    narrow = (8000, 1500)
    limit = SMALL_CELLS * CELL / SIDE
    assert choose_crop(narrow, prompts(box=(100, 100, 100 + limit * 8000 - 1, 110)), None, SIDE) is not None
    assert choose_crop(narrow, prompts(box=(100, 100, 110, 100 + limit * 1500 + 1)), None, SIDE) is None


def test_a_piece_that_would_show_hardly_more_is_not_worth_it() -> None:
    assert choose_crop((300, 280), prompts(box=(10, 10, 14, 14)), None, SIDE) is None


def test_the_piece_is_never_enlarged_beyond_what_the_image_holds() -> None:
    piece = choose_crop(LARGE_WH, prompts(box=(3000, 2000, 3003, 2003)), None, SIDE)
    assert piece is not None
    assert piece.size_wh == (SIDE / LARGEST_ZOOM, SIDE / LARGEST_ZOOM)


def test_points_need_to_know_where_the_object_lies() -> None:
    point = prompts((3000, 2000, True))
    assert choose_crop(LARGE_WH, point, around(3000, 2000, 2000, 1000), SIDE) is None
    piece = choose_crop(LARGE_WH, point, around(3000, 2000, 90, 60), SIDE)
    assert piece is not None
    assert piece.size_wh[0] >= 90 * CONTEXT


def test_a_box_counts_more_than_what_was_found() -> None:
    asked = prompts((3010, 2010, True), box=(3000, 2000, 3060, 2040))
    assert choose_crop(LARGE_WH, asked, around(3000, 2000, 5000, 3000), SIDE) is not None


def test_only_negative_points_get_no_piece() -> None:
    assert choose_crop(LARGE_WH, prompts((3000, 2000, False)), None, SIDE) is None


@pytest.mark.parametrize("corner_xy", list(itertools.product((0, 5950), (0, 3950))))
def test_at_the_image_edge_the_piece_moves_inside(corner_xy: tuple[float, float]) -> None:
    x, y = corner_xy
    piece = choose_crop(LARGE_WH, prompts(box=(x, y, x + 50, y + 50)), None, SIDE)
    assert piece is not None
    left, top, right, bottom = piece.box_xyxy
    assert left <= x
    assert right >= x + 50
    assert top <= y
    assert bottom >= y + 50
    assert piece.size_wh[0] == piece.size_wh[1]


def test_an_image_lower_than_the_piece_gives_its_whole_height() -> None:
    piece = choose_crop((20_000, 200), prompts(box=(9000, 90, 9060, 96)), None, SIDE)
    assert piece is not None
    assert piece.size_wh == (256, 200)


def test_further_clicks_find_the_same_piece() -> None:
    found = around(3000, 2000, 60, 40)
    first = choose_crop(LARGE_WH, prompts((3000, 2000, True)), found, SIDE)
    second = choose_crop(LARGE_WH, prompts((3000, 2000, True), (3012, 2008, True), (3050, 2040, False)), found, SIDE)
    assert first is not None
    assert second is not None
    assert first.key == second.key == f"crop-{first.box_xyxy[0]}-{first.box_xyxy[1]}-{first.size_wh[0]}x256"


def test_different_pieces_have_different_keys() -> None:
    boxes = [(100, 100, 300, 300), (100, 100, 300, 400), (100, 200, 300, 400), (200, 100, 300, 300)]
    assert len({Crop(box, LARGE_WH).key for box in boxes}) == 4


extents = st.tuples(
    st.integers(1, 9000), st.integers(1, 9000), st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 1),
    st.floats(0.001, 1),
)  # fmt: skip


@given(extents, st.sampled_from([192, 1024]))
def test_every_piece_holds_the_object_with_context(extent: tuple[float, ...], side: int) -> None:
    width, height, x, y, wide, high = extent
    low = np.asarray([x * width, y * height], dtype=np.float32)
    high_xy = np.minimum(low + np.asarray([wide * width, high * height], dtype=np.float32), [width, height])
    box = np.concatenate([low, high_xy]).astype(np.float32)
    size_wh = (int(width), int(height))
    piece = choose_crop(size_wh, prompts(box=tuple(box)), None, side)
    if piece is None:
        return
    left, top, right, bottom = piece.box_xyxy
    # Half a context on each side less half a step of the grid, or up to the image's edge.
    room = float((box[2:] - box[:2]).max()) * 0.5
    assert left == 0 or left <= box[0] - room
    assert top == 0 or top <= box[1] - room
    assert right == width or right >= box[2] + room
    assert bottom == height or bottom >= box[3] + room
    inside = piece.prompts(prompts(box=tuple(box))) if (box[2:] > box[:2]).all() else None
    if inside is not None and inside.box_xyxy is not None:
        np.testing.assert_allclose(inside.box_xyxy + np.tile([left, top], 2), box, atol=0.01)


def test_prompts_move_into_the_piece() -> None:
    moved = PIECE.prompts(prompts((1100, 700, True), (1200.5, 800, False), (50, 50, False), box=(1050, 650, 1300, 900)))
    np.testing.assert_allclose(moved.points_xy, [[100, 100], [200.5, 200]])  # type: ignore[arg-type]  # a far negative point excludes nothing
    assert moved.is_positive.tolist() == [True, False]
    np.testing.assert_allclose(moved.box_xyxy, [50, 50, 300, 300])  # type: ignore[arg-type]
    assert moved.points_xy.dtype == np.float32
    assert moved.mask_logits is None


def test_a_box_is_cut_at_the_edge_of_the_piece() -> None:
    np.testing.assert_allclose(PIECE.prompts(prompts(box=(900, 500, 1100, 700))).box_xyxy, [0, 0, 100, 100])  # type: ignore[arg-type]


def test_prompts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^points_xy: a positive point lies outside the piece"):
        PIECE.prompts(prompts((999, 700, True)))
    with pytest.raises(ValueError, match=r"^box_xyxy: .* lies outside the piece"):
        PIECE.prompts(prompts(box=(0, 0, 900, 500)))
    with pytest.raises(ValueError, match=r"^box_xyxy: expected a box inside \(100, 50\), got \(0, 0, 101, 50\)$"):
        Crop((0, 0, 101, 50), (100, 50))


def test_a_mask_of_the_whole_image_is_resampled() -> None:
    """A plane is resampled exactly by bilinear interpolation, so its value tells the place."""
    width, height = PIECE.image_wh
    xs = (np.arange(256) + 0.5) / 256 * width
    ys = (np.arange(256) + 0.5) / 256 * height
    plane = (xs[None, :] + 10 * ys[:, None]).astype(np.float32)
    asked = prompts((1100, 700, True))
    moved = PIECE.prompts(Prompts(asked.points_xy, asked.is_positive, mask_logits=plane)).mask_logits
    assert moved is not None
    inside_x = 1000 + (np.arange(256) + 0.5) / 256 * 400
    inside_y = 600 + (np.arange(256) + 0.5) / 256 * 400
    # OpenCV interpolates in steps of 1/32 of a cell.
    np.testing.assert_allclose(moved, inside_x[None, :] + 10 * inside_y[:, None], atol=(width + 10 * height) / 256 / 32)


def test_pixels_are_the_piece_and_a_copy() -> None:
    image = np.arange(40 * 60 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 60, 3)
    piece = Crop((10, 5, 30, 25), (60, 40))
    cut = piece.pixels(image)
    np.testing.assert_array_equal(cut, image[5:25, 10:30])
    assert not np.shares_memory(cut, image)
    with pytest.raises(ValueError, match=r"^image: expected \(60, 40\), got \(40, 60\)$"):
        piece.pixels(image.transpose(1, 0, 2))


def test_a_mask_is_put_back_where_it_belongs() -> None:
    logits = np.full((64, 64), -4.0, dtype=np.float32)
    logits[16:32, 8:48] = 4.0
    mask = PIECE.paste(logits, PIECE.image_wh)
    assert mask.shape == (3000, 4000)
    np.testing.assert_array_equal(mask[600:1000, 1000:1400], masks.full_size(logits, (400, 400)))
    mask[600:1000, 1000:1400] = False
    assert not mask.any()


def test_the_browser_may_show_another_size() -> None:
    whole = PIECE.paste(np.ones((64, 64), dtype=np.float32), (1000, 750))
    rows, columns = np.nonzero(whole)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (250, 150, 350, 250)
    assert not PIECE.paste(np.ones((64, 64), dtype=np.float32), (1, 1)).any()


def test_a_mask_that_reaches_an_inner_edge_is_told() -> None:
    at_corner = Crop((0, 0, 400, 400), (4000, 3000))
    for edge, inner in ((np.s_[:, 0], False), (np.s_[0, :], False), (np.s_[:, -1], True), (np.s_[-1, :], True)):
        logits = np.full((64, 64), -4.0, dtype=np.float32)
        assert not PIECE.cuts(logits)
        logits[edge] = 4.0
        assert PIECE.cuts(logits)
        # The corners of these edges touch an inner one too.
        logits[[0, 0, -1, -1], [0, -1, 0, -1]] = -4.0
        assert at_corner.cuts(logits) is inner


def test_first_point_is_the_first_positive_one() -> None:
    lone = first_point(prompts((1, 1, False), (2, 2, True), (3, 3, True), box=(0, 0, 9, 9)))
    np.testing.assert_allclose(lone.points_xy, [[2, 2]])
    assert lone.is_lone_point
    assert lone.is_positive.all()
    with pytest.raises(ValueError, match=r"^prompts: expected a positive point, got none$"):
        first_point(prompts((1, 1, False)))


def test_the_object_is_the_part_under_the_point() -> None:
    logits = np.full((50, 100), -4.0, dtype=np.float32)
    logits[10:20, 10:30] = 4.0
    logits[40:45, 80:90] = 4.0
    size_wh = (1000, 1000)
    for x, y, expected in (
        (150, 300, (100, 200, 300, 400)),
        (850, 850, (800, 800, 900, 900)),
        (700, 850, (800, 800, 900, 900)),  # beside it
    ):
        np.testing.assert_allclose(object_box(logits, size_wh, np.asarray([x, y], dtype=np.float32)), expected)


@pytest.mark.parametrize(
    ("point", "cell"), [((0, 0), (0, 0, 10, 20)), ((1000, 1000), (990, 980, 1000, 1000)), ((55, 55), (50, 40, 60, 60))]
)
def test_nothing_found_is_one_cell(point: tuple[float, float], cell: tuple[float, ...]) -> None:
    logits = np.full((50, 100), -4.0, dtype=np.float32)
    np.testing.assert_allclose(object_box(logits, (1000, 1000), np.asarray(point, dtype=np.float32)), cell)
