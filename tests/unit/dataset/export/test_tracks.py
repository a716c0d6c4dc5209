"""Tracks of propagated masks in exports: one number in all images, also for the region that the track began with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import LabelrigError
from dataset.export.writers import mots
from dataset.stats.tracks import TrackCount
from labeling.tracks import TrackNote, note_text, track_name
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, brush, rectangle_mask, url

SIZE = (20, 10)
CAR, ROAD = rectangle_mask(SIZE, 0, 0, 6, 5), rectangle_mask(SIZE, 10, 5, 20, 10)


@pytest.fixture
def project(exports: ExportBench) -> Project:
    """Three images: a car begins in the second one and is followed into the third; each has a road of its own."""
    server = exports.server
    project = server.project(FUSED)
    tasks = [server.task(project, image=url(f"set/{name}.png")) for name in ("a", "b", "c")]
    note = TrackNote(track_name(tasks[1], "r1"), "0123456789ab", 0.75)
    meta = {"meta": {"text": [note_text(note, "b.png", 0.9)]}}
    server.annotate(tasks[0], brush(ROAD, "Road", "r9"))
    server.annotate(tasks[1], [*brush(CAR, "Car", "r1"), *brush(ROAD, "Road", "r9")])
    server.annotate(tasks[2], [*brush(CAR, "Car", note.track, **meta), *brush(ROAD, "Road", "r9")])
    return project


def propagated(exports: ExportBench) -> None:
    task = next(iter(exports.server.tasks))
    exports.server.predictions[task].append({"id": 1, "result": [], "model_version": "propagate", "task": task})


def test_coco_and_rle_json_have_track_ids(exports: ExportBench, project: Project) -> None:
    propagated(exports)
    exports.export(project, "coco", "coco")
    rows = exports.json("coco/annotations.json")["annotations"]
    # Roads of one id in three tasks are three objects.
    assert [(one["image_id"], one["track_id"]) for one in rows] == [(1, 1), (2, 2), (2, 3), (3, 2), (3, 4)]
    exports.export(project, "rle-json", "rle")
    found: list[dict[str, Any]] = exports.lines("rle/masks.jsonl")
    assert [[one["track_id"] for one in image["regions"]] for image in found] == [[1], [2, 3], [2, 4]]


def test_no_track_ids_where_nothing_was_propagated(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("set/a.png"))
    exports.server.annotate(task, brush(CAR, "Car"))
    exports.export(project, "coco", "coco")
    assert "track_id" not in exports.json("coco/annotations.json")["annotations"][0]


def test_mots_counts_class_and_track(exports: ExportBench, project: Project) -> None:
    propagated(exports)
    exports.export(project, "png", mots=True)
    values = []
    for name in ("a", "b", "c"):
        with Image.open(exports.folder / "out" / "mots" / "set" / f"{name}.png") as picture:
            pixels = np.asarray(picture)
        assert pixels.dtype == np.uint16
        values.append((int(pixels[0, 0]), int(pixels[9, 19]), int(pixels[0, 19])))
    assert values == [(0, 2001, 0), (1002, 2003, 0), (1002, 2004, 0)]
    rows = exports.lines("out/mots.jsonl")
    assert rows[2]["image"] == "set/c.png"
    assert rows[2]["objects"][0]["value"] == 1002
    assert rows[2]["objects"][0]["label"] == "Car"


def test_more_than_mots_counts_is_refused(
    exports: ExportBench, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mots, "OF_A_CLASS", 2)
    with pytest.raises(LabelrigError, match=r"^set/b\.png: class \d, object 2 of its folder: MOTS counts to \d+"):
        exports.export(project, "png", mots=True)
    assert not (exports.folder / "out").exists()


def test_stats_count_tracks(exports: ExportBench, project: Project) -> None:
    count = TrackCount()
    assert count.lines() == []
    for task, rows in exports.server.annotations.items():
        for one in rows:
            count.add(task, one["result"])
    assert count.lines() == ["1 tracks of propagated masks, through 2 images in the middle, 2 at most"]
    assert count.as_facts() == {"count": 1, "median_images": 2, "most_images": 2}
    count.add(9, [None, {"meta": 3}])  # type: ignore[list-item]
    count.add(9, "no list")  # type: ignore[arg-type]
