"""Masks and images find each other by the rule of each format's own reader, whatever the images are called."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import SettingsError
from core.text import inline
from labelstudio.models import Project
from tests.unit.dataset.export.masks import read_yolo, ultralytics_files
from tests.unit.dataset.export.scenes import CAR, ROAD, SIZE
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, OTHER, PAIR, Mask, brush, result, url

# Folders of labs: called as the reader's own, more than once, with its suffix in the middle, in capitals.
NAMES = (
    "RGB/images/c.png",
    "RGB/images/images/d.jpg",
    "images/e.png",
    "labels/f.png",
    "set/a.png.jpg",
    "set/Ñu 1.PNG",
    "set/images.v2/g.png",
    "set.png/h.png",
)


@pytest.fixture
def lab(exports: ExportBench) -> Path:
    """The lab's image folder, as the export's reader has it."""
    folder = exports.folder / "nas"
    for name in NAMES:
        add_image(folder, name)
    return folder


def add_image(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", SIZE).save(folder / name, "PNG")


def drawn_on(exports: ExportBench, names: Sequence[str]) -> Project:
    """A project with a Car of its own shape on each image."""
    project = exports.server.project(FUSED)
    for number, name in enumerate(names):
        task = exports.server.task(project, image=url(name))
        exports.server.annotate(task, brush(shape_of(number), "Car"))
    return project


def shape_of(number: int) -> Mask:
    """One for each image, so that a mask of another one is seen."""
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[1 : 2 + number, 2:9] = True
    return mask


def linked_files(out: Path, lab: Path) -> dict[str, Path]:
    """Do what docs/export.md says, then read as ultralytics does: names of images, and the files of their labels."""
    (out / "images").mkdir(exist_ok=True)
    for folder in lab.iterdir():
        subprocess.run(["cp", "-rs", f"{folder}", f"{out / 'images'}/"], check=True, timeout=60)
    found = ultralytics_files(out)
    assert all(image.is_file() for image in found)
    return {image.relative_to(out / "images").as_posix(): labels for image, labels in found.items()}


def test_yolo_lies_where_ultralytics_looks(
    exports: ExportBench, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is started in another folder than the export's."""
    project = drawn_on(exports, NAMES)
    assert exports.export(project, "yolo-seg").problems == ()
    monkeypatch.chdir(tmp_path)
    found = linked_files(exports.folder / "out", lab)
    assert sorted(found) == sorted(NAMES)
    for number, name in enumerate(NAMES):
        ((_, mask),) = read_yolo(found[name], SIZE)
        assert np.array_equal(mask, shape_of(number)), name
    (note,) = exports.report.notices[1:]
    assert note.startswith("3 label files lie below images/, where ultralytics looks for them, because a folder")


def test_yolo_names_what_ultralytics_cannot_pair(exports: ExportBench, lab: Path) -> None:
    """Labels that would go to another image, or to none, are not written; the others are."""
    names = ["set/a.jpg", "set/a.png", "set/b.gif", "v1./c.png", "set/d\u2028e.png", "set/z.png"]
    for name in names:
        add_image(lab, name)
    project = drawn_on(exports, names)
    summary = exports.export(project, "yolo-seg")
    tasks = list(exports.server.tasks)
    found = linked_files(exports.folder / "out", lab)
    assert sorted(found) == ["set/a.jpg", "set/z.png"]
    assert np.array_equal(read_yolo(found["set/a.jpg"], SIZE)[0][1], shape_of(0))
    assert (summary.images, summary.regions) == (2, 2)
    shown = [inline(name) for name in names]
    problems = sorted(summary.problems, key=lambda one: shown.index(one.split(": ")[1].removesuffix(" was left out")))
    starts = [f"task {task}: {name} was left out: " for task, name in zip(tasks[1:5], shown[1:5], strict=True)]
    assert [one[: len(start)] for one, start in zip(problems, starts, strict=True)] == starts
    reasons = [one[len(start) :] for one, start in zip(problems, starts, strict=True)]
    assert reasons[0] == (
        "ultralytics would read labels/set/a.txt for set/a.jpg and for this image, since it cuts off the suffix; "
        f"rename one of them, or export it alone with --tasks {tasks[1]}"
    )
    assert reasons[1].startswith("ultralytics passes over files that do not end in avif, bmp,")
    assert "whose name ends with a dot" in reasons[2]
    assert "line break" in reasons[3]


def test_yolo_names_have_no_gap(exports: ExportBench) -> None:
    """ultralytics refuses numbers beyond the count of names; a lab's own file of numbers may have gaps."""
    (exports.folder / "classes.lock").write_text('{"format": 1, "classes": [{"id": 4, "name": "Car"}]}')
    exports.export(drawn_on(exports, ["a.png"]), "yolo-seg")
    (labels,) = ultralytics_files(exports.folder / "out").values()
    assert labels.read_text().split()[0] == "3"
    text = (exports.folder / "out" / "data.yaml").read_text()
    assert "names:\n  0: unused 0\n  1: unused 1\n  2: unused 2\n  3: Car\n  4: Road\n" in text


def test_coco_and_csv_name_files_of_the_lab(exports: ExportBench, lab: Path) -> None:
    """torchvision and detectron2 join the image's root with file_name; a table is joined by its column."""
    project = drawn_on(exports, NAMES)
    exports.export(project, "coco", "coco")
    content = exports.json("coco/annotations.json")
    names = {one["id"]: one["file_name"] for one in content["images"]}
    areas = {names[one["image_id"]]: one["area"] for one in content["annotations"]}
    exports.export(project, "csv", "csv")
    with (exports.folder / "csv" / "regions.csv").open(encoding="utf-8", newline="") as file:
        assert {row["image"]: int(row["area"]) for row in csv.DictReader(file)} == areas
    assert areas == {name: shape_of(number).sum() for number, name in enumerate(NAMES)}
    assert all((lab / name).is_file() for name in areas)


def test_png_pairs_are_in_the_list(exports: ExportBench) -> None:
    """Two images that differ in their suffix alone have two masks, and the second one's name says which it is."""
    names = ["set/a.jpg", "set/a.png", "set/b.png"]
    exports.export(drawn_on(exports, names), "png", instances=True)
    pairs = {one["image"]: one["mask"] for one in exports.lines("out/images.jsonl")}
    assert pairs == {"set/a.jpg": "masks/set/a.png", "set/a.png": "masks/set/a.png.png", "set/b.png": "masks/set/b.png"}
    for number, name in enumerate(names):
        for file in (pairs[name], pairs[name].replace("masks", "instances", 1)):
            with Image.open(exports.folder / "out" / file) as picture:
                assert np.array_equal(np.asarray(picture) > 0, shape_of(number)), file
    assert exports.shown()[-1].endswith("pair them by images.jsonl (set/a.png: masks/set/a.png.png)")


def test_tasks_of_one_image_are_one_image(exports: ExportBench) -> None:
    """A folder that was imported twice, and two people: readers take one file an image, or one entry."""
    project = drawn_on(exports, ["set/a.png", "set/b.png"])
    second = exports.server.task(project, image="https://lab.example/data/local-files/?d=set%2Fa.png")
    exports.server.annotate(second, brush(ROAD, "Road"), completed_by=2)
    first, other = list(exports.server.tasks)[:2]
    for name in ("yolo-seg", "png", "coco", "rle-json", "csv"):
        summary = exports.export(project, name, name)
        assert (summary.images, summary.regions, summary.problems) == (2, 3, ()), name
        assert exports.json(f"{name}/manifest.json")["counts"]["images_of_several_tasks"] == 1
    found = ultralytics_files(exports.folder / "yolo-seg")
    assert {image.name: len(read_yolo(labels, SIZE)) for image, labels in found.items()} == {"a.png": 2, "b.png": 1}
    with Image.open(exports.folder / "png" / "masks" / "set" / "a.png") as picture:
        assert np.array_equal(np.asarray(picture), np.where(ROAD, 2, shape_of(0)))
    content = exports.json("coco/annotations.json")
    assert [one["file_name"] for one in content["images"]] == ["set/a.png", "set/b.png"]
    assert [one["image_id"] for one in content["annotations"]] == [1, 1, 2]
    rows = exports.lines("rle-json/masks.jsonl")
    assert [(one["file_name"], len(one["regions"])) for one in rows] == [("set/a.png", 2), ("set/b.png", 1)]
    counts = exports.json("coco/manifest.json")["counts"]["annotators"]
    assert counts[OTHER] == {"annotations": 1, "regions": 1}
    assert (
        "! 1 images are shown by several tasks, whose masks are put together "
        f"(set/a.png: tasks {first}, {second})" in exports.shown()
    )
    assert other != second


def test_objects_of_a_storage_are_called_by_their_key(exports: ExportBench) -> None:
    """Label Studio's own link to them is another one in each task, and names neither bucket nor key."""
    project = exports.server.project(FUSED)
    first, second = (exports.server.task(project, image="s3://bucket/set/a.png") for _ in "12")
    exports.server.annotate(first, brush(CAR, "Car"))
    exports.server.annotate(second, brush(ROAD, "Road"))
    exports.export(project, "coco")
    assert [one["file_name"] for one in exports.json("out/annotations.json")["images"]] == ["bucket/set/a.png"]
    exports.export(project, "label-studio", "tasks")
    assert {one["data"]["image"] for one in exports.json("tasks/tasks.json")} == {"s3://bucket/set/a.png"}


def test_an_image_of_tasks_far_apart_is_one_image(exports: ExportBench) -> None:
    """One thermal image beside two RGB images: it is written when the last of its tasks was read."""
    project = exports.server.project(PAIR)
    value = brush(CAR, "Car")[0]["value"]
    for number in (1, 2, 3):
        thermal = "thermal/2.png" if number == 2 else "thermal/1.png"
        task = exports.server.task(project, rgb=url(f"rgb/{number}.png"), thermal=url(thermal))
        exports.server.annotate(
            task, [result("brushlabels", "brush_thermal", f"r{number}", SIZE, value, to_name="thermal")]
        )
    exports.server.images |= {f"rgb/{number}.png": picture() for number in (1, 2, 3)}
    exports.export(project, "coco")
    content = exports.json("out/annotations.json")
    names = [one["file_name"] for one in content["images"]]
    assert names == ["rgb/1.png", "rgb/2.png", "thermal/2.png", "rgb/3.png", "thermal/1.png"]
    of = [(names[one["image_id"] - 1], one["region"]) for one in content["annotations"]]
    assert of == [("thermal/2.png", "r2"), ("thermal/1.png", "r1"), ("thermal/1.png", "r3")]


def test_repeated_images_have_the_masks_that_lie_on_them(exports: ExportBench) -> None:
    """`<Repeater>`: each entry of the task's list is an image, under the name that results carry."""
    config = (
        '<View><Repeater on="$pages"><Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>'
        '<BrushLabels name="brush_{{idx}}" toName="page_{{idx}}"><Label value="Car"/></BrushLabels></Repeater></View>'
    )
    project = exports.server.project(config)
    value = brush(CAR, "Car")[0]["value"]
    task = exports.server.task(project, pages=[{"url": url(f"{name}.png")} for name in "abc"])
    mine = [result("brushlabels", f"brush_{at}", f"r{at}", SIZE, value, to_name=f"page_{at}") for at in (0, 2)]
    exports.server.annotate(task, mine)
    exports.server.images["b.png"] = picture()
    exports.export(project, "coco")
    content = exports.json("out/annotations.json")
    names = [one["file_name"] for one in content["images"]]
    assert names == ["a.png", "b.png", "c.png"]
    assert [(names[one["image_id"] - 1], one["region"]) for one in content["annotations"]] == [
        ("a.png", "r0"),
        ("c.png", "r2"),
    ]
    with pytest.raises(SettingsError, match=r"repeats tags \(<Repeater>\): masks cannot be imported into it"):
        exports.import_(project)


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("L", SIZE).save(content, "PNG")
    return content.getvalue()


def test_two_images_of_one_name_are_not_put_together(exports: ExportBench) -> None:
    """Two versions at one address: the second is left out and named, in each format that pairs by name."""
    project = exports.server.project(FUSED)
    for version, mask in ((1, CAR), (2, ROAD)):
        task = exports.server.task(project, image=f"https://example.org/a.png?version={version}")
        exports.server.annotate(task, brush(mask, "Car"))
    for name in ("yolo-seg", "png", "coco", "rle-json", "csv"):
        summary = exports.export(project, name, name)
        assert (summary.images, summary.regions) == (1, 1), name
        (problem,) = summary.problems
        assert problem == (
            f"task {task}: https://example.org/a.png?version=2 was left out: it is called example.org/a.png in an "
            "export, and so is https://example.org/a.png?version=1"
        )
    exports.export(project, "label-studio", "all")
    assert len(exports.json("all/tasks.json")) == 2
