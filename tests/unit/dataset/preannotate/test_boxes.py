"""Boxes out of files, and how they find their tasks; everything wrong in a file is reported at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import SettingsError
from dataset.image_lookup import ImageLookup, Place
from dataset.preannotate.boxes import Box, BoxFile, matched, with_labels
from dataset.preannotate.coco import read_coco
from dataset.preannotate.drawn import boxes_in, newest
from dataset.preannotate.yolo import read_yolo

COCO: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "vuelo ñ/a.png", "width": 200, "height": 100}],
    "categories": [{"id": 3, "name": "Car"}],
    "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [20, 10, 100, 50]}],
}


def coco(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({**COCO, **changes}))
    return path


def test_coco_pixels_become_percent(tmp_path: Path) -> None:
    found = read_coco(coco(tmp_path))
    assert found.by_image == {"vuelo ñ/a.png": [Box("Car", 10, 10, 50, 50, of_wh=(200, 100))]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"annotations": [{"image_id": 8, "category_id": 3}]},
            "annotations[0]: image_id 8 is not an image of the file",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 4}]},
            "annotations[0] on vuelo ñ/a.png: category_id 4 is not a category of the file",
        ),
        ({"images": None}, "there are no images in it; is it a COCO file?"),
        ({"images": [*COCO["images"], *COCO["images"]]}, "images[1]: id 7 was given already"),
        ({"categories": [{"id": 3}]}, "categories[0]: has no name"),
        (
            {"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3]}]},
            "annotations[0] on vuelo ñ/a.png: bbox must be [x, y, width, height] in pixels",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 3, "bbox": [250, 0, 5, 5]}]},
            "annotations[0] on vuelo ñ/a.png: its bbox lies outside the image",
        ),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [5, 5, 0, 5]}]}, "its bbox has no area"),
        (
            {"images": [{"id": 7, "file_name": "a.png"}]},
            "annotation 1 on a.png: the image has no width and height",
        ),
    ],
)
def test_a_coco_file_that_does_not_fit_itself_is_refused(
    tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_coco(coco(tmp_path, **changes))
    assert "cannot be used as COCO; nothing was done" in str(caught.value)
    assert problem in str(caught.value)


def test_a_name_of_two_coco_images_is_told(tmp_path: Path) -> None:
    """Two files merged without their folders: the boxes of both go to one image. Some tools repeat an image, too."""
    image, box = COCO["images"][0], COCO["annotations"][0]
    images = [image, {**image, "id": 8}, {**image, "id": 9}, {**image, "id": 10, "file_name": "b.png"}]
    found = read_coco(coco(tmp_path, images=images, annotations=[box, {**box, "id": 2, "image_id": 8}]))
    assert len(found.by_image["vuelo ñ/a.png"]) == 2
    (notice,) = found.notices
    assert notice == "boxes.json: 1 names stand for several images of the file, each is taken as one (vuelo ñ/a.png)"


def test_corners_in_the_place_of_sides_are_refused(tmp_path: Path) -> None:
    """Each is a box of COCO too, but for those that reach beyond the image."""
    base = COCO["annotations"][0]
    rows = [{**base, "id": number, "bbox": box} for number, box in enumerate(([120, 30, 180, 80], [10, 10, 60, 90]))]
    with pytest.raises(SettingsError, match=r"1 of 2 boxes reach beyond their images \(the first: annotation 0 on"):
        read_coco(coco(tmp_path, annotations=rows))
    # As corners the last one would have no width: these are sides, and sloppy.
    assert len(read_coco(coco(tmp_path, annotations=[*rows, {**base, "bbox": [150, 20, 40, 30]}])).by_image) == 1


def test_problems_of_a_coco_file_are_listed(tmp_path: Path) -> None:
    """The first ten are listed, the rest is counted."""
    rows = [{"image_id": number, "category_id": 3} for number in range(100, 115)]
    with pytest.raises(SettingsError) as caught:
        read_coco(coco(tmp_path, annotations=rows))
    assert str(caught.value).count("\n  - ") == 10
    assert str(caught.value).endswith("  and 5 more")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not JSON"), ("<annotations/>", "is XML"), ("PK\3\4", "is a ZIP"), ("[]", "is it a COCO file?")],
)
def test_files_that_are_not_coco(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_coco(tmp_path / "x.json")


def yolo(tmp_path: Path, line: str, names: str = "Car\nRoad\n") -> Path:
    folder = tmp_path / "set" / "labels"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "ñ 1.txt").write_text(line + "\n\n")
    (tmp_path / "set" / "classes.txt").write_text(names)
    return folder


def test_yolo_middles_become_corners(tmp_path: Path) -> None:
    found = read_yolo(yolo(tmp_path, "1 0.5 0.5 0.2 0.4\n0 0.1 0.1 0.2 0.2 0.93"))
    assert list(found.by_image) == ["deep/ñ 1"]
    assert found.notices == []
    first, second = found.by_image["deep/ñ 1"]
    assert (first.label, second.label) == ("Road", "Car")
    assert (first.x, first.y, first.width, first.height) == pytest.approx((40, 30, 20, 40))
    assert (second.x, second.y) == pytest.approx((0, 0))


def test_names_of_a_yolo_data_file(tmp_path: Path) -> None:
    folder = yolo(tmp_path, "1 0.5 0.5 0.2 0.4")
    (tmp_path / "set" / "classes.txt").unlink()
    (tmp_path / "set" / "data.yaml").write_text("names: {0: Car, 1: Boat}\n")
    assert read_yolo(folder).by_image["deep/ñ 1"][0].label == "Boat"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("9 0.5 0.5 0.2 0.4", "deep/ñ 1.txt:1: class 9 has no name"),
        ("1 0.5 0.5", "deep/ñ 1.txt:1: must be `class x y width height`"),
        ("1 50 50 20 40", "must be shares of the image, between 0 and 1"),
        ("1 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "is an outline, not a box"),
    ],
)
def test_wrong_yolo_line_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_yolo(yolo(tmp_path, line))
    assert problem in str(caught.value)


def test_a_yolo_folder_without_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no names of classes"):
        read_yolo(tmp_path)


PATHS = {"RGB/a.png": 1, "T/a.png": 2, "RGB/b.png": 3, "c d.png": 4}
BOX = Box("Car", 1, 2, 3, 4)


def lookup() -> ImageLookup:
    found = ImageLookup()
    for path, task in PATHS.items():
        found.add(f"/data/local-files/?d=set/{path}", Place(task, "rgb"))
    return found


def test_boxes_get_their_task_and_image() -> None:
    names = ["RGB/a.png", "/home/me/set/T/a.png", "b", "set/c d.png", "none.png"]
    found = matched(BoxFile("f", {name: [BOX] for name in names}), lookup())
    assert found.by_task == {task: [replace(BOX, image="rgb")] for task in (1, 2, 3, 4)}
    assert found.alone == ["none.png"]


def test_a_name_of_several_tasks_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        matched(BoxFile("f.json", {"a.png": [BOX]}), lookup())
    assert str(caught.value) == (
        "f.json: unclear which images are meant, nothing was done:\n"
        "  - the image a.png may be set/RGB/a.png, set/T/a.png: give its path below the image folder"
    )


def test_missing_labels_are_named() -> None:
    boxes = [Box("person", 0, 0, 1, 1), Box("car", 0, 0, 1, 1)]
    with_labels(boxes, {"person": "Person", "car": "Car"}, ["Person", "Car"], "f")
    with pytest.raises(SettingsError) as caught:
        with_labels(boxes, {"person": "Person"}, ["Person", "Car"], "f")
    assert str(caught.value) == (
        'f: the labeling configuration has no "car" (there are: Person, Car); say what they are with --label '
        "THEIRS=OURS"
    )


def test_which_results_are_boxes() -> None:
    corner = {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 5}
    results = [
        {"id": "a", "type": "rectangle", "value": corner},
        {"id": "a", "type": "labels", "value": {**corner, "labels": ["Car"]}},
        {"id": "b", "type": "rectanglelabels", "value": {**corner, "rectanglelabels": ["Road"]}},
        {"id": "c", "type": "brushlabels", "value": {"format": "rle", "rle": [1], "brushlabels": ["Sky"]}},
        {"id": "d", "type": "rectangle", "value": corner},
    ]
    assert boxes_in(results) == ([Box("Car", 1, 2, 3, 4, 5), Box("Road", 1, 2, 3, 4, 5)], [])


def test_the_newest_annotation_with_boxes_counts() -> None:
    def row(number: int, label: str, **more: object) -> dict[str, object]:
        value = {"x": 0, "y": 0, "width": 1, "height": 1, "rectanglelabels": [label]}
        return {"id": number, "result": [{"id": "r", "type": "rectanglelabels", "value": value}], **more}

    rows = [row(1, "Old"), row(3, "New"), row(4, "Skipped", was_cancelled=True), {"id": 5, "result": []}]
    assert [box.label for box in newest(rows).boxes] == ["New"]
