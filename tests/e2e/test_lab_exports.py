"""Exports of a lab's own Label Studio go in as they are, and come out as Label Studio's own decoder reads them.

The file is drawn here: brushes with soft edges, polygons among them, a label with a space at its end, paths of another
server, a task that nobody annotated. `LABELRIG_RGBT=FOLDER` runs the same on a lab's real files: `*.json` with the
pictures in `rgb` and `thermal`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle, encode_rle
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from core.report import Report
from core.repository import REPOSITORY
from dataset.export.formats import ExportOptions, Format
from dataset.export.labeling import used_config
from dataset.export.run import Export
from dataset.export.selection import selection
from dataset.importing.run import Import
from labelstudio.bulk import add_tasks
from labelstudio.models import Project
from tests.e2e.project_cases import Stage
from tests.e2e.test_export import made_project
from tests.unit.dataset.export.masks import iou, read_yolo, ultralytics_files

Mask = NDArray[np.bool_]
REAL = "LABELRIG_RGBT"
SOURCES = {"drawn": "rgb", "sam2_rgb": "rgb", "sam2_thermal": "thermal", "polygons_rgb": "rgb"}
THERE = "proyecto_2025/dataset/estadistica/rgb_images"  # another server's folder
SIZE = (96, 64)
# pycocotools 2.0.11 converts with numpy's old protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@dataclass(frozen=True)
class Lab:
    """A project with the pictures of a lab's file, the file in it, and what the file says."""

    stage: Stage
    project: Project
    folder: Path
    tasks: list[dict[str, Any]]

    def export(self, format_name: Format) -> Path:
        one = Export(
            client=self.stage.client,
            project=self.project,
            config=used_config(REPOSITORY, self.project.label_config, self.project.title, None, None),
            selection=selection(annotated_only=False),
            options=ExportOptions(format=format_name),
            repository=REPOSITORY,
            report=Report(io.StringIO()),
            classes_file=self.folder / "classes.lock",
        )
        summary = one.run(self.folder / format_name)
        assert (summary.problems, summary.images) == ((), len(self.tasks))
        return summary.folder

    def put_in(self) -> int:
        report = Report(io.StringIO())
        return Import(self.stage.client, self.project, report).run(self.folder / "lab.json").added


def results_of(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for annotation in task["annotations"] for one in annotation["result"]]


def label_of(one: dict[str, Any]) -> str:
    return str(one["value"][one["type"]][0])


def read_by_label_studio(one: dict[str, Any]) -> tuple[Mask, Mask]:
    """The mask, by Label Studio's own decoder where it has one, and the pixels at a polygon's edges."""
    width, height = one["original_width"], one["original_height"]
    edge = np.zeros((height, width), np.uint8)
    if "rle" in one["value"]:
        alpha = decode_rle(one["value"]["rle"]).reshape(height, width, 4)[..., 3]
        return alpha >= 128, edge.astype(bool)
    corners = np.round(np.asarray(one["value"]["points"]) * [width / 100, height / 100]).astype(np.int32)
    cv2.polylines(edge, [corners], True, 1, 3)
    mask = np.zeros_like(edge)
    cv2.fillPoly(mask, [corners], 1)
    return mask.astype(bool), edge.astype(bool)


def soft_brush(label: str, x: int, y: int, radius: int) -> dict[str, Any]:
    """As the editor draws: the alpha of the edge lies between 0 and 255."""
    alpha = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.circle(alpha, (x, y), radius, 255, -1, cv2.LINE_AA)
    alpha = cv2.GaussianBlur(alpha, (3, 3), 0)  # type: ignore[assignment]
    assert set(np.unique(alpha)) - {0, 255}
    rle = encode_rle(np.stack([alpha] * 4, axis=2).reshape(-1))
    return result("brush", "brushlabels", {"format": "rle", "rle": rle, "brushlabels": [label]})


def polygon(label: str, *points: tuple[float, float]) -> dict[str, Any]:
    value = {"points": [list(one) for one in points], "closed": True, "polygonlabels": [label]}
    return result("label", "polygonlabels", value)


def result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    size = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    region_id = f"{zlib.crc32(json.dumps(value).encode()) & 0xFFFF:04x}"  # four letters, as the lab's backend gives
    return {**size, "value": value, "id": region_id, "from_name": name, "to_name": "image", "type": kind}


def drawn_file() -> list[dict[str, Any]]:
    drawn = {
        "task_0002.png": [
            soft_brush("person", 30, 30, 17),
            soft_brush("car", 45, 30, 14),
            polygon("curve", (60.5, 20.25), (95.125, 31.5), (80.75, 90.5)),
        ],
        "task_0004.png": [polygon("car", (5, 5), (50, 5), (50, 60)), soft_brush("guardrail ", 20, 20, 9)],
        "task_0006.png": [],
    }
    return [
        {
            "id": 11592 + number,
            "annotations": [{"id": 2463 + number, "completed_by": 17, "result": results, "lead_time": 124.5}]
            if results
            else [],
            "drafts": [],
            "predictions": [],
            "data": {"image": f"/data/local-files/?d={THERE}/{name}"},
            "project": 24,
        }
        for number, (name, results) in enumerate(drawn.items())
    ]


def put_pictures(source: str, folder: Path) -> list[dict[str, Any]]:
    """Write a source's file into `folder`, and its pictures into `folder/pictures`; return the tasks of the file."""
    (folder / "pictures").mkdir()
    tasks: list[dict[str, Any]]
    if source == "drawn":
        tasks = drawn_file()
        (folder / "lab.json").write_text(json.dumps(tasks), encoding="utf-8")
        for task in tasks:
            Image.new("RGB", SIZE).save(folder / "pictures" / name_of(task))
        return tasks
    real = Path(os.environ[REAL])
    shutil.copyfile(real / f"{source}.json", folder / "lab.json")
    tasks = json.loads((folder / "lab.json").read_text(encoding="utf-8"))
    for task in tasks:
        shutil.copyfile(real / SOURCES[source] / name_of(task), folder / "pictures" / name_of(task))
    return tasks


def name_of(task: dict[str, Any]) -> str:
    return str(task["data"]["image"]).rpartition("/")[2]


def config_of(tasks: list[dict[str, Any]]) -> str:
    names = sorted({label_of(one) for task in tasks for one in results_of(task)})
    labels = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<BrushLabels name="brush" toName="image">{labels}</BrushLabels>'
        f'<PolygonLabels name="label" toName="image">{labels}</PolygonLabels></View>'
    )


@pytest.fixture(scope="module", params=SOURCES)
def lab(
    request: pytest.FixtureRequest, stage: Stage, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    source: str = request.param
    if source != "drawn" and not os.environ.get(REAL):
        pytest.skip(f"{REAL} names no folder with a lab's exports")
    folder = tmp_path_factory.mktemp("lab")
    tasks = put_pictures(source, folder)
    served = demo_folder / "images" / f"lab-{source}"
    with contextlib.ExitStack() as done:
        done.callback(shutil.rmtree, served, ignore_errors=True)
        shutil.copytree(folder / "pictures", served)
        served.chmod(0o755)
        project = done.enter_context(made_project(stage.client, config_of(tasks)))
        urls = [f"/data/local-files/?d={stage.ctx.folder.name}/{served.name}/{name_of(one)}" for one in tasks]
        add_tasks(stage.client, project.id, [{"image": url} for url in urls])
        yield Lab(stage, project, folder, tasks)


def test_lab_export_goes_in_and_comes_out(lab: Lab) -> None:
    """All tasks as png, coco and yolo-seg; the PNG is that of Label Studio's decoder, but for polygons' edges."""
    assert lab.put_in() == sum(len(task["annotations"]) for task in lab.tasks)
    assert lab.put_in() == 0
    png, coco, yolo = (lab.export(one) for one in ("png", "coco", "yolo-seg"))
    legend = json.loads((png / "legend.json").read_text(encoding="utf-8"))
    ids = {one["name"]: one["id"] for one in legend["classes"]}
    masks = {
        Path(row["image"]).name: row["mask"] for row in map(json.loads, (png / "images.jsonl").read_text().splitlines())
    }
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(coco / "annotations.json"))
    of_name = {Path(one["file_name"]).name: one for one in read.loadImgs(read.getImgIds())}
    texts = {image.name: text for image, text in ultralytics_files(yolo).items()}
    assert sorted(masks) == sorted(of_name) == sorted(texts) == sorted(map(name_of, lab.tasks))
    for task in lab.tasks:
        name, image = name_of(task), of_name[name_of(task)]
        regions = [(label_of(one), *read_by_label_studio(one)) for one in results_of(task)]
        with Image.open(png / masks[name]) as picture:
            pixels = np.asarray(picture)
        expected, edges = np.zeros_like(pixels), np.zeros(pixels.shape, bool)
        for label, mask, edge in regions:
            expected[mask] = ids[label]
            edges |= edge
        assert (pixels == expected)[~edges].all()
        annotations = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
        assert [read.cats[one["category_id"]]["name"] for one in annotations] == [label for label, _, _ in regions]
        lines = read_yolo(texts[name], (image["width"], image["height"]))
        assert [number + 1 for number, _ in lines] == [ids[label] for label, _, _ in regions]
        for (_, mask, edge), one, (_, polygon_mask) in zip(regions, annotations, lines, strict=True):
            exported = read.annToMask(one).astype(bool)
            assert (exported == mask)[~edge].all()
            # Nothing of the mask is lost; what is more are the bridges between its parts, one pixel wide.
            assert not (exported & ~polygon_mask & ~edge).any()
            assert iou(polygon_mask, exported) >= 0.8
