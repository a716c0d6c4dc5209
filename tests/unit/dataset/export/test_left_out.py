"""What an export leaves out is said where the person looks, a line a reason, and not in the manifest alone."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from core.errors import LabelrigError
from dataset.export.selection import selection
from tests.unit.dataset.export.scenes import CAR, ROAD, SIZE
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import (
    FUSED,
    OTHER,
    PAIR,
    SPLIT,
    brush,
    ghost,
    key_point,
    rectangle,
    split_brush,
    url,
    with_palette,
)

BOX = {"x": 10.0, "y": 30.0, "width": 35.0, "height": 50.0, "rotation": 0}
SMARTLESS = SPLIT.replace('name="box" toName="image" smart="true"', 'name="box" toName="image"')
# A box class that no mask has, as of people who count but do not outline.
OF_ITS_OWN = FUSED.replace(
    '<Image name="image"',
    '<RectangleLabels name="crowds" toName="image"><Label value="Crowd"/></RectangleLabels>\n  <Image name="image"',
)


def left_out(exports: ExportBench) -> list[str]:
    return [line for line in exports.shown() if line.startswith("! left out: ")]


def test_every_reason_has_a_line(exports: ExportBench) -> None:
    """Boxes of a tag that says nothing of smart, brushes without a label, drafts: a person's work, so what to do."""
    project = exports.server.project(SMARTLESS)
    task = exports.server.task(project, image=url("set/a.png"))
    lonely = split_brush(ROAD, "Road", "b")[:1]
    boxes = [one for number in "12" for one in with_palette("rectangle", "box", BOX, "Car", SIZE, number)]
    exports.server.annotate(task, [*split_brush(CAR, "Car"), *lonely, *boxes, ghost(CAR, "Road"), key_point("Car")])
    drafted = exports.server.task(project, image=url("set/b.png"))
    exports.server.drafts |= {task: 1, drafted: 2}
    exports.export(project, "coco")
    assert left_out(exports) == [
        "! left out: 2 x draft (drawn and never submitted: open these tasks and press Submit or Update; tasks "
        f"{task}, {drafted})",
        "! left out: 1 x ghost (second results of masks with the label of another tag; the masks themselves are "
        "exported)",
        "! left out: 1 x key point (they prompt the model)",
        "! left out: 1 x no label (regions that need a label: select them in Label Studio and give them one)",
        '! left out: 2 x prompt (rectangles beside a brush, bitmask or polygon ask the model for a mask; smart="false" '
        "at their tag exports them)",
    ]
    counted = {"draft": 2, "ghost": 1, "key point": 1, "no label": 1, "prompt": 2}
    assert exports.json("out/manifest.json")["counts"]["left_out"] == counted
    facts = exports.report.facts["export"]
    assert isinstance(facts, dict)
    assert facts["left_out"] == counted


def test_an_export_of_all_says_nothing(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("a.png")), brush(CAR, "Car"))
    exports.export(project, "coco")
    assert left_out(exports) == []


def test_skipped_tasks_and_older_annotations_differ(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("a.png"))
    exports.server.annotate(task, brush(CAR, "Car"))
    exports.server.annotate(task, brush(ROAD, "Road"), updated_at="2026-03-02T10:00:00.000000Z", completed_by=2)
    exports.server.annotate(task, [], was_cancelled=True)
    exports.export(project, "coco")
    assert [line.partition(" (")[0] for line in left_out(exports)] == [
        "! left out: 1 x annotation not selected",
        "! left out: 1 x annotation skipped",
    ]
    assert exports.json("out/manifest.json")["counts"]["annotators"] == {OTHER: {"annotations": 1, "regions": 1}}


def test_drafts_of_other_tasks_are_not_named(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    tasks = [exports.server.task(project, image=url(f"{name}.png")) for name in "abc"]
    for task in tasks:
        exports.server.annotate(task, brush(CAR, "Car"))
        exports.server.drafts[task] = 1
    exports.export(project, "coco", selection=selection(tasks=f"{tasks[0]}-{tasks[1]}"))
    assert left_out(exports)[0].endswith(f"; tasks {tasks[0]}, {tasks[1]})")


def test_a_box_whose_label_no_mask_can_have_is_kept(exports: ExportBench) -> None:
    """It can have asked for no mask; one whose label masks have is a prompt as before."""
    project = exports.server.project(OF_ITS_OWN)
    task = exports.server.task(project, image=url("a.png"))
    crowd = rectangle("Crowd", (2, 3, 7, 5), SIZE, "c")
    crowd |= {"from_name": "crowds", "value": {**crowd["value"], "rectanglelabels": ["Crowd"]}}
    exports.server.annotate(task, [*brush(ROAD, "Road"), crowd, rectangle("Car", (1, 1, 5, 5), SIZE, "p")])
    assert exports.export(project, "coco").per_class == {"Road": 1, "Crowd": 1}
    box = exports.json("out/annotations.json")["annotations"][1]
    assert (box["kind"], box["bbox"], box["area"]) == ("rectangle", [2, 3, 7, 5], 35)
    assert [line.partition(" (")[0] for line in left_out(exports)] == ["! left out: 1 x prompt"]
    exports.export(project, "label-studio", "tasks")
    results = exports.json("tasks/tasks.json")[0]["annotations"][0]["result"]
    assert [one["id"] for one in results] == ["a", "c"]


@pytest.mark.parametrize("format_name", ["coco", "label-studio"])
def test_what_label_studios_json_keeps_is_not_left_out(exports: ExportBench, format_name: str) -> None:
    """A brush without a label is no mask, but a result: only the formats of masks leave it out."""
    project = exports.server.project(SPLIT)
    task = exports.server.task(project, image=url("a.png"))
    exports.server.annotate(task, [*split_brush(CAR, "Car"), *split_brush(ROAD, "Road", "b")[:1]])
    exports.export(project, format_name)
    lines = [line.partition(" (")[0] for line in left_out(exports)]
    assert lines == ([] if format_name == "label-studio" else ["! left out: 1 x no label"])


@pytest.mark.parametrize("format_name", ["png", "yolo-seg", "csv", "coco", "rle-json"])
def test_further_labels_are_said_where_they_are_lost(exports: ExportBench, format_name: str) -> None:
    project = exports.server.project(FUSED)
    (one,) = brush(CAR, "Car")
    one["value"]["brushlabels"] = ["Car", "Road"]
    exports.server.annotate(exports.server.task(project, image=url("a.png")), [one])
    exports.export(project, format_name)
    lines = [line.partition(" (")[0] for line in left_out(exports)]
    assert lines == ([] if format_name in ("coco", "rle-json") else ["! left out: 1 x further label"])


def test_an_object_that_png_cannot_show_is_said(exports: ExportBench) -> None:
    """A Car below a Road is gone from the picture of classes; below another Car it is not."""
    project = exports.server.project(FUSED)
    results = [*brush(CAR, "Car"), *brush(CAR | ROAD, "Road", "b"), *brush(CAR & ROAD | ROAD, "Road", "c")]
    exports.server.annotate(exports.server.task(project, image=url("a.png")), results)
    exports.export(project, "png")
    (note,) = [line for line in exports.shown() if "drawn later" in line]
    assert note.startswith("! 1 objects have no pixel of their class")


def test_a_project_of_drafts_alone_says_so(exports: ExportBench) -> None:
    """All that a person drew is there, and nothing of it was submitted."""
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("a.png"))
    exports.server.drafts[task] = 1
    with pytest.raises(LabelrigError, match=rf"no annotation yet; .*; tasks {task} hold drafts: open them and press"):
        exports.export(project, "coco")


def test_an_image_with_prompts_alone_is_not_empty(exports: ExportBench) -> None:
    """A point without a mask means an object; what was submitted without anything says that there is none."""
    project = exports.server.project(FUSED)
    point, box = key_point("Car"), rectangle("Car", (1, 1, 5, 5), SIZE, "b")
    content = io.BytesIO()
    Image.new("RGB", SIZE).save(content, "PNG")
    exports.server.images["none.png"] = content.getvalue()  # where nothing is drawn, it tells the size
    for name, results in {"mask": [*brush(CAR, "Car"), point], "point": [point], "box": [box], "none": []}.items():
        exports.server.annotate(exports.server.task(project, image=url(f"{name}.png")), results)
    exports.export(project, "coco")
    assert [one["file_name"] for one in exports.json("out/annotations.json")["images"]] == ["mask.png", "none.png"]
    counts = exports.json("out/manifest.json")["counts"]
    assert counts["left_out"] == {"image with prompts alone": 2, "key point": 2, "prompt": 1}
    exports.export(project, "coco", "all", selection=selection(annotated_only=False))
    annotated = {one["file_name"]: one.get("annotated", True) for one in exports.json("all/annotations.json")["images"]}
    assert annotated == {"mask.png": True, "point.png": False, "box.png": False, "none.png": True}


def test_of_a_pair_the_image_with_a_mask_counts(exports: ExportBench) -> None:
    """The key point's tag is none of the configuration's any more: it may have asked, too."""
    project = exports.server.project(PAIR)
    task = exports.server.task(project, rgb=url("rgb.png"), thermal=url("thermal.png"))
    masks = [one | {"from_name": "brush_rgb", "to_name": "rgb"} for one in brush(CAR, "Car")]
    exports.server.annotate(task, [*masks, key_point("Car") | {"to_name": "thermal"}])
    exports.export(project, "coco")
    assert [one["file_name"] for one in exports.json("out/annotations.json")["images"]] == ["rgb.png"]


def test_points_that_ask_nothing_leave_an_image_annotated(exports: ExportBench) -> None:
    """A tag that says smart="false" asks for no mask: what it draws is an answer, though no format has it."""
    asks = 'name="kpts" toName="image" smart="true"'
    project = exports.server.project(FUSED.replace(asks, asks.replace("true", "false")))
    exports.server.annotate(exports.server.task(project, image=url("a.png")), [key_point("Car")])
    exports.export(project, "coco")
    assert len(exports.json("out/annotations.json")["images"]) == 1
