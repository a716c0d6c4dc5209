from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BadRequest
from backend.labelstudio.prompts import MAX_PROMPTS, Click, read_click, to_pixels
from backend.labelstudio.protocol import ContextRegion, PredictRequest
from backend.segmenter import Prompts
from tests.unit.backend.fakes import region

SIZE_WH = (200, 100)
REQUESTS = sorted((Path(__file__).parent / "golden_requests").glob("*.json"))


def read(*regions: dict[str, object]) -> Click:
    return read_click([ContextRegion.model_validate(one) for one in regions])


def pixels(*regions: dict[str, object]) -> Prompts:
    return to_pixels(read(*regions), SIZE_WH)


def box(x: float, y: float, width: float, height: float, **more: Any) -> dict[str, object]:
    return region("rectanglelabels", x, y, width=width, height=height, **more)


@pytest.mark.parametrize("path", REQUESTS, ids=[path.stem for path in REQUESTS])
def test_every_request_that_label_studio_can_send(path: Path) -> None:
    golden = json.loads(path.read_text())
    expected = golden["expected"]
    request = PredictRequest.model_validate(golden["request"])
    regions = request.context.result if request.context else None
    if expected.get("nothing"):
        assert not regions
        return
    assert regions
    drafts = request.tasks[0].drafts or ()
    if "error" in expected:
        with pytest.raises(BadRequest) as caught:
            to_pixels(read_click(regions, drafts), (400, 200))
        assert str(caught.value) == expected["error"]
        return
    click = read_click(regions, drafts)
    for name in ("kind", "label", "to_name", "item_index", "image_rotation", "replaces"):
        assert getattr(click, name) == expected[name], name
    assert click.size_wh == tuple(expected["size_wh"])
    assert sorted(click.region_ids) == expected["region_ids"]
    prompts = to_pixels(click, click.size_wh)
    assert prompts.names_an_object is expected["names_an_object"]
    found = [(*xy, positive) for xy, positive in zip(prompts.points_xy, prompts.is_positive, strict=True)]
    if path.stem == "draft_stroke":
        assert 4 <= len(found) <= 6
        assert (200, 100, True) in found
        assert all(68 <= x <= 332 and 94 <= y <= 106 and positive for x, y, positive in found)
    else:
        np.testing.assert_allclose(np.asarray(found).reshape(-1, 3), np.reshape(expected["points"], (-1, 3)), rtol=1e-6)
    if expected["box"] is None:
        assert prompts.box_xyxy is None
    else:
        assert prompts.box_xyxy is not None
        np.testing.assert_allclose(prompts.box_xyxy, expected["box"], rtol=1e-6)


def test_all_shapes_of_requests_are_there() -> None:
    requests = [PredictRequest.model_validate(json.loads(path.read_text())["request"]) for path in REQUESTS]
    shown = {one.type for request in requests if request.context for one in request.context.result or ()}
    shapes = {"keypoint", "rectangle", "ellipse", "polygon", "brush"}
    assert shown >= {*shapes, *(f"{shape}labels" for shape in shapes), "labels"}


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


def shape_of(kind: str, x: float, y: float, width: float, height: float, turn: float) -> dict[str, object]:
    if kind == "ellipse":
        return region("ellipse", x, y, radiusX=width, radiusY=height, rotation=turn, id="shape")
    if kind == "polygon":
        entry = region("polygon", 0, 0, id="shape")
        entry["value"] = {"points": [[x, y], [x + width, y], [x + width, y + height]]}
        return entry
    return region("rectangle", x, y, width=width, height=height, rotation=turn, id="shape")


inside = st.floats(0, 100)
point = st.tuples(inside, inside, st.booleans())


@given(st.lists(point, min_size=1, max_size=8), st.randoms(use_true_random=False), st.integers(0, 3))
def test_order_and_duplicates_do_not_matter(drawn: list[tuple[float, float, bool]], order: Any, twice: int) -> None:
    entries = [region("keypointlabels", x, y, positive=positive, id=str(n)) for n, (x, y, positive) in enumerate(drawn)]
    again = [*entries, *({**one, "id": f"again {n}"} for n, one in enumerate(entries[:twice])), *entries[:twice]]
    order.shuffle(again)
    one, other = pixels(*entries), pixels(*again)
    np.testing.assert_array_equal(one.points_xy, other.points_xy)
    np.testing.assert_array_equal(one.is_positive, other.is_positive)


@given(st.lists(st.tuples(inside, inside), min_size=1, max_size=8), st.integers(1, 20_000), st.integers(1, 20_000))
def test_percent_to_pixels_and_back(drawn: list[tuple[float, float]], width: int, height: int) -> None:
    click = read(*(region("keypoint", x, y, id=str(n)) for n, (x, y) in enumerate(drawn)))
    back = to_pixels(click, (width, height)).points_xy.astype(np.float64) / (width, height) * 100
    for xy in drawn:
        assert np.abs(back - xy).max(axis=1).min() < 1e-4


@given(inside, inside, st.floats(1, 80), st.floats(1, 80), st.sampled_from([(1, 1), (-1, 1), (1, -1), (-1, -1)]))
def test_the_direction_of_drawing_does_not_matter(
    x: float, y: float, width: float, height: float, signs: tuple[int, int]
) -> None:
    x, y = min(x, 98), min(y, 98)
    start = (x if signs[0] > 0 else x + width, y if signs[1] > 0 else y + height)
    one, other = pixels(box(x, y, width, height)), pixels(box(*start, signs[0] * width, signs[1] * height))
    assert one.box_xyxy is not None
    assert other.box_xyxy is not None
    np.testing.assert_allclose(one.box_xyxy, other.box_xyxy, atol=1e-3)


turn = st.floats(-720, 720)


@given(st.sampled_from(["rectangle", "ellipse", "polygon"]), percent, percent, percent, percent, turn)
def test_whatever_shape_is_drawn_the_result_lies_in_the_image(
    kind: str, x: float, y: float, width: float, height: float, degrees: float
) -> None:
    try:
        prompts = pixels(shape_of(kind, x, y, width, height, degrees))
    except BadRequest:  # wholly outside
        return
    result = prompts.points_xy if prompts.box_xyxy is None else prompts.box_xyxy.reshape(2, 2)
    assert len(result)
    assert (result >= 0).all()
    assert (result <= SIZE_WH).all()


def test_two_key_points_at_one_place_are_a_lone_point() -> None:
    assert pixels(region("keypoint", 5, 5, id="a"), region("keypoint", 5, 5, id="b")).is_lone_point


def test_too_many_prompts() -> None:
    with pytest.raises(BadRequest, match=rf"^257 prompts for one object, more than {MAX_PROMPTS}: accept or delete"):
        read(*(region("keypoint", 1, 1, id=str(n)) for n in range(MAX_PROMPTS + 1)))


def test_refuses_too_large_image_before_decoding() -> None:
    """Too large an image is refused before a stroke is decoded."""
    entry = region("brushlabels", 0, 0, size_wh=(4000, 3000))
    entry["value"] = {"rle": [1, 2, 3], "brushlabels": ["Person"]}
    with pytest.raises(BadRequest, match=r"^the browser shows 4000x3000 pixels, more than IMAGE_PIXEL_LIMIT=1000$"):
        read_click([ContextRegion.model_validate(entry)], pixel_limit=1000)


def test_the_box_on_the_screen_for_the_memory() -> None:
    click = read(box(10, 20, 30, 40, id="old"), box(-10, 60, 50, 20, id="new"), box(1, 1, 0, 0, id="flat"))
    assert click.drawn_box is not None
    assert click.drawn_box.id == "new"
    np.testing.assert_allclose(click.drawn_box.xyxy, [-10, 60, 40, 80])
    assert click.has_box
    assert read(region("keypoint", 1, 1)).drawn_box is None


@pytest.mark.parametrize(("sent", "kept"), [(90, 90), (-90, 270), (450, 90), (float("nan"), 0), (float("inf"), 0)])
def test_the_turn_of_the_view_is_kept_for_the_answer(sent: float, kept: float) -> None:
    click = read({**region("keypoint", 25, 50), "image_rotation": sent})
    assert click.image_rotation == kept
    np.testing.assert_allclose(to_pixels(click, SIZE_WH).points_xy, [[50, 50]])


def test_prompts_check_their_shapes() -> None:
    points = np.zeros((2, 2), dtype=np.float32)
    with pytest.raises(ValueError, match=r"^is_positive: expected shape \(2,\), got \(1,\)$"):
        Prompts(points, np.asarray([True]))
    with pytest.raises(ValueError, match=r"^points_xy: expected shape \(N, 2\), got \(2,\)$"):
        Prompts(points[0], np.asarray([True, True]))
    with pytest.raises(ValueError, match=r"^box_xyxy: expected shape \(4,\), got \(2,\)$"):
        Prompts(points, np.asarray([True, True]), box_xyxy=points[0])
