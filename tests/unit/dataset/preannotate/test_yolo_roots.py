"""`--boxes FOLDER` takes the roots that tools write: CVAT, Roboflow, ultralytics, labelImg, Label Studio."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.errors import SettingsError
from dataset.image_lookup import ImageLookup, Place
from dataset.preannotate.boxes import BoxFile, matched
from dataset.preannotate.command import PreannotateOptions, read_boxes
from dataset.preannotate.yolo_layout import label_files

CAR, ROAD = "0 0.5 0.5 0.2 0.4\n", "1 0.5 0.5 0.2 0.4\n"
LISTED = "data/obj_train_data/RGB/a.png\ndata/obj_train_data/b.png\n"
PROSE = "Lab scenes - v1 2026-03-01 8:44pm\n==============================\n\nIt includes 2 images.\n"
ROBOFLOW = f"{PROSE}The following pre-processing was applied to each image:\n* Resize to 640x640 (Stretch)\n\n"
PLAIN = "No image augmentation techniques were applied.\n"
HASH = "rf.4f2c0a9b8d7e6f5a4b3c2d1e0f9a8b7c"

ROOTS: dict[str, dict[str, str]] = {
    "CVAT YOLO 1.1": {
        "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
        "obj.names": "Car\nRoad\n",
        "train.txt": LISTED,
        "obj_train_data/RGB/a.txt": ROAD,
        "obj_train_data/b.txt": CAR,
    },
    "CVAT Ultralytics": {
        "data.yaml": "path: .\ntrain: train.txt\nnames:\n  0: Car\n  1: Road\n",
        "train.txt": "images/train/RGB/a.png\nimages/train/b.png\n",
        "labels/train/RGB/a.txt": ROAD,
        "labels/train/b.txt": CAR,
    },
    "ultralytics": {
        "scenes.yaml": "path: ../datasets/scenes\ntrain: images/train\nval: images/val\nnames:\n  0: Car\n  1: Road\n",
        "LICENSE.txt": "1 licence\n",
        "labels/train/a.txt": ROAD,
        "labels/val/b.txt": CAR,
        "labels/train.cache": "\x00",
    },
    "Roboflow": {
        "data.yaml": "train: ../train/images\nval: ../valid/images\nnames: ['Car', 'Road']\nroboflow:\n  version: 1\n",
        "README.dataset.txt": PROSE,
        "README.roboflow.txt": ROBOFLOW + PLAIN,
        f"train/labels/a_png.{HASH}.txt": ROAD,
        f"valid/labels/b_png.{HASH}.txt": CAR,
    },
    "labelImg": {
        "RGB/classes.txt": "Car\nRoad\n",
        "RGB/a.txt": ROAD,
        "RGB/a.png": "",
        "classes.txt": "Car\nRoad\n",
        "b.txt": CAR,
        "notes.txt": "to do: b again\n",
    },
    "Label Studio": {"classes.txt": "Car\nRoad\n", "notes.json": "{}", "labels/a.txt": ROAD, "labels/b.txt": CAR},
    "of macOS and a NAS": {
        "classes.txt": "Car\r\nRoad\r\n",
        "a.txt": "\ufeff" + ROAD.replace("\n", "\r\n"),
        "b.txt": CAR,
        "._b.txt": "Mac OS X",
        "__MACOSX/._a.txt": "9 9 9 9 9",
        "@eaDir/a.txt": "9 9 9 9 9",
        "#snapshot/labels/a.txt": CAR,
        "@Recycle/labels/b.txt": ROAD,
        "__macosx/labels/b.txt": ROAD,
    },
}  # fmt: skip


def made(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def read(folder: Path, *, skip_broken: bool = False) -> BoxFile:
    found = read_boxes(PreannotateOptions(None, str(folder), skip_broken=skip_broken))
    assert found is not None
    return found


def labels_by_task(file: BoxFile, paths: tuple[str, ...] = ("RGB/a.png", "b.png")) -> dict[int, list[str]]:
    lookup = ImageLookup()
    for task, path in enumerate(paths, 1):
        lookup.add(f"/data/local-files/?d=set/{path}", Place(task, "image"))
    found = matched(file, lookup)
    assert found.alone == []
    return {task: [box.label for box in boxes] for task, boxes in sorted(found.by_task.items())}


@pytest.mark.parametrize("files", ROOTS.values(), ids=ROOTS)
def test_root_is_taken_as_it_is(tmp_path: Path, files: dict[str, str]) -> None:
    assert labels_by_task(read(made(tmp_path, files))) == {1: ["Road"], 2: ["Car"]}


@pytest.mark.parametrize(
    ("root", "part"), [("CVAT YOLO 1.1", "obj_train_data"), ("ultralytics", "labels/train"), ("Label Studio", "labels")]
)
def test_folder_of_labels_finds_the_names_above(tmp_path: Path, root: str, part: str) -> None:
    found = read(made(tmp_path, ROOTS[root]) / part)
    assert "Road" in {box.label for boxes in found.by_image.values() for box in boxes}


def test_other_texts_are_told(tmp_path: Path) -> None:
    found = read(made(tmp_path, ROOTS["CVAT YOLO 1.1"]))
    assert found.notices == [f"{tmp_path.name}: text files that hold no boxes are left out: train.txt"]


def test_folder_of_a_split_tells_images_apart(tmp_path: Path) -> None:
    """`train/labels/a.txt` is of `train/images/a.png`, whatever lies in `valid`."""
    files = {"classes.txt": "Car\nRoad\n", "train/labels/a.txt": ROAD, "valid/labels/a.txt": CAR}
    found = read(made(tmp_path, files))
    assert labels_by_task(found, ("valid/images/a.png", "train/images/a.png")) == {1: ["Car"], 2: ["Road"]}
    assert labels_by_task(found, ("valid/a.png", "train/a.png")) == {1: ["Car"], 2: ["Road"]}
    with pytest.raises(SettingsError, match=r"train/images/a and valid/images/a would both be set/a.png"):
        labels_by_task(found, ("a.png",))


def test_two_label_files_of_one_image_are_refused(tmp_path: Path) -> None:
    """CVAT numbers the frames of each video from 0: the boxes of two videos would become those of one image."""
    parts = {"obj_train_data/frame_000000.txt": CAR, "obj_valid_data/frame_000000.txt": ROAD}
    folder = made(tmp_path, {"obj.names": "Car\nRoad\n", **parts})
    with pytest.raises(SettingsError) as caught:
        read(folder)
    assert (
        "obj_train_data/frame_000000.txt and obj_valid_data/frame_000000.txt would both be of the image frame_000000; "
        "give one folder at a time"
    ) in str(caught.value)
    assert list(read(folder / "obj_valid_data").by_image) == ["frame_000000"]


@pytest.mark.parametrize("part", ["labels/", ""])
def test_a_path_is_compared_a_few_times_at_most(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 000 label files, not each with each."""
    count = 50
    made(tmp_path, {f"{part}{number}.txt": CAR for number in range(count)} | {"notes.txt": "to do\n"})
    hashed = 0
    usual = Path.__hash__

    def counted(path: Path) -> int:
        nonlocal hashed
        hashed += 1
        return usual(path)

    monkeypatch.setattr(type(tmp_path), "__hash__", counted)
    labels, texts = label_files(tmp_path)
    assert (len(labels), len(texts)) == (count, 1)
    assert hashed < 5 * count


def test_blank_line_keeps_the_numbers_of_classes(tmp_path: Path) -> None:
    """A class that was deleted with its text: the classes after it must not move up."""
    files = {"classes.txt": "Bus\n\nCar\n\n", "a.txt": "2 0.5 0.5 0.2 0.4\n", "b.txt": "1 0.5 0.5 0.2 0.4\n"}
    with pytest.raises(SettingsError, match=r"b.txt:1: class 1 has no name"):
        read(made(tmp_path, files))
    assert labels_by_task(read(tmp_path, skip_broken=True), ("a.png",)) == {1: ["Car"]}


def test_names_that_contradict_are_refused(tmp_path: Path) -> None:
    """labelImg writes classes in another order than the data file has them."""
    files = {"data.yaml": "names: [Road, Car]\n", "labels/classes.txt": "Car\nRoad\n", "labels/a.txt": CAR}
    with pytest.raises(SettingsError, match=r"classes.txt calls the class 0 'Car', .*data.yaml calls it 'Road'"):
        read(made(tmp_path, files))
    (tmp_path / "data.yaml").write_text("names: {0: Car, 1: Road, 2: Sky}\n")
    assert read(tmp_path).by_image["images/a"][0].label == "Car"


@pytest.mark.parametrize(
    "readme", ["", ROBOFLOW.replace("Stretch", "Fit (black edges)") + PLAIN, ROBOFLOW + "3 versions"]
)
def test_changed_images_of_roboflow_are_not_the_originals(tmp_path: Path, readme: str) -> None:
    """A box of a picture that was turned, cut or padded is not the box of the original."""
    found = read(made(tmp_path, {**ROOTS["Roboflow"], "README.roboflow.txt": readme}))
    lookup = ImageLookup()
    lookup.add("/data/local-files/?d=set/a.png", Place(1, "image"))
    assert matched(found, lookup).by_task == {}
    assert any("Roboflow has renamed the images" in notice for notice in found.notices)
    lookup.add(f"/data/local-files/?d=set/a_png.{HASH}.jpg", Place(2, "image"))
    assert list(matched(found, lookup).by_task) == [2]


def test_name_with_a_point_is_not_cut(tmp_path: Path) -> None:
    """`frame.001.txt` is of `frame.001.png`, and never of `frame.png`."""
    found = read(made(tmp_path, {"classes.txt": "Car\n", "frame.001.txt": CAR}))
    lookup = ImageLookup()
    lookup.add("/data/local-files/?d=set/frame.png", Place(1, "image"))
    assert matched(found, lookup).alone == ["frame.001"]
    lookup.add("/data/local-files/?d=set/frame.001.png", Place(2, "image"))
    assert list(matched(found, lookup).by_task) == [2]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0 0,5 0,5 0,2 0,4", "must be `class x y width height`, numbers with a point"),
        ("0 nan 0.5 0.2 0.4", "must be shares of the image"),
        ("0 0.5 0.5 inf 0.4", "must be shares of the image"),
        ("Car 0.5 0.5 0.2 0.4", "must be `class x y width height`"),
        ("0.5 0.5 0.5 0.2 0.4", "class 0.5 has no name"),
        ("-1 0.5 0.5 0.2 0.4", "class -1 has no name"),
        ("0_0 0.5 0.5 0.2 0.4", "must be `class x y width height`"),
    ],
)
def test_broken_line_is_named_and_can_be_left_out(tmp_path: Path, line: str, problem: str) -> None:
    folder = made(tmp_path, {"classes.txt": "Car\n", "a.txt": f"{CAR}{line}\n"})
    with pytest.raises(SettingsError) as caught:
        read(folder)
    assert f"a.txt:2: {problem}" in str(caught.value)
    assert "--skip-broken leaves this one out" in str(caught.value)
    found = read(folder, skip_broken=True)
    assert (len(found.by_image["a"]), len(found.broken)) == (1, 1)


def test_forms_of_numbers(tmp_path: Path) -> None:
    """Exponents, a class with a point, an edge that was rounded to the outside, a confidence, tabs."""
    folder = made(tmp_path, {"classes.txt": "Car\n", "a.txt": "0.0\t5e-1 0.5 1.000001 4E-01 0.9\n"})
    (box,) = read(folder).by_image["a"]
    assert box.label == "Car"
    assert (box.x, box.width, box.height) == pytest.approx((0, 100, 40))


@pytest.mark.parametrize("name", ["labels/a.txt", "classes.txt"])
def test_other_encodings_get_a_sentence(tmp_path: Path, name: str) -> None:
    folder = made(tmp_path, {"classes.txt": "Car\n", "labels/a.txt": CAR})
    (folder / name).write_bytes("Señal\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=f"{name}: line 1: is not UTF-8 text; save the file as UTF-8"):
        read(folder)


def test_text_of_powershell_is_read(tmp_path: Path) -> None:
    """Its `>` writes UTF-16."""
    folder = made(tmp_path, {"labels/a.txt": CAR})
    for name, text in (("classes.txt", "Car\r\nRoad\r\n"), ("labels/a.txt", ROAD)):
        (folder / name).write_bytes(text.encode("utf-16"))
    assert read(folder).by_image["images/a"][0].label == "Road"


def test_label_studios_notes_number_its_classes(tmp_path: Path) -> None:
    """Where labels have a `category`, its `classes.txt` is in another order than the numbers of its label files."""
    notes = '{"categories": [{"id": 1, "name": "Road"}, {"id": 0, "name": "Car"}], "info": {}}'
    folder = made(tmp_path, {"classes.txt": "Road\nCar\n", "notes.json": notes, "labels/a.txt": ROAD})
    assert read(folder).by_image["images/a"][0].label == "Road"
    # An old version wrote the ids as texts, and numbered by the order.
    (folder / "notes.json").write_text(notes.replace("1", '"1"').replace("0", '"0"'))
    assert read(folder).by_image["images/a"][0].label == "Car"


def test_names_of_classes_are_as_written(tmp_path: Path) -> None:
    folder = made(
        tmp_path, {"data.yaml": "names: [1.10, true, null]\n", "labels/a.txt": CAR + ROAD + "2 .5 .5 .1 .1\n"}
    )
    assert [one.label for one in read(folder).by_image["images/a"]] == ["1.10", "true", "null"]


def test_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    folder = made(tmp_path, {"labels/a.txt": CAR})
    (folder / "classes.txt").write_bytes(codecs.BOM_UTF8 + b"Car\r\nRoad\r\n")
    assert read(folder).by_image["images/a"][0].label == "Car"


def test_coco_goes_on_without_broken_boxes(tmp_path: Path) -> None:
    text = (
        '{"images": [{"id": 1, "file_name": "a.png", "width": 20.0, "height": 10}],'
        '"categories": [{"id": 1, "name": "Car"}], "annotations": ['
        '{"id": 5, "image_id": 1, "category_id": 1, "bbox": [1, 2, 0, 3]},'
        '{"id": 6, "image_id": 1.0, "category_id": 1, "bbox": [1, 2, 3, 3]}]}'
    )
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"annotation 5 on a.png: its bbox has no area"):
        read(path)
    found = read(path, skip_broken=True)
    assert [len(found.by_image["a.png"]), len(found.broken)] == [1, 1]
    path.write_text('{"images": ' + "[" * 200_000)
    with pytest.raises(SettingsError, match="is nested more than 100 brackets deep"):
        read(path)
