"""What the editor leaves in an annotation, and what a person meant by it."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dataset.export.labeling import UsedConfig, read_labeling
from dataset.export.regions import Reading, read_results
from dataset.export.results import Result
from tests.unit.labelstudio.annotated import (
    BOXES,
    FUSED,
    SPLIT,
    bitmask_value,
    brush,
    ghost,
    key_point,
    rectangle,
    rectangle_mask,
    result,
    split_brush,
    with_palette,
)

SIZE = (20, 10)
MASK = rectangle_mask(SIZE, 2, 3, 9, 8)


def read(results: list[Result], config: str = FUSED, *, strict: bool = False) -> Reading:
    return read_results(results, UsedConfig(read_labeling(config, "c.xml"), None, None, strict=strict))


def test_a_brush_with_its_own_labels_is_one_region() -> None:
    (region,) = read(brush(MASK, "Car")).regions
    assert (region.id, region.kind, region.labels, region.size_wh) == ("a", "brush", ("Car",), SIZE)
    assert np.array_equal(region.mask(), MASK)


def test_a_brush_and_its_palette_are_one_region() -> None:
    reading = read(split_brush(MASK, "Road"), SPLIT)
    (region,) = reading.regions
    assert (region.kind, region.labels) == ("brush", ("Road",))
    assert np.array_equal(region.mask(), MASK)
    assert len(reading.kept) == 2
    assert not +reading.left_out


@pytest.mark.parametrize("first", [True, False])
def test_a_ghost_is_removed_and_its_label_does_not_count(first: bool) -> None:
    real, haunt = brush(MASK, "Car"), ghost(MASK, "Road")
    reading = read([haunt, *real] if first else [*real, haunt])
    assert [one.labels for one in reading.regions] == [("Car",)]
    assert reading.kept == real
    assert +reading.left_out == {"ghost": 1}


def test_prompts_are_removed() -> None:
    reading = read([key_point("Car"), rectangle("Car", (1, 1, 5, 5), SIZE), *brush(MASK, "Car")])
    assert [one.id for one in reading.regions] == ["a"]
    assert +reading.left_out == {"key point": 1, "prompt": 1}


def test_a_box_is_a_region_where_boxes_are_the_output() -> None:
    (region,) = read([rectangle("Car", (2, 3, 7, 5), SIZE)], BOXES).regions
    assert region.kind == "rectangle"
    assert np.array_equal(region.mask(), MASK)


def test_a_plain_rectangle_beside_a_brush_is_meant() -> None:
    config = SPLIT.replace(
        '<Rectangle name="box" toName="image" smart="true"/>', '<Rectangle name="box" toName="image" smart="false"/>'
    )
    value = {"x": 10.0, "y": 30.0, "width": 35.0, "height": 50.0, "rotation": 0}
    (region,) = read(with_palette("rectangle", "box", value, "Car", SIZE, "b"), config).regions
    assert np.array_equal(region.mask(), MASK)


def test_a_box_that_was_drawn_backwards_is_the_same() -> None:
    (region,) = read([rectangle("Car", (9, 8, -7, -5), SIZE)], BOXES).regions
    assert np.array_equal(region.mask(), MASK)


def test_a_turned_box_turns_about_its_corner() -> None:
    one = rectangle("Car", (10, 2, 4, 6), SIZE)
    one["value"]["rotation"] = 90
    (region,) = read([one], BOXES).regions
    assert np.array_equal(region.mask(), rectangle_mask(SIZE, 4, 2, 10, 6))


def test_polygons_bitmasks_and_ellipses_are_regions() -> None:
    polygon = {"points": [[10, 30], [45, 30], [45, 80], [10, 80]], "closed": True}
    ellipse = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 40, "rotation": 0}
    results = [
        *with_palette("polygon", "poly", polygon, "Car", SIZE, "1"),
        *with_palette("bitmask", "bits", bitmask_value(MASK), "Car", SIZE, "2"),
        *with_palette("ellipse", "round", ellipse, "Road", SIZE, "3"),
    ]
    first, second, third = read(results, SPLIT).regions
    assert np.array_equal(first.mask(), MASK)
    assert np.array_equal(second.mask(), MASK)
    assert third.mask().sum() == pytest.approx(np.pi * 4 * 4, abs=3)


def test_what_is_no_region_is_kept_in_its_place() -> None:
    choice = {"id": "c", "type": "choices", "from_name": "light", "to_name": "image", "value": {"choices": ["day"]}}
    relation = {"from_id": "a", "to_id": "b", "type": "relation", "direction": "right"}
    results = [choice, *split_brush(MASK, "Car"), relation]
    assert read(results, SPLIT).kept == results


def test_a_region_without_a_label_is_left_out_and_counted() -> None:
    lonely = split_brush(MASK, "Car")[:1]
    reading = read(lonely, SPLIT)
    assert reading.regions == []
    assert +reading.left_out == {"no label": 1}
    assert reading.kept == lonely


def test_a_label_that_is_left_without_its_shape_is_counted() -> None:
    assert +read(split_brush(MASK, "Car")[1:], SPLIT).left_out == {"label without a shape": 1}


def test_results_with_one_id_on_two_images_are_two_regions() -> None:
    other = {**brush(MASK, "Car")[0], "to_name": "thermal"}
    assert [one.to_name for one in read([*brush(MASK, "Car"), other]).regions] == ["image", "thermal"]


@pytest.mark.parametrize(
    ("name", "label", "left"), [("old", "Car", True), ("brush", "Bus", True), ("brush", "Car", False)]
)
def test_a_given_version_is_strict_about_tags_and_labels(name: str, label: str, left: bool) -> None:
    one = {**brush(MASK, label)[0], "from_name": name}
    assert len(read([one]).regions) == 1
    reading = read([one], strict=True)
    assert reading.left_out["not in this configuration"] == left
    assert len(reading.regions) == (not left)


def test_soft_edges_are_cut_at_one_half() -> None:
    from label_studio_sdk.converter.brush import encode_rle

    alpha = np.asarray([[0, 1, 127, 128, 255]], np.uint8)
    rle = encode_rle(np.stack([alpha] * 4, axis=2).reshape(-1))
    value = {"format": "rle", "rle": rle, "brushlabels": ["Car"]}
    (region,) = read([result("brushlabels", "brush", "a", (5, 1), value)]).regions
    assert region.mask().tolist() == [[False, False, False, True, True]]


def damaged_png(size_wh: tuple[int, int]) -> bytes:
    """A PNG of several chunks of pixels, of which the second is of no known type."""
    noise = np.random.default_rng(1).integers(0, 256, (size_wh[1], size_wh[0], 4), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(noise).save(content, format="PNG")
    first, second, rest = content.getvalue().split(b"IDAT", 2)
    return first + b"IDAT" + second + b"\x00\xff\x00\xff" + rest


BROKEN = {
    "rle of another size": ({"format": "rle", "rle": brush(MASK, "Car")[0]["value"]["rle"]}, "brush", (21, 10)),
    "rle cut off": ({"format": "rle", "rle": brush(MASK, "Car")[0]["value"]["rle"][:9]}, "brush", SIZE),
    "no numbers": ({"format": "rle", "rle": ["x"]}, "brush", SIZE),
    "no data url": ({"imageDataURL": "http://example.org/a.png"}, "bitmask", SIZE),
    "no base64": ({"imageDataURL": "data:image/png;base64,%%%"}, "bitmask", SIZE),
    "no png": ({"imageDataURL": "data:image/png;base64,AAAA"}, "bitmask", SIZE),
    "png with a damaged chunk": (
        {"imageDataURL": "data:image/png;base64," + base64.b64encode(damaged_png((300, 300))).decode()},
        "bitmask",
        (300, 300),
    ),
    "bitmask of another size": (bitmask_value(MASK), "bitmask", (9, 9)),
    "two corners": ({"points": [[1, 1], [2, 2]]}, "polygon", SIZE),
    "no corners": ({"points": None}, "polygon", SIZE),
    "a corner is no number": ({"points": [[1, 1], [2, 2], [3, "x"]]}, "polygon", SIZE),
    "no width": ({"x": 1, "y": 1, "height": 3, "width": None}, "rectangle", SIZE),
    "no height": ({"x": 1, "y": 1, "width": 3}, "rectangle", SIZE),
    "a corner alone": ({"x": 1, "y": 1}, "rectangle", SIZE),
    "a side that is text": ({"x": 1, "y": 1, "width": "3", "height": 3}, "rectangle", SIZE),
    "a turn that is text": ({"x": 1, "y": 1, "width": 3, "height": 3, "rotation": "5"}, "rectangle", SIZE),
    "one radius": ({"x": 1, "y": 1, "radiusX": 3}, "ellipse", SIZE),
    "the other radius": ({"x": 1, "y": 1, "radiusY": 3}, "ellipse", SIZE),
    "an ellipse with sides": ({"x": 1, "y": 1, "width": 3, "height": 3}, "ellipse", SIZE),
    "a polygon with a corner": ({"x": 1, "y": 1}, "polygon", SIZE),
    "a brush at a point": ({"x": 1, "y": 1, "width": 0.2}, "brush", SIZE),
    "a mask of a key point tag": (brush(MASK, "Car")[0]["value"], "keypoint", SIZE),
}  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "size_wh"), BROKEN.values(), ids=BROKEN)
def test_a_broken_region_says_so(value: Result, kind: str, size_wh: tuple[int, int]) -> None:
    labelled = {**value, f"{kind}labels": ["Car"]}
    (region,) = read([result(f"{kind}labels", "tag", "a", size_wh, labelled)], BOXES).regions
    with pytest.raises(ValueError, match=r"\w"):
        region.mask()


@pytest.mark.parametrize("kind", ["brush", "bitmask", "polygon", "rectangle", "ellipse"])
def test_a_region_without_its_shape_is_no_ghost(kind: str) -> None:
    """A ghost lies beside a mask that is exported; here nothing is, and somebody must know."""
    results = with_palette(kind, "box", {"format": "rle"}, "Car", SIZE, "1")
    config = SPLIT.replace('smart="true"', 'smart="false"')
    reading = read(results, config)
    assert not +reading.left_out
    assert reading.kept == results
    (region,) = reading.regions
    assert (region.kind, region.labels) == (kind, ("Car",))
    with pytest.raises(ValueError, match=r"\w"):
        region.mask()


def test_a_ghost_lies_beside_what_is_drawn() -> None:
    """Alone it is all that is left of a region, and somebody must know; beside a key point it stays a ghost."""
    labelled = {**key_point("Car"), "type": "brushlabels"}
    labelled["value"] = {**labelled["value"], "brushlabels": ["Car"]}
    reading = read([labelled])
    assert not +reading.left_out
    assert [(one.kind, one.labels) for one in reading.regions] == [("brush", ("Car",))]
    assert +read([key_point("Car"), labelled]).left_out == {"ghost": 1, "key point": 1}


def test_a_point_with_sides_is_a_key_point() -> None:
    """As scripts write them: it prompts, whatever else its value has."""
    point = key_point("Car")
    assert +read([point | {"value": {**point["value"], "height": 0.2}}]).left_out == {"key point": 1}
