"""Every mask and shape goes back as it came, in the words of the project."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.export.selection import selection
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.importing.scenes import CAR, FILES, ROAD, SIZE, fill, payload, task_of
from tests.unit.labelstudio.annotated import (
    BOXES,
    FUSED,
    PAIR,
    SPLIT,
    bitmask_value,
    brush,
    rectangle,
    result,
    split_brush,
    url,
    with_palette,
)
from tests.unit.masks.strategies import Mask, speckled


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(speckled(), min_size=1, max_size=3), st.sampled_from(sorted(FILES)), st.booleans())
def test_any_masks_survive(exports: ExportBench, masks: list[Mask], format_name: str, is_split: bool) -> None:
    config, draw = (SPLIT, split_brush) if is_split else (FUSED, brush)
    first, second = exports.server.project(config), exports.server.project(config)
    for number, mask in enumerate(masks):
        for project in (first, second):
            exports.server.task(project, image=url(f"{number}.png"))
        task = max(key for key, one in exports.server.tasks.items() if one["project"] == first.id)
        both = [*draw(mask, "Car", "1"), *draw(np.asarray(mask[::-1]), "Road", "2")]
        exports.server.annotate(task, both)
    exports.export(first, format_name, "first", force=True)
    assert exports.import_(second, "first").added == len(masks)
    assert exports.import_(second, "first").added == 0
    exports.export(second, format_name, "second", force=True)
    assert payload(exports, "second", format_name) == payload(exports, "first", format_name)


SHAPES = [
    *split_brush(CAR, "Car", "1"),
    *with_palette(
        "polygon", "poly", {"points": [[10.13, 30.7], [45.2, 30], [45, 80.01]], "closed": True}, "Car", SIZE, "2"
    ),
    *with_palette("bitmask", "bits", bitmask_value(ROAD), "Road", SIZE, "3"),
    *with_palette(
        "ellipse", "round", {"x": 50, "y": 50, "radiusX": 21, "radiusY": 33, "rotation": 15}, "Road", SIZE, "4"
    ),
]


@pytest.mark.parametrize("format_name", FILES)
def test_every_shape_stays_what_it_is(exports: ExportBench, format_name: str) -> None:
    project, other = fill(exports, SPLIT), fill(exports, SPLIT)
    exports.server.annotate(task_of(exports, project, "a"), SHAPES)
    exports.export(project, format_name, "first")
    exports.import_(other, "first")
    (stored,) = exports.server.annotations[task_of(exports, other, "a")]
    assert [one["type"] for one in stored["result"]] == [one["type"] for one in SHAPES]
    assert exports.import_(other, "first").added == 0
    exports.export(other, format_name, "second")
    assert payload(exports, "second", format_name) == payload(exports, "first", format_name)


@pytest.mark.parametrize("format_name", FILES)
def test_boxes_stay_boxes(exports: ExportBench, format_name: str) -> None:
    project, other = fill(exports, BOXES), fill(exports, BOXES)
    turned = rectangle("Road", (10, 2, 4, 6), SIZE, "t")
    turned["value"]["rotation"] = 30
    exports.server.annotate(task_of(exports, project, "a"), [rectangle("Car", (9, 8, -7, -5), SIZE), turned])
    exports.export(project, format_name, "first")
    exports.import_(other, "first")
    assert exports.import_(other, "first").added == 0
    exports.export(other, format_name, "second")
    assert payload(exports, "second", format_name) == payload(exports, "first", format_name)


@pytest.mark.parametrize("format_name", ["coco", "rle-json", "label-studio"])
@pytest.mark.parametrize(
    ("config", "types"), [(SPLIT, ["brush", "labels"]), (PAIR.replace("rgb", "image"), ["brushlabels"])]
)
def test_masks_take_the_words_of_the_project(
    exports: ExportBench, project: Project, format_name: str, config: str, types: list[str]
) -> None:
    exports.export(project, format_name, selection=selection(labels="Car"))
    other = fill(exports, config)
    exports.import_(other)
    (stored,) = exports.server.annotations[task_of(exports, other, "a")]
    assert [one["type"] for one in stored["result"]] == types
    exports.export(other, "rle-json", "second", classes=exports.folder / "other.lock")
    (region,) = (one for row in exports.lines("second/masks.jsonl") for one in row["regions"])
    assert (region["area"], region["labels"]) == (int(CAR.sum()), ["Car"])


def test_masks_become_polygons_where_nothing_else_is_there(exports: ExportBench, project: Project) -> None:
    exports.export(project, "rle-json")
    config = FUSED.replace("BrushLabels", "PolygonLabels").replace("brush", "poly")
    other = fill(exports, config)
    exports.import_(other)
    exports.export(other, "rle-json", "second")
    areas = [region["area"] for row in exports.lines("second/masks.jsonl") for region in row["regions"]]
    assert areas == [int(CAR.sum()), int(ROAD.sum()), int(ROAD.sum())]
    assert exports.import_(other).added == 0


def test_both_images_of_a_task_become_one_annotation(exports: ExportBench) -> None:
    first, second = exports.server.project(PAIR), exports.server.project(PAIR)
    for project in (first, second):
        exports.server.task(project, rgb=url("rgb/1.png"), thermal=url("thermal/1.png"))
    value = brush(CAR, "Car")[0]["value"]
    exports.server.annotate(
        min(key for key, one in exports.server.tasks.items() if one["project"] == first.id),
        [
            result("brushlabels", f"brush_{name}", f"id-{name}", SIZE, value, to_name=name)
            for name in ("rgb", "thermal")
        ],
    )
    exports.export(first, "coco", "first")
    assert exports.import_(second, "first").added == 1
    exports.export(second, "coco", "second")
    assert payload(exports, "second", "coco") == payload(exports, "first", "coco")


@pytest.mark.parametrize("format_name", ["coco", "rle-json"])
def test_regions_of_one_id_are_all_stored(exports: ExportBench, format_name: str) -> None:
    """Files that scripts put together repeat ids; results of one id are one region."""
    project, other = fill(exports, FUSED), fill(exports, FUSED)
    drawn = [
        *brush(CAR, "Car", "coco-3"),
        *brush(ROAD, "Road", "x"),
        *brush(ROAD, "Car", "y"),
        *brush(CAR, "Road", "z"),
    ]
    exports.server.annotate(task_of(exports, project, "a"), drawn)
    exports.export(project, format_name, "first")
    path = exports.folder / "first" / FILES[format_name]
    text = path.read_text()
    for name in ("x", "y", "z"):
        text = text.replace(f'"{name}"', '"coco-3"')
    path.write_text(text)
    exports.import_(other, "first")
    exports.export(other, "rle-json", "second", classes=exports.folder / "other.lock")
    (row,) = (one for one in exports.lines("second/masks.jsonl") if one["regions"])
    areas = [(int(mask.sum()), [label]) for mask, label in ((CAR, "Car"), (ROAD, "Road"), (ROAD, "Car"), (CAR, "Road"))]
    assert [(one["area"], one["labels"]) for one in row["regions"]] == areas
    assert len({one["id"] for one in row["regions"]}) == len(drawn)
    assert exports.import_(other, "first").added == 0
