"""Files of others, and files that are broken: found out before anything is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import LabelrigError, SettingsError
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.importing.scenes import CAR, FILES, fill, payload, task_of
from tests.unit.labelstudio.annotated import (
    FUSED,
    brush,
    url,
)


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
    assert exports.import_(project, "project-4.json").added == 1
    assert exports.import_(project, "project-4.json", format_name="label-studio").present == 1


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
    with pytest.raises(SettingsError) as caught:
        exports.import_(project, "annotations.json")
    assert str(caught.value).endswith(
        "annotations.json: unclear which images are meant, nothing was done:\n"
        "  - the image a.png may be set/a.png, other/a.png: give its path below the image folder"
    )


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
        "cannot be imported, nothing was stored (--skip-broken leaves these 2 out and takes the rest):\n"
        "  - annotation 2 on a.png: category_id 8 is not a category of the file\n"
        "  - annotation 1: image_id 1 is not an image of the file",
    ),
    "image twice": (coco(images=coco()["images"] * 2), "images[1]: id 'i1' was given already"),
    "category twice": (coco(categories=coco()["categories"] * 2), "categories[1]: id 7 was given already"),
    "no size": (
        coco(images=[{"id": "i1", "file_name": "a.png"}]),
        "annotation 1 on a.png: the image has no width and height",
    ),
    "empty": ({}, "is not a file that can be imported (coco, rle-json, label-studio): it is empty"),
    "no images": (coco(images=[]), "there are no images in it; is it a COCO file?"),
    "no shape": (
        coco(annotations=[{"id": 1, "image_id": "i1", "category_id": 7}]),
        "annotation 1 on a.png: has no segmentation and no bbox",
    ),
    "no object": (coco(images=[3]), "images[0] is 3, where an object is expected"),
    "label": (
        coco(categories=[{"id": 7, "name": "Bus"}]),
        "does not fit the project 'Scenes', nothing was stored:\n"
        '  - no tag of the project takes a brush with the label "Bus" on the image "image"',
    ),
    "boxes": (
        coco(annotations=[{"id": 1, "image_id": "i1", "category_id": 7, "bbox": [1, 2, 3, 4]}]),
        'no tag of the project takes a rectangle with the label "Car" on the image "image"; make masks of boxes with '
        "`./inv preannotate`",
    ),
    "another size": (no_rle([1, 2]), "annotation 1 on a.png: the RLE's counts do not add up to 200 pixels"),
    "no numbers": (no_rle(["x"]), "annotation 1 on a.png: the RLE's counts are not whole numbers"),
    "no polygon": (
        coco(annotations=[{"id": 1, "image_id": "i1", "category_id": 7, "segmentation": [[1, 2, 3], [4, 5, 6]]}]),
        "annotation 1 on a.png: a polygon must be x and y in turn, it has 3 numbers",
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


def no_data(path: Path) -> None:
    path.write_text('[{"file_name": "a.png"}]')


SPOILED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "coco cut off": ("coco", cut, "is not JSON"),
    "label-studio cut off": ("label-studio", cut, "is not JSON"),
    "rle-json cut off": ("rle-json", cut, "masks.jsonl:2: is not JSON"),
    "rle-json with a short mask": ("rle-json", rle_cut_off, "line 2 (set/b.png): region 'x': the RLE's counts do not"),
    "label-studio with a short mask": ("label-studio", brush_cut_off, "entry 2 (set/b.png): region 'x' (Road): rle: "),
    "rle-json of another kind": ("rle-json", no_lines, "masks.jsonl:1: is not a line of an rle-json export"),
    "label-studio of another kind": ("label-studio", no_lines, "tasks.json: entry 1 is 1, where an object is expected"),
    "label-studio of other rows": ("label-studio", no_data, "entry 1 is not a task of Label Studio: it has no data"),
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
    with pytest.raises(
        SettingsError, match=r"has no manifest.json of an export, and there is no JSON file; give the file"
    ):
        exports.import_(project, "empty")
