"""Tracks of propagated masks in exports: one number in all images, also for the region that the track began with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import LabelrigError
from dataset.export.regions import Region
from dataset.export.selection import Selection
from dataset.export.tracks import with_tracks
from dataset.export.writers import mots
from dataset.stats.collect import Collector
from dataset.stats.tracks import TrackCount
from labeling.tracks import TrackNote, note_text, track_name
from labelstudio.models import Project
from masks.rle import encode_rle
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
    note = TrackNote(track_name(tasks[1], "r1"), "0123456789ab", 0.75, "b.png")
    meta = {"meta": {"text": [note_text(note, 0.9)]}}
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


class Followed:
    """Two images: a car of the first was propagated into the second, which a test annotates."""

    def __init__(self, exports: ExportBench) -> None:
        self.exports, self.server = exports, exports.server
        self.project = self.server.project(FUSED)
        self.tasks = [self.server.task(self.project, image=url(f"set/{name}.png")) for name in ("a", "b")]
        self.server.annotate(self.tasks[0], brush(CAR, "Car", "r1"))
        note = TrackNote(track_name(self.tasks[0], "r1"), "0123456789ab", 0.75, "a.png")
        meta = {"text": [note_text(note, 0.9)]}
        (self.mask,) = brush(CAR, "Car", note.track, meta=meta)
        one = {"id": 1, "result": [self.mask], "model_version": "propagate"}
        self.server.predictions[self.tasks[1]] = [one]

    def track_ids(self, **options: Any) -> list[tuple[int, int]]:
        """The image and the track of each object in an export."""
        self.exports.export(self.project, "coco", "coco", **options)
        rows = self.exports.json("coco/annotations.json")["annotations"]
        return [(one["image_id"], one["track_id"]) for one in rows]


@pytest.fixture
def followed(exports: ExportBench) -> Followed:
    return Followed(exports)


def test_masks_accepted_without_a_prediction_have_tracks(followed: Followed) -> None:
    """What `M` in the page continues is a note in an annotation, and no prediction."""
    followed.server.predictions[followed.tasks[1]].clear()
    followed.server.annotate(followed.tasks[1], [followed.mask, *brush(ROAD, "Road", "r9")])
    assert followed.track_ids() == [(1, 1), (2, 1), (2, 2)]
    followed.exports.export(followed.project, "png", mots=True)
    assert [one["objects"][0]["value"] for one in followed.exports.lines("out/mots.jsonl")] == [1001, 1001]


def test_words_of_a_person_are_no_track(followed: Followed) -> None:
    followed.server.predictions[followed.tasks[1]].clear()
    words = {"type": "textarea", "from_name": "t", "to_name": "image", "id": "t", "value": {"text": ["2: out of 5"]}}
    followed.server.annotate(followed.tasks[1], [*brush(CAR, "Car", "r2"), words])
    followed.exports.export(followed.project, "coco", "coco")
    rows = followed.exports.json("coco/annotations.json")["annotations"]
    assert [one.get("track_id") for one in rows] == [None, None]


def test_redrawn_mask_keeps_its_track(followed: Followed) -> None:
    """Where a propagated mask of its label lay, and in no other case."""
    new = [*brush(CAR, "Road", "r2"), *brush(ROAD, "Car", "r3"), *brush(rectangle_mask(SIZE, 1, 0, 7, 5), "Car", "r4")]
    followed.server.annotate(followed.tasks[1], new)
    assert followed.track_ids() == [(1, 1), (2, 2), (2, 3), (2, 1)]
    assert followed.track_ids(selection=Selection(labels=frozenset({"Car"})), force=True) == [(1, 1), (2, 2), (2, 1)]


def test_one_of_two_redrawn_masks_keeps_the_track(followed: Followed) -> None:
    followed.server.annotate(followed.tasks[1], [*brush(CAR, "Car", "r2"), *brush(CAR, "Car", "r3")])
    assert followed.track_ids() == [(1, 1), (2, 1), (2, 2)]


def test_copy_of_a_region_is_another_track(followed: Followed) -> None:
    """Copied in the editor, it has the note of the first; in MOTS the two were one object."""
    copy = {**brush(ROAD, "Car", "copy")[0], "meta": followed.mask["meta"]}
    followed.server.annotate(followed.tasks[1], [followed.mask, copy])
    assert followed.track_ids() == [(1, 1), (2, 1), (2, 2)]
    followed.exports.export(followed.project, "png", mots=True)
    objects = followed.exports.lines("out/mots.jsonl")[1]["objects"]
    assert [one["value"] for one in objects] == [1001, 1002]


def test_emptied_mask_leaves_its_track_to_another(followed: Followed) -> None:
    """Rubbed out after it was accepted, and drawn anew."""
    empty = {**brush(np.zeros_like(CAR), "Car", "gone")[0], "meta": followed.mask["meta"]}
    followed.server.annotate(followed.tasks[1], [empty, *brush(CAR, "Car", "r2")])
    assert followed.track_ids() == [(1, 1), (2, 1)]


def test_each_picture_of_a_pair_has_its_own_regions() -> None:
    """One track may be on both; a region that was drawn anew has none of them."""
    first = Region("a", "brush", ("Car",), "rgb", None, SIZE, {"rle": encode_rle(CAR)}, "1.r")
    regions = [first, replace(first, id="b", to_name="thermal"), replace(first, id="c", track="")]
    assert [one.track for one in with_tracks(7, regions, ())] == ["1.r", "1.r", "7.c"]


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


def test_stats_count_a_redrawn_mask_for_its_track(followed: Followed) -> None:
    collector, server = Collector("Scenes", ["Car"]), followed.server
    server.annotate(followed.tasks[1], brush(CAR, "Car", "r2"))
    for task, rows in server.annotations.items():
        collector.add({"id": task, "annotations": rows, "predictions": server.predictions[task]}, {})
    assert collector.stats.tracks.images == [2]


def test_stats_count_tracks(exports: ExportBench, project: Project) -> None:
    count = TrackCount()
    assert count.lines() == []
    for task, rows in exports.server.annotations.items():
        for one in rows:
            count.add(task, one["result"])
    assert count.lines() == ["1 tracks of propagated masks, through 2 images in the middle, 2 at most"]
    assert count.as_facts() == {"count": 1, "median_images": 2, "most_images": 2}
    count.add(9, [None, {"meta": 3}])
    count.add(9, "no list")
