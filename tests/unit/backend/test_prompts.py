from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadRequest
from backend.prompts import Click, read_click, to_pixels
from backend.protocol import ContextRegion
from backend.segmenter import Prompts
from tests.unit.backend.fakes import region

SIZE_WH = (200, 100)


def read(*regions: dict[str, object]) -> Click:
    return read_click([ContextRegion.model_validate(one) for one in regions])


def pixels(*regions: dict[str, object]) -> Prompts:
    return to_pixels(read(*regions), SIZE_WH)


def box(x: float, y: float, width: float, height: float, **more: Any) -> dict[str, object]:
    return region("rectanglelabels", x, y, width=width, height=height, **more)


@pytest.mark.parametrize(("given", "positive"), [(None, True), (True, True), (False, False)])
def test_point(given: bool | None, positive: bool) -> None:
    prompts = pixels(region("keypointlabels", 25, 50, positive=given))
    np.testing.assert_allclose(prompts.points_xy, [[50, 50]])
    assert prompts.points_xy.dtype == np.float32
    assert prompts.is_positive.tolist() == [positive]
    assert prompts.box_xyxy is None
    assert prompts.is_lone_point
    assert prompts.names_an_object is positive


def test_points_outside_are_moved_to_the_edge() -> None:
    prompts = pixels(region("keypoint", -5, 120, id="a"), region("keypoint", 100, 100, id="b"))
    np.testing.assert_allclose(prompts.points_xy, [[0, 100], [200, 100]])
    assert not prompts.is_lone_point


def test_split_tags_are_one_prompt_in_either_order() -> None:
    shape = region("keypoint", 25, 50, id="a", label=None)
    labels = region("labels", 25, 50, id="a", label="Boat")
    for entries in ((shape, labels), (labels, shape)):
        click = read(*entries)
        assert len(click.drawn) == 1
        assert (click.kind, click.label) == ("keypoint", "Boat")


def test_negative_sign_may_stand_on_either_entry() -> None:
    for first, second in (("keypoint", "labels"), ("labels", "keypoint")):
        click = read(region(first, 1, 1, id="a", positive=False), region(second, 1, 1, id="a"))
        assert [one.positive for one in click.drawn] == [False]


def test_moved_prompt_counts_where_it_is_now() -> None:
    prompts = pixels(region("keypointlabels", 10, 10, id="a"), region("keypointlabels", 30, 10, id="a"))
    np.testing.assert_allclose(prompts.points_xy, [[60, 10]])


def test_prompts_without_ids_are_all_kept() -> None:
    one = region("keypointlabels", 10, 10)
    two = region("keypointlabels", 20, 10)
    del one["id"], two["id"]
    assert len(pixels(one, two).points_xy) == 2


def test_newest_label_and_kind_count() -> None:
    click = read(region("keypointlabels", 1, 1, id="a"), region("keypoint", 2, 2, id="b", label="Boat"))
    assert (click.kind, click.label) == ("keypoint", "Boat")


@pytest.mark.parametrize(
    "drawn",
    [(10, 20, 30, 40), (40, 60, -30, -40), (40, 20, -30, 40), (10, 60, 30, -40)],
    ids=["forward", "backward", "right to left", "upward"],
)
def test_box_in_every_direction(drawn: tuple[float, float, float, float]) -> None:
    prompts = pixels(box(*drawn))
    assert prompts.box_xyxy is not None
    np.testing.assert_allclose(prompts.box_xyxy, [20, 20, 80, 60], rtol=1e-6)
    assert prompts.box_xyxy.dtype == np.float32
    assert len(prompts.points_xy) == 0
    assert prompts.names_an_object
    assert not prompts.is_lone_point


def test_box_is_clipped() -> None:
    prompts = pixels(box(-10, 50, 50, 100))
    assert prompts.box_xyxy is not None
    np.testing.assert_allclose(prompts.box_xyxy, [0, 50, 80, 100])


def test_turned_box_becomes_the_upright_box_around_it() -> None:
    # 40x20 pixels at (100, 50), turned by 90 degrees clockwise about that corner: right becomes down, down left.
    prompts = pixels(box(50, 50, 20, 20, rotation=90))
    assert prompts.box_xyxy is not None
    np.testing.assert_allclose(prompts.box_xyxy, [80, 50, 100, 90], atol=1e-4)


@pytest.mark.parametrize("drawn", [(50, 50, 0, 0), (40, 50, 20, 0), (50, 40, 0, 20)])
def test_box_without_area_is_a_point(drawn: tuple[float, float, float, float]) -> None:
    prompts = pixels(box(*drawn))
    assert prompts.box_xyxy is None
    np.testing.assert_allclose(prompts.points_xy, [[100, 50]])
    assert prompts.is_positive.tolist() == [True]


def test_newest_of_several_boxes_counts() -> None:
    prompts = pixels(box(0, 0, 10, 10, id="a"), box(50, 50, 10, 10, id="b"))
    assert prompts.box_xyxy is not None
    np.testing.assert_allclose(prompts.box_xyxy, [100, 50, 120, 60])


@pytest.mark.parametrize("drawn", [(100, 0, 10, 10), (-20, 0, 10, 10), (0, 150, 10, 10)])
def test_box_outside_is_refused(drawn: tuple[float, float, float, float]) -> None:
    with pytest.raises(BadRequest, match=r"^the box lies outside the image$"):
        pixels(box(*drawn))


def test_missing_coordinates_are_refused() -> None:
    point = region("keypoint", 1, 1)
    point["value"] = {"x": 1}
    with pytest.raises(BadRequest, match=r"^a prompt has no x and y$"):
        pixels(point)
    with pytest.raises(BadRequest, match=r"^a rectangle has no width and height$"):
        pixels(region("rectangle", 1, 1))


percent = st.floats(-1000, 1000)


@given(percent, percent, percent, percent, st.floats(-720, 720))
def test_whatever_box_is_drawn_the_result_lies_in_the_image(
    x: float, y: float, width: float, height: float, turn: float
) -> None:
    try:
        prompts = pixels(box(x, y, width, height, rotation=turn))
    except BadRequest:  # wholly outside
        return
    inside = prompts.points_xy if prompts.box_xyxy is None else prompts.box_xyxy.reshape(2, 2)
    assert len(inside)
    assert (inside >= 0).all()
    assert (inside <= SIZE_WH).all()
    if prompts.box_xyxy is not None:
        assert (prompts.box_xyxy[2:] > prompts.box_xyxy[:2]).all()


def test_prompts_check_their_shapes() -> None:
    points = np.zeros((2, 2), dtype=np.float32)
    with pytest.raises(ValueError, match=r"^is_positive: expected shape \(2,\), got \(1,\)$"):
        Prompts(points, np.asarray([True]))
    with pytest.raises(ValueError, match=r"^points_xy: expected shape \(N, 2\), got \(2,\)$"):
        Prompts(points[0], np.asarray([True, True]))
    with pytest.raises(ValueError, match=r"^box_xyxy: expected shape \(4,\), got \(2,\)$"):
        Prompts(points, np.asarray([True, True]), box_xyxy=points[0])
