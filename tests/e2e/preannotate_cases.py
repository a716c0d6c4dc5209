"""Boxes become masks as predictions on a real Label Studio and a real model, and masks are counted.

As `project_cases`, they take a `stage` fixture, and work in a project of their own (`own`).
"""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import LabelStudioError
from core.report import Report
from dataset.image_lookup import ImageLookup, Place
from dataset.preannotate.boxes import Box, matched
from dataset.preannotate.coco import read_coco
from dataset.preannotate.drawn import newest
from dataset.preannotate.everything import EverythingOptions, asks_of
from dataset.preannotate.work import Preannotation, Tally, states
from dataset.stats.collect import Collector
from infra.roles.project.project import get_project
from labelstudio.masks import masks_in
from labelstudio.models import Project
from labelstudio.prompts import box_regions
from labelstudio.truth import TruthObject, truth_of
from masks.measure import intersection_over_union
from tests.e2e.project_cases import Stage, own  # noqa: F401 - a fixture
from tests.e2e.workbench import IMAGE

MEAN_IOU = 0.9  # the demo images with the box from their truth: 0.957
SIZE_WH = (1920, 1080)


def project_of(stage: Stage) -> Project:
    return get_project(stage.client, stage.spec.title)


def truth(stage: Stage, image: str) -> list[TruthObject]:
    assert stage.ctx.truth is not None
    return list(truth_of(stage.ctx.truth, image))


def coco(stage: Stage, path: Path) -> Path:
    """The boxes of the drawn objects as a detector would write them."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    names = {label: number for number, label in enumerate(stage.spec.labeling.labels, 1)}
    for number, image in enumerate(stage.images(), 1):
        images.append({"id": number, "file_name": image, "width": SIZE_WH[0], "height": SIZE_WH[1]})
        for one in truth(stage, image):
            left, top, right, bottom = one.box_xyxy
            bbox = [left, top, right - left, bottom - top]
            annotations.append({"image_id": number, "category_id": names[one.label], "bbox": bbox})
    categories = [{"id": number, "name": label} for label, number in names.items()]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return path


def run(stage: Stage, boxes: dict[int, list[Box]], *, also_annotated: bool = False) -> Tally:
    project = project_of(stage)
    tasks = {one.id: one for one in states(stage.client, project, None, Report(io.StringIO()))}
    work = Preannotation(
        stage.client, stage.ctx.exec_in_backend, project, Report(io.StringIO()), also_annotated=also_annotated
    )
    return work.go(boxes, tasks)


def boxes_of_file(stage: Stage, tmp_path: Path) -> dict[int, list[Box]]:
    lookup, (image,) = ImageLookup(), stage.spec.labeling.images
    for task in stage.client.tasks(stage.project_id, image):
        lookup.add(task.image, Place(task.id, image.name))
    found = matched(read_coco(coco(stage, tmp_path / "boxes.json")), lookup)
    assert found.alone == []
    return found.by_task


def predictions(stage: Stage) -> dict[str, list[dict[str, Any]]]:
    """The predictions of every task, by its image."""
    found = stage.client.task_states(stage.project_id, "predictions")
    return {one["data"]["image"].rsplit("/", 1)[1]: one["predictions"] for one in found}


def test_boxes_of_a_file_become_the_masks_of_the_drawn_objects(own: Stage, tmp_path: Path) -> None:  # noqa: F811
    boxes = boxes_of_file(own, tmp_path)
    first, *rest = sorted(boxes)
    assert run(own, {first: boxes[first]}).images == 1

    tally = run(own, boxes)
    assert (tally.before, tally.images, tally.empty) == (1, len(rest), 0)

    ious = []
    for image, (prediction,) in predictions(own).items():
        masks = {one.region_id: one for one in masks_in(prediction["result"])}
        assert Counter(one.labels[0] for one in masks.values()) == Counter(one.label for one in truth(own, image))
        for one in truth(own, image):
            mine = [found.mask for found in masks.values() if found.labels == (one.label,)]
            ious.append(max(intersection_over_union(mask, one.mask()) for mask in mine))
    assert len(ious) >= 24
    assert np.mean(ious) >= MEAN_IOU
    assert run(own, boxes).before == len(boxes)
    assert all(len(rows) == 1 for rows in predictions(own).values())


def test_everything_finds_the_drawn_objects(own: Stage) -> None:  # noqa: F811
    """Without boxes: most objects of each image have a mask, all of one label, and there are few others."""
    project = project_of(own)
    tasks = {one.id: one for one in states(own.client, project, None, Report(io.StringIO()))}
    some = dict(list(tasks.items())[:3])
    options = EverythingOptions(None, own.spec.labeling.labels[0])
    work = Preannotation(own.client, own.ctx.exec_in_backend, project, Report(io.StringIO()))
    tally = work.ask("/everything", asks_of(some, own.spec.labeling, options), some)
    assert (tally.images, tally.failures) == (3, [])
    found, wanted = 0, 0
    for image, rows in predictions(own).items():
        masks = [one for row in rows for one in masks_in(row["result"])]
        assert {one.labels for one in masks} <= {(options.label,)}
        objects = truth(own, image) if rows else []
        wanted += len(objects)
        found += sum(max(intersection_over_union(one.mask, each.mask()) for one in masks) > 0.75 for each in objects)
    assert found >= 0.8 * wanted > 0
    assert tally.masks <= 2 * wanted
    assert work.ask("/everything", asks_of(some, own.spec.labeling, options), some).before == 3


def test_boxes_that_people_drew_become_masks_and_stay(own: Stage) -> None:  # noqa: F811
    task = next(own.client.tasks(own.project_id, own.spec.labeling.images[0]))
    one = truth(own, task.image.rsplit("/", 1)[1])[0]
    drawn = box_regions(own.spec.labeling, one.label, one.box_xyxy, SIZE_WH)
    own.client.sdk.annotations.create(task.id, result=drawn)

    project = project_of(own)
    found = {one.id: newest(one.drawn) for one in states(own.client, project, "annotations", Report(io.StringIO()))}
    boxes = {number: one.boxes for number, one in found.items() if one.boxes}
    assert list(boxes) == [task.id]
    assert run(own, boxes).annotated == 1  # of a file they would be left alone
    assert run(own, boxes, also_annotated=True).masks == 1

    stored = own.client._request("read a task", "GET", f"/api/tasks/{task.id}").json()
    assert [row["result"] for row in stored["annotations"]] == [drawn]
    (mask,) = {found.region_id: found for found in masks_in(stored["predictions"][0]["result"])}.values()
    assert intersection_over_union(mask.mask, one.mask()) > 0.75


def test_an_image_that_went_is_named_and_the_others_are_done(own: Stage, tmp_path: Path) -> None:  # noqa: F811
    boxes = boxes_of_file(own, tmp_path)
    url = "/data/local-files/?d=demo/none.png"
    own.client.sdk.projects.import_tasks(own.project_id, request=[{"image": url}])  # type: ignore[list-item]
    gone = max(task.id for task in own.client.tasks(own.project_id, IMAGE))
    with pytest.raises(LabelStudioError, match=f"1 images failed; .*\n  task {gone}: "):
        run(own, {**dict(list(boxes.items())[:2]), gone: [Box("Road", 10, 10, 20, 20)]})
    assert sum(len(rows) for rows in predictions(own).values()) == 2


def test_masks_are_counted_as_the_truth_says(own: Stage, tmp_path: Path) -> None:  # noqa: F811
    run(own, boxes_of_file(own, tmp_path))
    image, (prediction,) = next(iter(sorted(predictions(own).items())))
    task = next(task for task in own.client.tasks(own.project_id, IMAGE) if task.image.endswith(image))
    own.client.sdk.annotations.create(task.id, result=prediction["result"], lead_time=12.0)
    collector = Collector(own.spec.title, own.spec.labeling.labels)
    for one in own.client.task_states(own.project_id, "annotations"):
        collector.add(one, {("image", 0): one["data"]["image"]})
    found, drawn = collector.stats, truth(own, image)
    assert (found.images, found.annotated, found.masks, len(found.people)) == (12, 1, len(drawn), 1)
    assert found.seconds_per_mask == 12.0 / len(drawn)
    for label in {one.label for one in drawn}:
        areas = [100 * one.mask().mean() for one in drawn if one.label == label]
        assert sorted(found.by_class[label].areas) == pytest.approx(sorted(areas), rel=0.2)
    assert list(own.client.model_versions(own.project_id).values()) == [12]
