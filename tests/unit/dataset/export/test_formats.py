"""Random masks, exported in every format and read by the reader of its own field."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from core.repository import REPOSITORY
from dataset.export import coco_rle
from masks.raster import filled
from tests.unit.dataset.export.masks import iou, read_yolo
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import (
    BOXES,
    FUSED,
    SPLIT,
    brush,
    ghost,
    key_point,
    rectangle,
    rectangle_mask,
    split_brush,
    url,
    with_palette,
)
from tests.unit.masks.strategies import Mask, objects, speckled

# pycocotools 2.0.11 converts with numpy's old protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
few = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@contextlib.contextmanager
def exported(masks: list[Mask], format_name: str, **options: Any) -> Iterator[Path]:
    """One image with these masks, Car and Road in turn, with a ghost and a prompt beside, exported."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(ExportBench(Path(folder))) as bench:
        project = bench.server.project(FUSED)
        task = bench.server.task(project, image=url("set/a.png"))
        size_wh = (masks[0].shape[1], masks[0].shape[0])
        results = [key_point("Car", size_wh=size_wh)]
        for number, mask in enumerate(masks):
            label, other = ("Car", "Road") if number % 2 == 0 else ("Road", "Car")
            results += [*brush(mask, label, f"r{number}"), ghost(mask, other, f"r{number}")]
        bench.server.annotate(task, results)
        bench.export(project, format_name, **options)
        yield Path(folder) / "out"


def masks_of_one_size() -> st.SearchStrategy[list[Mask]]:
    """Up to three masks, the second and third cut and turned from the first, so that they overlap."""
    return st.builds(
        lambda mask, number: [mask, mask[::-1, ::-1].copy(), mask[:, ::-1].copy()][:number],
        speckled(),
        st.integers(1, 3),
    )


def loaded(folder: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
        return COCO(str(folder / "annotations.json"))


@few
@given(masks_of_one_size(), st.sampled_from(["compressed", "uncompressed", "polygons"]))
def test_coco_is_read_by_pycocotools_to_the_pixel(masks: list[Mask], form: str) -> None:
    with exported(masks, "coco", coco=form) as folder:
        read = loaded(folder)
        (image,) = read.loadImgs(read.getImgIds())
        assert (image["file_name"], image["width"], image["height"]) == (
            "set/a.png",
            masks[0].shape[1],
            masks[0].shape[0],
        )
        annotations = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
        assert [one["category_id"] for one in annotations] == [1 + number % 2 for number in range(len(masks))]
        for one, mask in zip(annotations, masks, strict=True):
            assert np.array_equal(read.annToMask(one).astype(bool), mask)
            assert one["area"] == mask.sum()
            assert one["iscrowd"] == 0
            left, top, width, height = map(int, one["bbox"])
            assert [left, top, width, height] == one["bbox"]
            box = rectangle_mask((mask.shape[1], mask.shape[0]), left, top, left + width, top + height)
            assert not (mask & ~box).any()
            assert (mask.any(axis=0)[[left, left + width - 1]]).all()  # type: ignore[index]
            assert (mask.any(axis=1)[[top, top + height - 1]]).all()  # type: ignore[index]


@few
@given(masks_of_one_size())
def test_png_is_read_by_pil_to_the_pixel(masks: list[Mask]) -> None:
    with exported(masks, "png", instances=True) as folder:
        with Image.open(folder / "masks" / "set" / "a.png") as picture:
            assert picture.mode == "P"
            pixels = np.asarray(picture)
            colour = picture.convert("RGB").getpixel((0, 0))
        classes, instances = np.zeros_like(pixels), np.zeros(pixels.shape, np.uint16)
        for number, mask in enumerate(masks):  # the one drawn later lies above
            classes[mask], instances[mask] = 1 + number % 2, number + 1
        assert np.array_equal(pixels, classes)
        assert colour == {0: (0, 0, 0), 1: (0xE5, 0x39, 0x35), 2: (0x1E, 0x88, 0xE5)}[int(pixels[0, 0])]
        with Image.open(folder / "instances" / "set" / "a.png") as picture:
            assert np.array_equal(np.asarray(picture), instances)


@few
@given(speckled())
def test_rle_json_is_read_with_five_lines_of_code(mask: Mask) -> None:
    with exported([mask], "rle-json") as folder:
        import json

        row = json.loads((folder / "masks.jsonl").read_text())
        (region,) = row["regions"]
        runs = region["rle"]["counts"]
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        assert np.array_equal(flat.reshape(row["width"], row["height"]).T, mask)
        assert region["area"] == mask.sum()


@few
@given(objects())
def test_yolo_is_read_as_ultralytics_does(mask: Mask) -> None:
    size_wh = (mask.shape[1], mask.shape[0])
    with exported([mask], "yolo-seg") as folder:
        ((number, drawn),) = read_yolo(folder / "labels" / "set" / "a.txt", size_wh)
        assert number == 0
        # This reader draws the bridges between parts too, one pixel wide; one that asks for pixel centres does not.
        parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)[0] - 1
        assert not (mask & ~drawn).any()
        assert (drawn & ~mask).sum() <= (parts - 1) * (sum(size_wh) + 1)
        line = (folder / "labels" / "set" / "a.txt").read_text().split()
        corners = np.asarray(line[1:], dtype=np.float64).reshape(-1, 2) * np.asarray(size_wh)
        assert np.array_equal(filled(corners, size_wh), mask)
    with exported([mask], "yolo-seg", split=True) as folder:
        read = read_yolo(folder / "labels" / "set" / "a.txt", size_wh)
        together = np.logical_or.reduce([one for _, one in read])
        assert iou(together, mask) >= 0.99
        assert len(read) == parts


@few
@given(objects())
def test_yolo_of_one_part_is_the_mask(mask: Mask) -> None:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    largest = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    size_wh = (mask.shape[1], mask.shape[0])
    with exported([largest], "yolo-seg") as folder:
        ((_, drawn),) = read_yolo(folder / "labels" / "set" / "a.txt", size_wh)
        assert iou(drawn, largest) >= 0.99
    with exported([largest], "yolo-seg", tolerance=0.5) as folder:
        ((_, drawn),) = read_yolo(folder / "labels" / "set" / "a.txt", size_wh)
        assert iou(drawn, largest) >= 0.9


def test_yolo_names_its_classes_from_zero(exports: ExportBench) -> None:
    mask = rectangle_mask((20, 10), 2, 3, 9, 8)
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("set/a b.png")), brush(mask, "Road"))
    exports.server.annotate(exports.server.task(project, image=url("set/b.png")), [])
    exports.export(project, "yolo-seg")
    data = yaml.safe_load((exports.folder / "out" / "data.yaml").read_text())
    assert data["names"] == {0: "Car", 1: "Road"}
    assert (
        exports.folder / "out" / "labels" / "set" / "a b.txt"
    ).read_text() == "1 0.445 0.31 0.445 0.79 0.105 0.79 0.105 0.31\n"
    assert (exports.folder / "out" / "labels" / "set" / "b.txt").read_text() == ""
    assert (exports.folder / "out" / "images.txt").read_text() == "./images/set/a b.png\n./images/set/b.png\n"


def test_png_has_a_legend(exports: ExportBench) -> None:
    mask = rectangle_mask((20, 10), 2, 3, 9, 8)
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("a.png")), brush(mask, "Old"))
    exports.export(project, "png")
    classes = exports.json("out/legend.json")["classes"]
    assert [(one["id"], one["name"]) for one in classes] == [(1, "Car"), (2, "Road"), (3, "Old")]
    assert classes[0]["colour"] == "#E53935"
    assert len({one["colour"] for one in classes}) == 3
    with Image.open(exports.folder / "out" / "legend.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(100_000) or []}
    assert {(0xE5, 0x39, 0x35), (0x1E, 0x88, 0xE5)} <= colours


def test_coco_keeps_polygons_and_boxes(exports: ExportBench) -> None:
    size_wh = (20, 10)
    project = exports.server.project(SPLIT)
    points = {"points": [[10, 30], [45, 30], [45, 80]], "closed": True}
    task = exports.server.task(project, image=url("a.png"))
    exports.server.annotate(task, with_palette("polygon", "poly", points, "Car", size_wh, "1"))
    exports.export(project, "coco")
    (one,) = exports.json("out/annotations.json")["annotations"]
    assert one["segmentation"] == [[2.0, 3.0, 9.0, 3.0, 9.0, 8.0]]
    boxes = exports.server.project(BOXES, "Boxes")
    exports.server.annotate(exports.server.task(boxes, image=url("a.png")), [rectangle("Road", (2, 3, 7, 5), size_wh)])
    exports.export(boxes, "coco", "boxes")
    read = loaded(exports.folder / "boxes")
    (box,) = read.loadAnns(read.getAnnIds())
    assert (box["bbox"], box["area"], box["category_id"]) == ([2, 3, 7, 5], 35, 2)
    assert box["shape"] == {"x": 2.0, "y": 3.0, "width": 7.0, "height": 5.0, "rotation": 0.0}  # type: ignore[typeddict-item]
    assert read.annToMask(box).sum() == 35


def test_coco_draws_no_polygon_far_outside(exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """pycocotools takes memory by the length of the edges: 788 MB for a corner at 10 million pixels."""
    drawn: list[float] = []
    usual = coco_rle.from_polygons

    def seen(polygons: Any, size_wh: tuple[int, int]) -> Mask:
        drawn.append(max(map(abs, polygons[0])))
        return usual(polygons, size_wh)

    monkeypatch.setattr(coco_rle, "from_polygons", seen)
    project = exports.server.project(SPLIT)
    task = exports.server.task(project, image=url("set/a.png"))
    near, far = ({"points": [[0, 0], [end, 0], [0, 50]], "closed": True} for end in (200, 20_000))
    both = (
        with_palette("polygon", "poly", one, "Car", (100, 100), str(number)) for number, one in enumerate((near, far))
    )
    exports.server.annotate(task, [result for results in both for result in results])
    exports.export(project, "coco")
    assert drawn == [200]
    segmentations = [one["segmentation"] for one in exports.json("out/annotations.json")["annotations"]]
    assert [type(one) for one in segmentations] == [list, dict]


def test_label_studio_keeps_what_is_no_region_and_drops_ghosts(exports: ExportBench) -> None:
    mask = rectangle_mask((20, 10), 2, 3, 9, 8)
    project = exports.server.project(SPLIT)
    choice = {"id": "c", "type": "choices", "from_name": "light", "to_name": "image", "value": {"choices": ["day"]}}
    task = exports.server.task(project, image=url("a.png"))
    exports.server.annotate(task, [choice, *split_brush(mask, "Car"), ghost(mask, "Road"), key_point("Car")])
    exports.export(project, "label-studio")
    (row,) = exports.json("out/tasks.json")
    assert row["data"] == {"image": url("a.png")}
    (annotation,) = row["annotations"]
    assert annotation["result"] == [choice, *split_brush(mask, "Car")]
    assert annotation["annotator"] == "admin@labelrig.local"
    assert "completed_by" not in annotation  # Label Studio refuses one that it does not know


def test_the_five_lines_of_the_document_read_the_masks(exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = rectangle_mask((20, 10), 2, 3, 9, 8)
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("a.png")), brush(mask, "Car"))
    exports.export(project, "rle-json")
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "export.md").read_text("utf-8"), re.DOTALL)
    (code,) = (one for one in blocks if "masks.jsonl" in one)
    found: dict[str, Any] = {}
    monkeypatch.chdir(exports.folder / "out")
    with contextlib.closing((exports.folder / "out" / "masks.jsonl").open(encoding="utf-8")) as opened:
        exec(code, {"open": lambda *_args, **_words: opened}, found)  # noqa: S102  # the document's own lines
    assert np.array_equal(found["mask"], mask)
