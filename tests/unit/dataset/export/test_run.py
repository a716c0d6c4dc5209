"""An export as a whole: what it takes, and what it counts."""

from __future__ import annotations

import hashlib
import io
import re

import numpy as np
import pytest
from PIL import Image

from core.errors import LabelrigError, SettingsError
from dataset.export.selection import Selection, selection
from labelstudio.bulk import TaskReader
from labelstudio.models import Project
from tests.unit.dataset.export.scenes import CAR, ROAD, SIZE
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import (
    FUSED,
    OTHER,
    PAIR,
    AnnotatedLabelStudio,
    brush,
    result,
    url,
)


def names(exports: ExportBench, name: str = "out") -> list[str]:
    return [one["file_name"] for one in exports.json(f"{name}/annotations.json")["images"]]


def test_images_come_in_the_order_of_their_names(exports: ExportBench, project: Project) -> None:
    summary = exports.export(project, "coco")
    assert names(exports) == ["set/a Ñ.png", "set/b.png", "set/c.png"]
    assert (summary.images, summary.regions, summary.per_class) == (3, 3, {"Road": 2, "Car": 1})
    assert re.fullmatch(r".*/out: coco, 3 masks on 3 images in \d+\.\d s \(Car 1, Road 2\)", summary.sentence())


def test_the_manifest_counts_and_holds_checksums(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    manifest = exports.json("out/manifest.json")
    assert manifest["format"] == "coco"
    assert manifest["made_at"] == "2026-03-01T00:00:00+00:00"
    assert manifest["project"] == {"id": project.id, "title": "Scenes"}
    assert manifest["config"]["sha256"] == hashlib.sha256(FUSED.encode()).hexdigest()
    assert manifest["counts"] == {
        "images": 3,
        "images_without_regions": 1,
        "images_of_several_tasks": 0,
        "regions": 3,
        "classes": {
            "Car": {"id": 1, "regions": 1, "images": 1, "pixels": 35},
            "Road": {"id": 2, "regions": 2, "images": 2, "pixels": 80},
        },
        "annotators": {
            "admin@labelrig.local": {"annotations": 2, "regions": 3},
            OTHER: {"annotations": 1, "regions": 1},
        },
        "left_out": {"empty": 1, "ghost": 1},
        "problems": [],
        "problem_count": 0,
    }
    folder = exports.folder / "out"
    files = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json"}
    for name, facts in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_origin_tells_where_a_mask_came_from(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    first = exports.lines("out/origin.jsonl")[0]
    assert first["images"] == [{"file_name": "set/a Ñ.png", "url": url("set/a%20%C3%91.png"), "to_name": "image"}]
    assert [one["annotator"] for one in first["annotations"]] == ["admin@labelrig.local"]


def test_problems_are_told_and_the_rest_is_exported(exports: ExportBench, project: Project) -> None:
    broken = brush(CAR, "Car")
    broken[0]["value"]["rle"] = broken[0]["value"]["rle"][:9]
    task = exports.server.task(project, image=url("set/e.png"))
    exports.server.annotate(task, [*broken, *brush(ROAD, "Road", "b"), *brush(CAR[:5], "Car", "c")])
    lost = exports.server.task(project, image=url("set/f.png"))
    exports.server.annotate(lost, [])
    summary = exports.export(project, "coco")
    assert summary.regions == 4
    first, second, third = summary.problems
    assert first.startswith(f"task {task}: region a (Car) cannot be read: rle: the code ends")
    assert second == f"task {task}: region c is of an image of 20x5 pixels, others of 20x10"
    assert third.startswith(f"task {lost}: cannot read the image {url('set/f.png')}")
    assert exports.json("out/manifest.json")["counts"]["problem_count"] == 3
    assert summary.sentence().endswith("; 3 could not be exported (see manifest.json)")


def test_the_selection_takes_labels_tasks_people_and_dates(exports: ExportBench, project: Project) -> None:
    tasks = list(exports.server.tasks)
    exports.server.annotations[tasks[0]][0]["updated_at"] = "2026-04-01T23:59:59.000000Z"
    cases = {
        "label": (selection(labels="Car"), ["set/a Ñ.png", "set/b.png", "set/c.png"], 1),
        "task": (selection(tasks=f"{tasks[1]}-{tasks[2]}"), ["set/a Ñ.png"], 1),
        "person": (selection(annotators=OTHER.upper()), ["set/c.png"], 0),
        "since": (selection(since="2026-04-01"), ["set/b.png"], 2),
        "until": (selection(until="2026-03-31"), ["set/a Ñ.png", "set/c.png"], 1),
        "whole day": (selection(since="2026-04-01", until="2026-04-01"), ["set/b.png"], 2),
    }
    for name, (given, images, regions) in cases.items():
        summary = exports.export(project, "coco", name, selection=given)
        assert (names(exports, name), summary.regions) == (images, regions), name


def test_unselected_label_leaves_label_studios_json_too(exports: ExportBench, project: Project) -> None:
    """A label that was not selected leaves Label Studio's JSON too."""
    exports.export(project, "label-studio", selection=selection(labels="Car"))
    results = [one["annotations"][0]["result"] for one in exports.json("out/tasks.json")]
    assert [[each["value"]["brushlabels"] for each in one] for one in results] == [[], [["Car"]], []]


def test_reports_all_unreadable_parts_of_a_selection() -> None:
    """Everything that cannot be read of a selection is reported at once."""
    with pytest.raises(SettingsError) as caught:
        selection(tasks="1,x,9-3", since="yesterday", until="2026-13-01", which="some")
    when = "takes a day such as 2026-03-01, or a time such as 2026-03-01T14:00+01:00, not"
    assert str(caught.value).split("; ") == [
        "--tasks takes ids and ranges such as 12,20-99, not 'x'",
        "--tasks takes ids and ranges such as 12,20-99, not '9-3'",
        f"--since {when} 'yesterday'",
        f"--until {when} '2026-13-01'",
        "--annotations is newest or all, not 'some'",
    ]
    with pytest.raises(SettingsError, match="--since 2026-03-02 is not before --until 2026-03-01"):
        selection(since="2026-03-02", until="2026-03-01")


def test_ground_truth_then_newest_annotation_counts(exports: ExportBench) -> None:
    """Of several annotations the newest counts, and ground truth before it."""
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("a.png"))
    old = exports.server.annotate(task, brush(CAR, "Car"))
    exports.server.annotate(task, brush(ROAD, "Road"), updated_at="2026-03-02T10:00:00.000000Z", completed_by=2)
    exports.server.annotate(task, [], was_cancelled=True, updated_at="2026-03-03T10:00:00.000000Z")
    assert exports.export(project, "coco", "newest").per_class == {"Road": 1}
    assert exports.export(project, "coco", "all", selection=selection(which="all")).per_class == {"Car": 1, "Road": 1}
    next(one for one in exports.server.annotations[task] if one["id"] == old)["ground_truth"] = True
    assert exports.export(project, "coco", "truth").per_class == {"Car": 1}
    exports.export(project, "label-studio", "skipped", selection=Selection(which="all", skipped=True))
    assert len(exports.json("skipped/tasks.json")[0]["annotations"]) == 3


def test_tasks_that_nobody_annotated_come_when_asked_for(exports: ExportBench, project: Project) -> None:
    content = io.BytesIO()
    Image.new("L", SIZE).save(content, "PNG")
    exports.server.images["set/d.png"] = content.getvalue()
    exports.export(project, "coco", selection=selection(annotated_only=False))
    images = exports.json("out/annotations.json")["images"]
    assert [one["file_name"] for one in images if one.get("annotated") is False] == ["set/d.png"]


def test_two_images_of_one_task_are_two_images(exports: ExportBench) -> None:
    project = exports.server.project(PAIR)
    task = exports.server.task(project, rgb=url("rgb/1.png"), thermal=url("thermal/1.png"))
    value = brush(CAR, "Car")[0]["value"]
    small = brush(ROAD[:5, :8], "Car")[0]["value"]
    exports.server.annotate(
        task,
        [
            result("brushlabels", "brush_rgb", "a", SIZE, value, to_name="rgb"),
            result(
                "brushlabels",
                "brush_thermal",
                "a",
                (8, 5),
                small | {"rle": brush(CAR[3:8, :8], "Car")[0]["value"]["rle"]},
                to_name="thermal",
            ),
        ],
    )
    exports.export(project, "rle-json")
    rows = exports.lines("out/masks.jsonl")
    assert [(one["file_name"], one["to_name"], one["width"], one["regions"][0]["area"]) for one in rows] == [
        ("rgb/1.png", "rgb", 20, 35),
        ("thermal/1.png", "thermal", 8, 30),
    ]


def test_lists_of_images_are_told_apart(exports: ExportBench) -> None:
    config = FUSED.replace('value="$image"', 'valueList="$images"')
    project = exports.server.project(config)
    task = exports.server.task(project)
    exports.server.tasks[task]["data"] = {"images": [url("1.png"), url("2.png")]}
    exports.server.annotate(task, [*brush(CAR, "Car", item_index=0), *brush(ROAD, "Road", "b", item_index=1)])
    exports.export(project, "rle-json")
    rows = exports.lines("out/masks.jsonl")
    assert [(one["file_name"], one["item_index"], one["regions"][0]["labels"]) for one in rows] == [
        ("1.png", 0, ["Car"]),
        ("2.png", 1, ["Road"]),
    ]


def test_nothing_to_export_is_an_error_with_the_reasons(exports: ExportBench, project: Project) -> None:
    with pytest.raises(LabelrigError) as caught:
        exports.export(project, "coco", selection=selection(since="2030-01-01"))
    assert str(caught.value) == (
        "nothing in the project 'Scenes' fits the selection (3 of its tasks were read; left out: 3 annotation not "
        "selected); nothing was written"
    )
    assert list(exports.folder.iterdir()) == []


def test_large_masks_are_asked_for_a_few_at_a_time(exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelstudio.bulk.CHUNK_BYTES", 4_000)
    project = exports.server.project(FUSED)
    ragged = np.random.default_rng(0).random((40, 40)) < 0.5
    for number in range(20):
        exports.server.annotate(exports.server.task(project, image=url(f"{number:02}.png")), brush(ragged, "Car"))
    assert exports.export(project, "coco").images == 20
    assert exports.server.pages == [8] + [1] * 12


def test_large_predictions_are_read_a_few_at_a_time(exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelstudio.bulk.CHUNK_BYTES", 4_000)
    project = exports.server.project(FUSED)
    ragged = np.random.default_rng(0).random((40, 40)) < 0.5
    tasks = [exports.server.task(project, image=url(f"{number}.png")) for number in range(12)]
    for task in tasks:
        exports.server.predictions[task] = [{"id": task, "result": brush(ragged, "Car"), "model_version": "x"}]
    assert len(list(TaskReader(exports.client, project.id, with_predictions=True).read(tasks))) == 12
    assert exports.server.pages == [8] + [1] * 4


def test_many_small_tasks_are_asked_for_many_at_a_time(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    for number in range(1200):
        exports.server.annotate(exports.server.task(project, image=url(f"{number:04}.png")), brush(CAR, "Car"))
    assert exports.export(project, "rle-json").images == 1200
    assert exports.server.pages[:4] == [8, 16, 32, 64]
    assert len(exports.server.pages) <= 8 + 1200 // 64


# Which configuration, and class numbers.


def test_the_fake_answers_as_the_application() -> None:
    """Field names that Label Studio leaves out of nested objects, too."""
    server = AnnotatedLabelStudio()
    project = server.project(FUSED)
    task = server.task(project, image=url("a.png"))
    server.annotate(task, [])
    assert server._row(task, {"id", "annotations"}, True) == {"id": task, "annotations": [{"id": task + 1}]}
