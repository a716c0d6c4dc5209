from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.labelstudio import drafts
from backend.labelstudio.drafts import Place, box_around, read_draft, stroke_near
from backend.labelstudio.prompts import Click, read_click, to_pixels
from backend.labelstudio.protocol import ContextRegion
from masks.rle import encode_rle
from tests.unit.backend.fakes import region

SIZE_WH = (400, 200)
HERE = Place("image", None, "Person")


def touches(*lines: list[float], width: float = 3) -> list[dict[str, Any]]:
    """As the editor saves them; `points` are in pixels of its canvas and say nothing."""
    return [
        {
            "id": f"t{number}", "type": "add", "points": [1, 2, 3], "relativePoints": line, "strokeWidth": 15,
            "relativeStrokeWidth": width, "eraserSize": 25,
        }
        for number, line in enumerate(lines)
    ]  # fmt: skip


def entry(id: str, kind: str, value: dict[str, Any], *, label: str | None = "Person", **more: Any) -> dict[str, Any]:
    labels = {} if label is None else {kind if kind.endswith("labels") else "labels": [label]}
    return {
        "id": id, "type": kind, "from_name": "x", "to_name": "image", "origin": "manual", "image_rotation": 0,
        "original_width": SIZE_WH[0], "original_height": SIZE_WH[1], "value": {**value, **labels}, **more,
    }  # fmt: skip


def brushed(id: str = "s1", line: tuple[float, ...] = (20, 50, 60, 50), **more: Any) -> dict[str, Any]:
    return entry(id, "brushlabels", {"format": "rle", "touches": touches(list(line))}, **more)


def painted(id: str = "s1", part: tuple[int, int, int, int] = (80, 95, 240, 105), **more: Any) -> dict[str, Any]:
    mask = np.zeros(SIZE_WH[::-1], dtype=bool)
    left, top, right, bottom = part
    mask[top:bottom, left:right] = True
    return entry(id, "brushlabels", {"format": "rle", "rle": encode_rle(mask)}, **more)


def rectangle(id: str, x: float, y: float, width: float, height: float, **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": more.pop("rotation", 0)}
    return entry(id, "rectanglelabels", value, **more)


def draft(*entries: Any, at: str = "2026-11-23T10:00:00.5Z", user: Any = "ann@lab.org") -> dict[str, Any]:
    return {
        "id": 5, "user": user, "created_username": "Ann, 2", "created_ago": "0 minutes", "result": list(entries),
        "lead_time": 3.5, "was_postponed": False, "created_at": at, "updated_at": at, "task": 17, "annotation": None,
    }  # fmt: skip


def click(*points: tuple[float, float], saved: list[Any], positive: bool = True, **more: Any) -> Click:
    entries = [
        ContextRegion.model_validate(
            {**region("keypointlabels", x, y, id=f"p{n}", size_wh=SIZE_WH, positive=positive), **more}
        )
        for n, (x, y) in enumerate(points)
    ]
    return read_click(entries, saved)


@pytest.mark.parametrize("stroke", [brushed(), painted()], ids=["touches", "rle"])
def test_point_on_stroke_makes_stroke_the_prompt(stroke: dict[str, Any]) -> None:
    """A point on a stroke makes the stroke the prompt and replaces it."""
    one = click((40, 50), saved=[draft(stroke)])
    assert one.replaces == "s1"
    prompts = to_pixels(one, SIZE_WH)
    assert 4 <= len(prompts.points_xy) <= 6  # up to 5 on the stroke, and the click
    assert prompts.is_positive.all()
    assert [160, 100] in prompts.points_xy.tolist()
    np.testing.assert_allclose(prompts.points_xy[:, 1], 100, atol=2)
    assert np.ptp(prompts.points_xy[:, 0]) > 100


@pytest.mark.parametrize("stroke", [brushed(), painted()], ids=["touches", "rle"])
@pytest.mark.parametrize(("pixels_below", "counts"), [(7, True), (9.5, False)])
def test_near_is_8_pixels(stroke: dict[str, Any], pixels_below: float, counts: bool) -> None:
    edge = 100 + (6 if "touches" in stroke["value"] else 5)
    one = click((40, (edge + pixels_below) / 2), saved=[draft(stroke)])
    assert (one.replaces == "s1") is counts


def test_near_grows_with_the_image() -> None:
    assert drafts.near_distance((400, 200)) == 8
    assert drafts.near_distance((3000, 6000)) == 30


@pytest.mark.parametrize(
    "stroke",
    [
        brushed(score=0.9),
        brushed(score=0),
        painted(score=0.91),
        brushed(label="Boat"),
        brushed(label=None),
        brushed(to_name="thermal"),
        brushed(item_index=1),
        brushed(original_width=800),
        painted(part=(0, 0, 400, 50)),
        {**brushed(), "type": "polygonlabels"},
        {**brushed(), "value": {**brushed()["value"], "maskDataURL": "data:image/png;base64,AA"}},
    ],
    ids=[
        "accepted mask, corrected by hand", "score 0", "accepted mask", "other label", "no label", "other image",
        "other index", "other size", "a quarter of the image", "no brush", "magic wand",
    ],
)  # fmt: skip
def test_what_is_not_a_stroke_of_this_click(stroke: dict[str, Any]) -> None:
    one = click((40, 20), (40, 50), saved=[draft(stroke)])
    assert one.replaces is None
    assert len(to_pixels(one, SIZE_WH).points_xy) == 2


def test_accepted_mask_with_second_entry_is_not_a_stroke() -> None:
    """An accepted mask with a second entry from the prompt's tag is not a stroke."""
    ghost = brushed()
    ghost["from_name"] = "other"
    for entries in ([painted(score=0.9), ghost], [ghost, painted(score=0.9)]):
        assert click((40, 50), saved=[draft(*entries)]).replaces is None


def test_score_null_or_text_is_no_score() -> None:
    for score in (None, True, "0.9"):
        assert click((40, 50), saved=[draft(brushed(score=score))]).replaces == "s1"


def test_split_tags() -> None:
    shape = {**brushed(label=None), "type": "brush"}
    labels = {**brushed(), "type": "labels"}
    labels["value"] = {**labels["value"], "labels": ["Person"]}
    for entries in ([shape, labels], [labels, shape]):
        assert click((40, 50), saved=[draft(*entries)]).replaces == "s1"
    assert click((40, 50), saved=[draft(shape)]).replaces is None


def test_the_closest_stroke_counts_then_the_newest() -> None:
    upper, lower = brushed("upper", (20, 45, 60, 45)), brushed("lower", (20, 55, 60, 55))
    assert click((40, 46), saved=[draft(upper, lower)]).replaces == "upper"
    assert click((40, 54), saved=[draft(upper, lower)]).replaces == "lower"
    assert click((40, 50), saved=[draft(brushed("old"), brushed("new"))]).replaces == "new"


def test_negative_points_and_boxes_take_no_stroke() -> None:
    assert click((40, 50), saved=[draft(brushed())], positive=False).replaces is None
    box = ContextRegion.model_validate(rectangle("r", 10, 10, 80, 80))
    assert read_click([box], [draft(brushed())]).replaces is None


def test_a_stroke_and_points_together() -> None:
    entries = [
        region("keypointlabels", 40, 50, id="a", size_wh=SIZE_WH),
        region("keypointlabels", 80, 90, id="b", size_wh=SIZE_WH),
        region("keypointlabels", 5, 5, id="c", size_wh=SIZE_WH, positive=False),
    ]
    one = read_click([ContextRegion.model_validate(entry) for entry in entries], [draft(brushed())])
    prompts = to_pixels(one, SIZE_WH)
    assert one.replaces == "s1"
    assert (~prompts.is_positive).sum() == 1
    assert [320, 180] in prompts.points_xy[prompts.is_positive].tolist()


def test_the_newest_draft_counts() -> None:
    old, new = draft(brushed("old"), at="2026-11-23T10:00:00Z"), draft(at="2026-11-23T10:00:00.2Z", user=7)
    for saved in ([old, new], [new, old]):
        assert click((40, 50), saved=saved).replaces is None
        assert read_draft(saved).annotator == "7"
    assert click((40, 50), saved=[{**new, "updated_at": "long ago"}, old]).replaces == "old"


def test_who_clicked_and_what_the_draft_holds() -> None:
    one = click((1, 1), saved=[draft(brushed("a"), painted("b", score=0.9))])
    assert one.annotator == "ann@lab.org"
    assert one.draft_ids == {"a", "b"}
    nobody = click((1, 1), saved=[])
    assert (nobody.annotator, nobody.draft_ids) == (None, frozenset())


def test_the_smallest_box_that_holds_all_points_counts() -> None:
    boxes = [rectangle("big", 10, 10, 80, 80), rectangle("small", 30, 30, 20, 40), rectangle("away", 80, 80, 5, 5)]
    one = click((40, 50), saved=[draft(*boxes)])
    assert one.box is not None
    assert one.box.id == "small"
    prompts = to_pixels(one, SIZE_WH)
    assert prompts.box_xyxy is not None
    np.testing.assert_allclose(prompts.box_xyxy, [120, 60, 200, 140], rtol=1e-6)
    both = click((40, 50), (80, 50), saved=[draft(*boxes)])
    assert both.box is not None
    assert both.box.id == "big"
    assert click((40, 50), (95, 50), saved=[draft(*boxes)]).box is None


def test_a_negative_point_alone_corrects_the_box_it_lies_in() -> None:
    one = click((40, 50), saved=[draft(rectangle("r", 30, 30, 20, 40))], positive=False)
    prompts = to_pixels(one, SIZE_WH)
    assert prompts.names_an_object
    assert prompts.is_positive.tolist() == [False]
    assert not to_pixels(click((40, 50), saved=[draft(brushed())], positive=False), SIZE_WH).names_an_object


@pytest.mark.parametrize(
    "box",
    [
        rectangle("r", 30, 30, 20, 40, score=0.5),
        rectangle("r", 30, 30, 20, 40, label="Boat"),
        rectangle("r", 30, 30, 20, 40, to_name="thermal"),
        rectangle("r", 30, 30, 0, 40),
        {**rectangle("r", 30, 30, 20, 40), "type": "ellipselabels"},
    ],
    ids=["a model's", "other label", "other image", "no area", "no rectangle"],
)
def test_what_is_not_a_box_of_this_click(box: dict[str, Any]) -> None:
    assert click((40, 50), saved=[draft(box)]).box is None


def test_a_box_drawn_backwards_and_turned_in_the_draft() -> None:
    one = click((40, 50), saved=[draft(rectangle("r", 50, 70, -20, -40))])
    assert one.box is not None
    np.testing.assert_allclose(one.box.xyxy, [30, 30, 50, 70])
    turned = click((40, 60), saved=[draft(rectangle("r", 50, 50, 10, 40, rotation=90))])
    assert turned.box is not None  # 40x80 pixels at (200, 100): down 40, left 80
    np.testing.assert_allclose(turned.box.xyxy, [30, 50, 50, 70])


def test_an_index_of_0_is_the_only_image() -> None:
    assert click((40, 50), saved=[draft(brushed(item_index=0))]).replaces == "s1"
    assert click((40, 50), saved=[draft(brushed())], item_index=0).replaces == "s1"
    assert click((40, 50), saved=[draft(brushed(item_index=2))], item_index=2).replaces == "s1"


@pytest.mark.parametrize(
    "broken",
    [
        None, 7, "text", [], {}, {"id": "s1"}, {**brushed(), "id": 5}, {**brushed(), "value": None},
        {**brushed(), "value": []}, {**brushed(), "original_width": "wide"}, {**brushed(), "original_width": 0},
        {**brushed(), "value": {"brushlabels": ["Person"], "rle": [1, 2, 3]}},
        {**brushed(), "value": {"brushlabels": ["Person"], "rle": [0, 4, 226, 0] * 50}},
        {**brushed(), "value": {"brushlabels": ["Person"], "rle": "AAAA"}},
        {**brushed(), "value": {"brushlabels": ["Person"], "rle": [-1, 256, 10**9] * 9}},
        {**brushed(), "value": {"brushlabels": ["Person"], "touches": "x"}},
        {**brushed(), "value": {"brushlabels": ["Person"], "touches": [{}]}},
        {**brushed(), "value": {"brushlabels": ["Person"], "touches": touches([])}},
        {**brushed(), "value": {"brushlabels": ["Person"], "touches": touches([40])}},
        {**brushed(), "value": {"brushlabels": ["Person"], "touches": touches([float("nan"), 50, 40, 50])}},
        {**brushed(), "value": {"brushlabels": ["Person"], "touches": touches(*[[40.0, 50.0]] * 501)}},
        {**rectangle("s1", 1, 1, 90, 90), "value": {"x": 1, "y": 1, "rectanglelabels": ["Person"]}},
        {**rectangle("s1", 1, 1, 90, 90), "value": {"x": float("inf"), "y": 1, "rectanglelabels": ["Person"]}},
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        entry("s1", "choices", {"choices": ["good"]}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_passed_over(broken: Any) -> None:
    one = click((40, 50), saved=[draft(broken)])
    assert (one.replaces, one.box) == (None, None)
    beside = click((40, 50), saved=[draft(broken, brushed("good"), broken)])
    assert beside.replaces == "good"


@pytest.mark.parametrize("saved", [[None], [7], [{}], [{"result": None}], [{"result": {"a": 1}}], [[]]])
def test_what_is_not_a_draft_is_passed_over(saved: list[Any]) -> None:
    assert read_draft(saved) == drafts.Draft()


def test_decodes_neither_other_labels_nor_accepted_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of other labels and accepted ones are never decoded."""
    decoded: list[int] = []

    def count(rle: list[int], size_wh: tuple[int, int]) -> Any:
        decoded.append(len(rle))
        return np.zeros(size_wh[::-1], dtype=bool)

    monkeypatch.setattr(drafts, "decode_rle", count)
    others = [painted(f"o{n}", label="Boat") for n in range(50)] + [painted(f"m{n}", score=0.8) for n in range(50)]
    click((40, 50), saved=[draft(*others)])
    assert decoded == []
    click((40, 50), saved=[draft(*others, *(painted(f"s{n}") for n in range(50)))])
    assert len(decoded) == drafts.MAX_DECODED
    saved = [brushed("fresh"), *(painted(f"s{n}") for n in range(10))]
    assert click((40, 50), saved=[draft(*saved)]).replaces == "fresh"


words = st.text("abPerson", max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.just("Person"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.just("s1") | json_values,
            "type": st.sampled_from(["brush", "brushlabels", "rectangle", "labels"]) | json_values,
            "to_name": st.just("image") | json_values,
            "item_index": json_values,
            "score": json_values,
            "original_width": st.just(400) | json_values,
            "original_height": st.just(200) | json_values,
            "value": json_values
            | st.fixed_dictionaries(
                {},
                optional={
                    "rle": st.lists(st.integers(0, 255)) | json_values,
                    "touches": json_values,
                    "x": json_values,
                    "y": json_values,
                    "width": json_values,
                    "height": json_values,
                    "rotation": json_values,
                    "labels": st.just(["Person"]) | json_values,
                    "brushlabels": st.just(["Person"]) | json_values,
                },
            ),
        },
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_nothing_in_a_draft_is_an_error(broken: dict[str, Any]) -> None:
    to_pixels(click((40, 50), saved=[draft(broken, broken)]), SIZE_WH)


def test_called_directly() -> None:
    saved = read_draft([draft(brushed(), rectangle("r", 30, 30, 20, 40))])
    point = np.asarray([[40.0, 50.0]])
    stroke = stroke_near(saved, HERE, point, SIZE_WH)
    assert stroke is not None
    assert stroke.points.shape == (5, 2)
    assert box_around(saved, HERE, point, SIZE_WH) == drafts.BoxFound("r", (30.0, 30.0, 50.0, 70.0))
    assert stroke_near(saved, HERE, np.zeros((0, 2)), SIZE_WH) is None
