"""An export goes back into a project: once, beside nobody's work, and comes out the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.errors import LabelrigError, LabelStudioError, SettingsError
from infra.export.selection import Selection, selection
from infra.labelstudio.models import Project
from tests.unit.infra.annotated import (
    BOXES,
    FUSED,
    OTHER,
    PAIR,
    SPLIT,
    bitmask_value,
    brush,
    ghost,
    key_point,
    rectangle,
    rectangle_mask,
    result,
    split_brush,
    url,
    with_palette,
)
from tests.unit.infra.export.masks import Mask, speckled
from tests.unit.infra.export_bench import ExportBench

SIZE = (20, 10)
CAR, ROAD = rectangle_mask(SIZE, 2, 3, 9, 8), rectangle_mask(SIZE, 0, 8, 20, 10)
CAR[5, 4] = False
FILES = {"coco": "annotations.json", "rle-json": "masks.jsonl", "label-studio": "tasks.json"}
EVERYTHING = Selection(which="all", skipped=True)


def fill(exports: ExportBench, config: str, images: tuple[str, ...] = ("a", "b", "c")) -> Project:
    project = exports.server.project(config)
    for name in images:
        exports.server.task(project, image=url(f"set/{name}.png"))
    return project


def task_of(exports: ExportBench, project: Project, name: str) -> int:
    rows = exports.server.tasks.items()
    return next(
        key for key, one in rows if one["project"] == project.id and one["data"].get("image") == url(f"set/{name}.png")
    )


@pytest.fixture
def project(exports: ExportBench) -> Project:
    """Masks, ghosts and a prompt on two of three images."""
    project = fill(exports, FUSED)
    exports.server.annotate(
        task_of(exports, project, "a"),
        [*brush(CAR, "Car"), ghost(CAR, "Road"), *brush(ROAD, "Road", "b"), key_point("Car")],
    )
    exports.server.annotate(task_of(exports, project, "b"), brush(ROAD, "Road", "x"), completed_by=2)
    return project


def payload(exports: ExportBench, name: str, format_name: str) -> bytes:
    return (exports.folder / name / FILES[format_name]).read_bytes()


@pytest.mark.parametrize("format_name", FILES)
@pytest.mark.parametrize("images", [("a", "b", "c"), ("c", "b", "a")])
def test_export_import_export_is_the_same_file(
    exports: ExportBench, project: Project, format_name: str, images: tuple[str, ...]
) -> None:
    exports.export(project, format_name, "first")
    other = fill(exports, FUSED, images)
    summary = exports.import_(other, "first")
    assert (summary.added, summary.present, summary.kept, summary.missing) == (2, 0, [], [])
    exports.export(other, format_name, "second")
    assert payload(exports, "second", format_name) == payload(exports, "first", format_name)


@pytest.mark.parametrize("format_name", FILES)
@pytest.mark.parametrize("as_kind", ["annotation", "prediction"])
def test_a_second_import_adds_nothing(exports: ExportBench, project: Project, format_name: str, as_kind: str) -> None:
    exports.export(project, format_name)
    assert exports.import_(fill(exports, FUSED), as_kind=as_kind).added == 2
    other = Project(max(exports.server.projects), "Scenes", "", FUSED, True, 0)
    again = exports.import_(other, as_kind=as_kind)
    assert (again.added, again.present) == (0, 2)
    assert again.sentence() == f"0 {as_kind}s added; 2 were there already"


@pytest.mark.parametrize("format_name", FILES)
def test_what_is_there_already_is_seen(exports: ExportBench, project: Project, format_name: str) -> None:
    """Into the project that it came from: with ghosts and prompts in it."""
    exports.export(project, format_name)
    summary = exports.import_(project)
    assert (summary.added, summary.present, summary.kept) == (0, 2, [])
    exports.export(
        project, format_name, "some", selection=selection(labels="Car", tasks=str(task_of(exports, project, "a")))
    )
    summary = exports.import_(project, "some")
    assert summary.added == 0


def test_a_persons_work_is_left_alone(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    other = fill(exports, FUSED)
    mine = task_of(exports, other, "a")
    exports.server.annotate(mine, brush(ROAD, "Car", "mine"))
    summary = exports.import_(other)
    assert (summary.added, summary.kept) == (1, [mine])
    assert [one["result"][0]["id"] for one in exports.server.annotations[mine]] == ["mine"]
    assert "1 tasks left alone, people have annotated them" in summary.sentence()
    summary = exports.import_(other, as_kind="prediction")
    assert summary.added == 2
    assert [one["result"][0]["id"] for one in exports.server.annotations[mine]] == ["mine"]
    (prediction,) = exports.server.predictions[mine]
    assert prediction["model_version"] == "import"
    assert [one["value"]["brushlabels"] for one in prediction["result"]] == [["Car"], ["Road"]]


def test_annotations_keep_their_people_and_times(exports: ExportBench, project: Project) -> None:
    task = task_of(exports, project, "a")
    exports.server.annotate(task, brush(ROAD, "Car", "two"), completed_by=2, ground_truth=True, lead_time=None)
    exports.server.annotate(task, [], was_cancelled=True)
    exports.export(project, "label-studio", selection=EVERYTHING)
    other = fill(exports, FUSED)
    assert exports.import_(other).added == 4
    stored = exports.server.annotations[task_of(exports, other, "a")]
    kept = ("completed_by", "ground_truth", "was_cancelled", "lead_time")
    assert [[one[name] for name in kept] for one in stored] == [
        [1, False, False, 3.5],
        [2, True, False, None],
        [1, False, True, 3.5],
    ]
    exports.export(other, "label-studio", "second", selection=EVERYTHING)
    assert payload(exports, "second", "label-studio") == payload(exports, "out", "label-studio")


def test_a_person_who_is_not_there_becomes_the_one_who_imports(exports: ExportBench, project: Project) -> None:
    exports.export(project, "label-studio")
    del exports.server.users[2]
    other = fill(exports, FUSED)
    exports.import_(other)
    (stored,) = exports.server.annotations[task_of(exports, other, "b")]
    assert stored["completed_by"] == 1


def test_an_import_that_broke_off_goes_on(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    other = fill(exports, FUSED)
    second = task_of(exports, other, "b")

    def gone(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("connection reset")

    exports.server.overrides[f"POST /api/tasks/{second}/annotations"] = gone
    with pytest.raises(LabelStudioError, match=f"cannot annotate task {second}: the connection"):
        exports.import_(other)
    exports.server.overrides.clear()
    summary = exports.import_(other)
    assert (summary.added, summary.present) == (1, 1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_missing_tasks_are_made_from_label_studios_json(exports: ExportBench, project: Project) -> None:
    exports.export(project, "label-studio")
    empty = exports.server.project(FUSED)
    with pytest.raises(
        LabelrigError, match=r"none of the 2 images of the file is in the project 'Scenes' \(the first: set/a.png\)"
    ):
        exports.import_(empty)
    summary = exports.import_(empty, create_tasks=True)
    assert (summary.new_tasks, summary.added) == (2, 2)
    assert exports.import_(empty, create_tasks=True).new_tasks == 0
    exports.export(empty, "label-studio", "second")
    assert payload(exports, "second", "label-studio") == payload(exports, "out", "label-studio")


def test_what_label_studio_itself_exports_is_read_too(exports: ExportBench) -> None:
    project = fill(exports, FUSED)
    row = {
        "id": 99,
        "annotations": [
            {"id": 5, "completed_by": 3, "result": brush(CAR, "Car"), "was_cancelled": False, "lead_time": 2.0}
        ],
        "file_upload": "x",
        "drafts": [],
        "predictions": [],
        "data": {"image": url("set/b.png")},
        "project": 4,
    }
    (exports.folder / "project-4.json").write_text(json.dumps([row]))
    with pytest.raises(SettingsError, match="say what it is: --format coco, rle-json, label-studio"):
        exports.import_(project, "project-4.json")
    assert exports.import_(project, "project-4.json", format_name="label-studio").added == 1


# COCO files of others.


def coco(**changes: Any) -> dict[str, Any]:
    base = {
        "images": [{"id": "i1", "file_name": "a.png", "width": 20, "height": 10}],
        "categories": [{"id": 7, "name": "Car"}],
        "annotations": [
            {
                "id": 1,
                "image_id": "i1",
                "category_id": 7,
                "iscrowd": 0,
                "segmentation": [[2, 3, 9, 3, 9, 8, 2, 8], [0, 0, 1, 0, 1, 1, 0, 1]],
            }
        ],
    }
    return base | changes


def write(exports: ExportBench, content: object) -> None:
    (exports.folder / "annotations.json").write_text(json.dumps(content))


def test_a_coco_file_of_others_finds_its_images_by_their_names(exports: ExportBench) -> None:
    project = fill(exports, FUSED)
    more = [
        {"id": "i2", "file_name": "nobody.png", "width": 3, "height": 3},
        {"id": "i3", "file_name": "b.png", "width": 20, "height": 10},
    ]
    shape = [{"id": 2, "image_id": "i2", "category_id": 7, "segmentation": [[0, 0, 2, 0, 2, 2]]}]
    write(exports, coco(images=coco()["images"] + more, annotations=shape + coco()["annotations"]))
    summary = exports.import_(project, "annotations.json")
    assert (summary.added, summary.missing) == (1, ["nobody.png"])
    assert exports.server.annotations[task_of(exports, project, "b")] == []  # nobody said that nothing is there
    exports.export(project, "rle-json")
    (row,) = exports.lines("out/masks.jsonl")
    assert row["regions"][0]["area"] == 36


def test_one_name_in_two_folders_is_not_guessed(exports: ExportBench) -> None:
    project = fill(exports, FUSED)
    exports.server.task(project, image=url("other/a.png"))
    write(exports, coco())
    with pytest.raises(LabelrigError, match="none of the 1 images"):
        exports.import_(project, "annotations.json")


def no_rle(counts: object) -> dict[str, Any]:
    return coco(
        annotations=[
            {"id": 1, "image_id": "i1", "category_id": 7, "segmentation": {"size": [10, 20], "counts": counts}}
        ]
    )


def no_category(one: dict[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "annotations": [{**one["annotations"][0], "category_id": 8, "id": 2}, {**one["annotations"][0], "image_id": 1}],
    }


BROKEN_COCO = {
    "wrong ids": (
        no_category(coco()),
        "cannot be imported, nothing was stored:\n"
        "  - annotation 2 has the category 8, which is not in the file\n"
        "  - annotation 1 is on image 1, which is not in the file",
    ),
    "image twice": (coco(images=coco()["images"] * 2), "image id 'i1' is given twice"),
    "category twice": (coco(categories=coco()["categories"] * 2), "category 7 has no name, or its id is given twice"),
    "no size": (coco(images=[{"id": "i1", "file_name": "a.png"}]), "image 'i1' needs file_name, width and height"),
    "empty": ({}, "there are no images in it; is it a COCO file?"),
    "no shape": (coco(annotations=[{"id": 1, "image_id": "i1", "category_id": 7}]), "annotation 1 has no segmentation"),
    "no object": (coco(images=[3]), "images.item holds 3, where an object is expected"),
    "label": (
        coco(categories=[{"id": 7, "name": "Bus"}]),
        "does not fit the project 'Scenes', nothing was stored:\n"
        '  - no tag of the project takes a brush with the label Bus on "image"',
    ),
    "boxes": (
        coco(annotations=[{"id": 1, "image_id": "i1", "category_id": 7, "bbox": [1, 2, 3, 4]}]),
        'no tag of the project takes a rectangle with the label Car on "image"; make masks of boxes with '
        "`./inv preannotate`",
    ),
    "another size": (no_rle([1, 2]), "annotation 1 cannot be read: the RLE's counts do not add up to 200 pixels"),
    "no numbers": (no_rle(["x"]), "annotation 1 cannot be read: invalid literal for int()"),
    "no polygon": (
        coco(annotations=[{"id": 1, "image_id": "i1", "category_id": 7, "segmentation": [[1, 2, 3], [4, 5, 6]]}]),
        "annotation 1 cannot be read: cannot reshape",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BROKEN_COCO.values(), ids=BROKEN_COCO)
def test_a_broken_coco_file_stores_nothing(exports: ExportBench, content: dict[str, Any], message: str) -> None:
    project = fill(exports, FUSED)
    write(exports, content)
    with pytest.raises(SettingsError) as caught:
        exports.import_(project, "annotations.json")
    assert message in str(caught.value)
    assert not any(exports.server.annotations.values())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def rle_cut_off(path: Path) -> None:
    """In the last image: those before it must not be stored either."""
    lines = path.read_text().splitlines()
    row = json.loads(lines[-1])
    row["regions"][-1]["rle"]["counts"].pop()
    path.write_text("".join(f"{line}\n" for line in [*lines[:-1], json.dumps(row)]))


def brush_cut_off(path: Path) -> None:
    rows = json.loads(path.read_text())
    del rows[-1]["annotations"][0]["result"][0]["value"]["rle"][9:]
    path.write_text(json.dumps(rows))


def no_lines(path: Path) -> None:
    path.write_text("[1]\n")


SPOILED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "coco cut off": ("coco", cut, "is not JSON"),
    "label-studio cut off": ("label-studio", cut, "is not JSON"),
    "rle-json cut off": ("rle-json", cut, "masks.jsonl:2: is no line of an rle-json export"),
    "rle-json with a short mask": ("rle-json", rle_cut_off, "masks.jsonl:2: is no line of an rle-json export"),
    "label-studio with a short mask": ("label-studio", brush_cut_off, "region 'x' of entry 2 cannot be read"),
    "rle-json of another kind": ("rle-json", no_lines, "masks.jsonl:1: is no line of an rle-json export"),
    "label-studio of another kind": ("label-studio", no_lines, "entry 1 is no task of Label Studio: it has no data"),
}


@pytest.mark.parametrize(("format_name", "spoil", "message"), SPOILED.values(), ids=SPOILED)
def test_a_spoiled_export_stores_nothing(
    exports: ExportBench, project: Project, format_name: str, spoil: Callable[[Path], None], message: str
) -> None:
    exports.export(project, format_name)
    spoil(exports.folder / "out" / FILES[format_name])
    other = fill(exports, FUSED)
    with pytest.raises(SettingsError) as caught:
        exports.import_(other)
    assert message in str(caught.value)
    assert not any(exports.server.annotations[task_of(exports, other, name)] for name in "abc")


def test_pictures_cannot_be_imported(exports: ExportBench, project: Project) -> None:
    exports.export(project, "png")
    with pytest.raises(SettingsError, match="is an export as png; these can be imported: coco, rle-json, label-studio"):
        exports.import_(project)
    with pytest.raises(SettingsError, match="'png' cannot be imported"):
        exports.import_(project, format_name="png")
    with pytest.raises(SettingsError, match="nothing-there: there is no such file"):
        exports.import_(project, "nothing-there")
    (exports.folder / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"has no manifest.json of an export; give the file, or --format"):
        exports.import_(project, "empty")


def test_predictions_that_label_studio_drops_are_noticed(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    other = fill(exports, FUSED)
    exports.server.overrides[f"POST /api/projects/{other.id}/import/predictions"] = lambda _: httpx.Response(
        201, json={"created": 0}
    )
    with pytest.raises(LabelStudioError, match="Label Studio stored 0 of 1; it drops predictions that do not fit"):
        exports.import_(other, as_kind="prediction")


def test_somebody_elses_annotation_does_not_hide_ours(exports: ExportBench, project: Project) -> None:
    """Two annotators on one image: both come back, also when only one of them is there."""
    task = task_of(exports, project, "a")
    exports.server.annotate(task, brush(ROAD, "Road", "z"), completed_by=2)
    exports.export(project, "label-studio", selection=selection(which="all"))
    other = fill(exports, FUSED)
    exports.import_(other)
    again = task_of(exports, other, "a")
    assert [one["completed_by"] for one in exports.server.annotations[again]] == [1, 2]
    exports.server.annotations[again].pop()
    assert exports.import_(other).added == 1
    assert OTHER in exports.server.users.values()
