"""Masks of a file on the twins of its pictures: where they lie, their figures, and what is left out by name."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from core.errors import LabelrigError, SettingsError
from core.report import Report
from dataset.registration.pictures import digest_of_file
from dataset.transfer.command import TransferRequest, run_transfer
from dataset.transfer.regions import Transfer
from masks.measure import intersection_over_union as iou
from tests.unit.dataset.transfer.drawn import (
    HALF,
    KNOWN,
    RGB_WH,
    THERMAL_WH,
    alignment,
    drawn,
    task_of,
    thermal_picture,
    write_pairs,
)

# pycocotools 2.0.11 converts with numpy's old protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def transfer(folder: Path, **options: Any) -> Transfer:
    given = {"alignment": folder / "alignment.yaml", "twins": folder / "thermal", "out": folder / "out", **options}
    return run_transfer(TransferRequest(str(given.pop("masks", folder / "masks.json")), **given), Report(io.StringIO()))


def read(folder: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(folder / "annotations.json"))


def test_masks_lie_where_the_transform_puts_them(tmp_path: Path) -> None:
    write_pairs(tmp_path, a=("car", "person", "curve"), b=())
    alignment(tmp_path / "alignment.yaml")
    found = transfer(tmp_path)
    coco = read(tmp_path / "out")
    images = coco.loadImgs(coco.getImgIds())
    assert [(one["file_name"], one["width"], one["height"]) for one in images] == [
        ("thermal/a.tiff", *THERMAL_WH),
        ("thermal/b.tiff", *THERMAL_WH),
    ]
    annotations = coco.loadAnns(coco.getAnnIds())
    assert [coco.cats[one["category_id"]]["name"] for one in annotations] == ["car", "person", "curve"]
    assert [one["region"] for one in annotations] == ["a-car", "a-person", "a-curve"]  # type: ignore[typeddict-item]
    for one, label in zip(annotations, ("car", "person", "curve"), strict=True):
        assert iou(coco.annToMask(one).astype(bool), drawn(label, KNOWN, THERMAL_WH)) > 0.95
    inside = {one.label: one for one in found.images[0].regions}
    assert (inside["car"].outside, inside["person"].outside) == (0, 0)
    whole = KNOWN[:2, :2] @ KNOWN[:2, :2].T
    seen = drawn("curve", KNOWN, THERMAL_WH).sum() / (drawn("curve").sum() * np.sqrt(np.linalg.det(whole)))
    assert inside["curve"].outside == pytest.approx(1 - seen, abs=0.03)
    assert 0.1 < inside["curve"].outside < 0.9


def test_of_aligned_pictures_a_mask_moves_where_the_edges_say_so(tmp_path: Path) -> None:
    """One thing that the twin shows elsewhere, and one that it does not show at all."""
    write_pairs(tmp_path, a=("car", "person"))
    Image.fromarray(thermal_picture("car")).save(tmp_path / "thermal" / "a.tiff")
    alignment(tmp_path / "alignment.yaml")
    found = transfer(tmp_path, aligned=True)
    assert [(one.label, one.stayed) for one in found.images[0].regions] == [("car", False), ("person", True)]
    assert found.as_facts()["stayed"] == 1
    assert "  1 of them lie where they were drawn: the edges there do not say that they moved" in found.lines()
    coco = read(tmp_path / "out")
    car, person = (coco.annToMask(one).astype(bool) for one in coco.loadAnns(coco.getAnnIds()))
    assert iou(car, drawn("car", KNOWN, THERMAL_WH)) > 0.95
    assert iou(person, drawn("person", HALF, THERMAL_WH)) > 0.95
    assert not any(one.stayed for one in transfer(tmp_path, out=tmp_path / "moved").images[0].regions)


def test_aligned_pictures_are_looked_at(tmp_path: Path) -> None:
    write_pairs(tmp_path, a=("car",))
    alignment(tmp_path / "alignment.yaml")
    with pytest.raises(SettingsError, match="--aligned looks at the pictures that masks are carried to: --twins"):
        transfer(tmp_path, aligned=True, twins=None)
    assert not (tmp_path / "out").exists()


def test_fit_tells_right_masks_from_wrong_ones(tmp_path: Path) -> None:
    """The same masks by another transform: 6 pixels beside the edges, and on a picture that shows nothing of them."""
    write_pairs(tmp_path, a=("car", "person"))
    beside = KNOWN.copy()
    beside[0, 2] += 6
    alignment(tmp_path / "alignment.yaml")
    alignment(tmp_path / "beside.yaml", matrix=beside.tolist())
    right = transfer(tmp_path).as_facts()["fit"]
    wrong = transfer(tmp_path, alignment=tmp_path / "beside.yaml", out=tmp_path / "wrong").as_facts()["fit"]
    assert right > 0.6
    assert wrong < 0.3
    text = "\n".join(transfer(tmp_path, force=True).lines())
    assert text.startswith(
        f"2 masks of 1 images were carried over; their outlines agree with the edges there by {right:.2f}"
    )


def test_refused_pairs_and_missing_twins_are_named(tmp_path: Path) -> None:
    file = write_pairs(tmp_path, a=("car",), wrong=("car",), moved=("person",))
    own = KNOWN.copy()
    own[1, 2] += 9
    alignment(tmp_path / "alignment.yaml", refused=["vuelo/RGB/wrong"], own={"moved": own.tolist()})
    tasks = [*json.loads(file.read_text()), task_of("alone", "car")]
    tasks[1]["data"]["image"] = "/data/local-files/?d=vuelo/RGB/wrong.jpg"
    file.write_text(json.dumps(tasks))
    found = transfer(tmp_path)
    assert {one.name: one.reason for one in found.left_out} == {
        "vuelo/RGB/wrong.jpg": "the registration refused its pair",
        "set/RGB/alone.png": f"no picture in {tmp_path / 'thermal'} has its name",
    }
    coco = read(tmp_path / "out")
    assert [one["file_name"] for one in coco.loadImgs(coco.getImgIds())] == ["thermal/a.tiff", "thermal/moved.tiff"]
    (moved,) = coco.loadAnns(coco.getAnnIds(imgIds=[2]))
    assert iou(coco.annToMask(moved).astype(bool), drawn("person", own, THERMAL_WH)) > 0.95
    text = "\n".join(found.lines())
    assert "left out: vuelo/RGB/wrong.jpg: the registration refused its pair" in text
    figures = [json.loads(line) for line in (tmp_path / "out" / "transfer.jsonl").read_text().splitlines()]
    assert [one["twin"] for one in figures] == ["thermal/a.tiff", "thermal/moved.tiff"]


def test_there_and_back_is_the_same_mask(tmp_path: Path) -> None:
    write_pairs(tmp_path, a=("car",))
    alignment(tmp_path / "alignment.yaml")
    (tmp_path / "rgb").mkdir()
    Image.effect_noise(RGB_WH, 60).save(tmp_path / "rgb" / "a.png")
    transfer(tmp_path)
    transfer(tmp_path, masks=tmp_path / "out", twins=tmp_path / "rgb", out=tmp_path / "again", back=True)
    coco = read(tmp_path / "again")
    (one,) = coco.loadAnns(coco.getAnnIds())
    assert iou(coco.annToMask(one).astype(bool), drawn("car")) > 0.95


def test_back_goes_by_the_names_of_the_rgb_pictures(tmp_path: Path) -> None:
    """Thermal pictures have other folders in their paths than the pairs, which are called by the RGB ones."""
    own = KNOWN.copy()
    own[0, 2] += 11
    alignment(tmp_path / "alignment.yaml", own={"rgb/a": own.tolist()}, refused=["rgb/b"])
    (tmp_path / "rgb").mkdir()
    for name in ("a", "b"):
        Image.effect_noise(RGB_WH, 60).save(tmp_path / "rgb" / f"{name}.png")
    class_maps = tmp_path / "maps" / "masks" / "T"
    class_maps.mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(drawn("car", own, THERMAL_WH).astype(np.uint8)).save(class_maps / f"{name}.png")
    found = transfer(tmp_path, masks=tmp_path / "maps", twins=tmp_path / "rgb", back=True)
    assert {one.name: one.reason for one in found.left_out} == {"T/b.png": "the registration refused its pair"}
    coco = read(tmp_path / "out")
    (one,) = coco.loadAnns(coco.getAnnIds())
    assert iou(coco.annToMask(one).astype(bool), drawn("car")) > 0.95
    with pytest.raises(SettingsError, match=r"--back: 2 pairs do not follow the rig \(rgb/a, rgb/b\)"):
        transfer(tmp_path, masks=tmp_path / "maps", twins=None, back=True, out=tmp_path / "again")


def test_frames_of_another_flight_follow_the_rig(tmp_path: Path) -> None:
    """Two pictures called `a`: the registered one has a transform of its own, the other one is named in a note."""
    own = KNOWN.copy()
    own[1, 2] += 9
    write_pairs(tmp_path, a=("person",))
    digests = {"a": {"thermal": digest_of_file(tmp_path / "thermal" / "a.tiff")}}
    alignment(tmp_path / "alignment.yaml", own={"a": own.tolist()}, pictures=digests)
    (other := tmp_path / "flight2").mkdir()
    write_pairs(other, a=("car", "person"))
    for folder, matrix in ((tmp_path, own), (other, KNOWN)):
        found = transfer(folder, alignment=tmp_path / "alignment.yaml")
        coco = read(folder / "out")
        mask = coco.annToMask(coco.loadAnns(coco.getAnnIds())[-1]).astype(bool)
        assert iou(mask, drawn("person", matrix, THERMAL_WH)) > 0.95
    assert any("1 pictures are called as pairs that do not follow the rig" in one for one in found.notes)


def test_two_pictures_with_one_twin_are_not_both_written(tmp_path: Path) -> None:
    file = write_pairs(tmp_path, a=("car",))
    alignment(tmp_path / "alignment.yaml")
    tasks = [task_of("a", "car"), task_of("a", "person")]
    tasks[1]["data"]["image"] = "/data/local-files/?d=set2/RGB/a.png"
    file.write_text(json.dumps(tasks))
    found = transfer(tmp_path)
    assert {one.name: one.reason for one in found.left_out} == {
        "set2/RGB/a.png": "its twin thermal/a.tiff has the masks of set/RGB/a.png"
    }
    coco = read(tmp_path / "out")
    assert len(coco.getImgIds()) == len(coco.getAnnIds()) == 1


def test_without_pictures_names_stay_and_nothing_fits(tmp_path: Path) -> None:
    write_pairs(tmp_path, a=("car",))
    alignment(tmp_path / "alignment.yaml")
    found = transfer(tmp_path, twins=None, format="png")
    assert [(one.twin, one.regions[0].fit) for one in found.images] == [("set/RGB/a.png", None)]
    with Image.open(tmp_path / "out" / "masks" / "set" / "RGB" / "a.png") as picture:
        assert iou(np.asarray(picture) == 1, drawn("car", KNOWN, THERMAL_WH)) > 0.95


def test_nothing_carried_over_writes_nothing(tmp_path: Path) -> None:
    write_pairs(tmp_path, a=("car",))
    alignment(tmp_path / "alignment.yaml", refused=["a"])
    with pytest.raises(
        LabelrigError, match=r"nothing was written:\n  - set/RGB/a.png: the registration refused its pair"
    ):
        transfer(tmp_path)
    alignment(tmp_path / "alignment.yaml", rgb={"width": 80, "height": 60})
    with pytest.raises(LabelrigError, match=r"has 160x120 pixels, and the registration is of pictures of 80x60"):
        transfer(tmp_path)
    alignment(tmp_path / "alignment.yaml", thermal={"width": 80, "height": 60})
    with pytest.raises(LabelrigError, match=r"a.tiff has 128x96 pixels, and the registration is of pictures of 80x60"):
        transfer(tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"alignment": Path("/nowhere.yaml")}, r"--alignment /nowhere.yaml: cannot be read"),
        ({"twins": Path("/nowhere")}, r"--twins /nowhere: there is no such folder"),
        ({"format": "csv"}, r"--format csv: must be coco, png or rle-json"),
        ({"masks": "/nowhere.json"}, r"/nowhere.json: there is no such file or folder"),
    ],
)
def test_bad_options_are_one_error(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    write_pairs(tmp_path, a=("car",))
    alignment(tmp_path / "alignment.yaml")
    with pytest.raises(SettingsError, match=text):
        transfer(tmp_path, **change)
