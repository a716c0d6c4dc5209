"""A project of pairs on the real stack: either image of a task is clicked, exported, put back, counted."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pycocotools.coco import COCO

from demo.clicks import box_of, inner_point
from demo.images import demo_scene
from demo.scenes import Scene
from infra.roles.project.project import get_project
from labelstudio.bulk import add_annotation
from labelstudio.client import Client
from labelstudio.image_files import path_in
from labelstudio.masks import masks_in
from masks.measure import intersection_over_union
from tests.e2e.clicks import as_submitted
from tests.e2e.clone import Clone
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import region
from tests.unit.dataset.export.masks import iou, read_yolo, ultralytics_files

Mask = NDArray[np.bool_]
SIDES = ("rgb", "thermal")
RGB_WH, THERMAL_WH = (640, 360), (480, 270)
GOOD = 0.7
# pycocotools 2.0.11 converts with numpy's old protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@dataclass(frozen=True)
class Pairs:
    """The project, and what is drawn in each of its images: by the image's path below the folder."""

    clone: Clone
    client: Client
    title: str
    folder: Path
    name: str
    drawn: dict[str, tuple[str, Mask]]

    @property
    def project_id(self) -> int:
        return get_project(self.client, self.title).id

    def inv(self, task: str, *arguments: str) -> dict[str, Any]:
        return self.clone.result(task, "--project", "pair", *arguments)

    def tasks(self) -> dict[int, dict[str, str]]:
        """The paths of each task's images."""
        return {
            int(one["id"]): {side: path_in(self.name, one["data"][side]) or "" for side in SIDES}
            for one in self.client.task_states(self.project_id)
        }

    def click(self, task: int, side: str, path: str) -> list[dict[str, object]]:
        """What comes back when somebody clicks the object that is drawn in one image, as it is submitted."""
        label, truth = self.drawn[path]
        height, width = truth.shape
        x, y = inner_point(truth)
        value = {"x": 100 * x / width, "y": 100 * y / height, "width": 0.2}
        more = {"to_name": side, "is_positive": True, "id": secrets.token_urlsafe(8)[:10]}
        asked = [
            region("keypoint", f"point-{side}", (width, height), value, **more),
            region("labels", f"label-{side}", (width, height), value | {"labels": [label]}, **more),
        ]
        (backend,) = self.client.backends(self.project_id)
        answer = self.client.click(backend.id, task, asked)
        assert answer.errors == ()
        assert answer.data is not None
        results = answer.data["result"]
        assert isinstance(results, list)
        return as_submitted(results)


def draw(folder: Path, name: str, scene: Scene) -> dict[str, tuple[str, Mask]]:
    """A scene in colour, and in grey as a smaller camera sees it in a mirror: a mask fits one of them only."""
    one = max(scene.objects, key=lambda each: int(each.mask.sum()))
    colour = Image.fromarray(scene.image)
    paths = {"rgb": f"RGB/{name}.png", "thermal": f"T/{name}_t.png"}
    for path in paths.values():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).parent.chmod(0o755)
    colour.save(folder / paths["rgb"])
    ImageOps.mirror(colour.convert("L").resize(THERMAL_WH)).save(folder / paths["thermal"])
    small = Image.fromarray(one.mask).resize(THERMAL_WH, Image.Resampling.NEAREST)
    masks = {"rgb": one.mask, "thermal": np.asarray(ImageOps.mirror(small), dtype=bool)}
    return {path: (one.label, masks[side]) for side, path in paths.items()}


@pytest.fixture(scope="module")
def pairs(stack: Stack, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    """Three pairs, and in each of the two folders a file without a partner."""
    below = f"pares Ñ {secrets.token_hex(3)}"
    folder = Path(stage.ctx.folder.path) / below
    folder.mkdir()
    folder.chmod(0o755)
    title = f"Pairs {secrets.token_hex(3)}"
    clone = Clone.make(tmp_path_factory.mktemp("clone"), stack.environment)
    patterns = {"rgb": "RGB/{name}.png", "thermal": "T/{name}_t.png"}
    images = {"folder": f"{stage.ctx.folder.name}/{below}", "pairs": patterns}
    clone.projects(pair={"title": title, "config": "rgbt-pair", "version": 1, "images": images})
    try:
        drawn: dict[str, tuple[str, Mask]] = {}
        for number in (0, 1, 3):
            drawn |= draw(folder, f"señal {number} #1", demo_scene(number, size_wh=RGB_WH))
        Image.new("RGB", (8, 6)).save(folder / "RGB" / "sola.png")
        Image.new("L", (8, 6)).save(folder / "T" / "otra_t.png")
        for path in folder.rglob("*.png"):
            path.chmod(0o644)
        one = Pairs(clone, stage.client, title, folder, images["folder"], drawn)  # type: ignore[arg-type]
        assert one.inv("project.apply")["changed"] == 4
        yield one
    finally:
        shutil.rmtree(folder)
        for project in stage.client.projects(title):
            stage.client.sdk.projects.delete(project.id)


@pytest.fixture(scope="module")
def annotated(pairs: Pairs) -> dict[str, Mask]:
    """A click in each image of each pair, submitted as one annotation a task; the masks by the image's path."""
    found = {}
    for task, images in pairs.tasks().items():
        submitted: list[dict[str, object]] = []
        for side, path in images.items():
            results = pairs.click(task, side, path)
            assert [(one["from_name"], one["to_name"]) for one in results] == [
                (f"brush-{side}", side),
                (f"label-{side}", side),
            ]
            (mask,) = {one.region_id: one for one in masks_in(results)}.values()
            assert mask.labels == (pairs.drawn[path][0],)
            found[path] = mask.mask
            submitted += results
        add_annotation(pairs.client, task, {"result": submitted, "lead_time": 10.0})
    return found


def test_a_pair_is_one_task_and_nothing_is_made_twice(pairs: Pairs) -> None:
    tasks = pairs.tasks()
    assert sorted(path for images in tasks.values() for path in images.values()) == sorted(pairs.drawn)
    assert len(tasks) == 3
    planned = pairs.inv("project.plan")
    assert planned["changed"] == 0
    (notice,) = planned["notices"]
    assert notice.endswith("have no partner and are left out (RGB/sola.png, T/otra_t.png)")
    assert pairs.inv("project.apply")["changed"] == 0
    assert pairs.inv("project.sync")["changed"] == 0
    (storage,) = pairs.client.storages(pairs.project_id)
    assert (
        pairs.client.sdk.import_storage.local.sync(storage.id).status == "completed"
    )  # as a press on Sync in the browser
    assert pairs.tasks() == tasks


def test_a_click_on_either_image_is_a_mask_on_that_image(pairs: Pairs, annotated: dict[str, Mask]) -> None:
    for path, mask in annotated.items():
        truth = pairs.drawn[path][1]
        assert mask.shape == truth.shape
        assert intersection_over_union(mask, truth) >= GOOD, path


def test_both_images_are_exported_and_put_back(pairs: Pairs, annotated: dict[str, Mask], tmp_path: Path) -> None:
    coco, again = tmp_path / "coco", tmp_path / "again"
    assert pairs.inv("export", "--format", "coco", "--out", str(coco))["export"]["regions"] == 6
    read = COCO(str(coco / "annotations.json"))
    for image in read.loadImgs(read.getImgIds()):
        path = image["file_name"].removeprefix(f"{pairs.name}/")
        (one,) = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
        assert np.array_equal(read.annToMask(one).astype(bool), annotated[path])
        assert (image["to_name"], image["width"]) == (("rgb", 640) if path.startswith("RGB/") else ("thermal", 480))  # type: ignore[typeddict-item]

    (task, *_) = pairs.tasks()
    (there,) = pairs.client.sdk.annotations.list(task)
    pairs.client.sdk.annotations.delete(there.id)
    back = pairs.inv("import", str(coco))["import"]
    assert (back["added"], back["present"], back["missing"]) == (1, 2, [])
    pairs.inv("export", "--format", "coco", "--out", str(again))
    assert (again / "annotations.json").read_bytes() == (coco / "annotations.json").read_bytes()


def test_the_other_formats_have_both_images_too(pairs: Pairs, annotated: dict[str, Mask], tmp_path: Path) -> None:
    for name in ("png", "yolo-seg", "rle-json"):
        pairs.inv("export", "--format", name, "--out", str(tmp_path / name))
    lines = (tmp_path / "rle-json" / "masks.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["file_name"]: row for row in map(json.loads, lines)}
    assert len(rows) == len(annotated)
    for path, mask in annotated.items():
        (one,) = rows[f"{pairs.name}/{path}"]["regions"]
        assert (one["area"], one["labels"]) == (mask.sum(), [pairs.drawn[path][0]])
        with Image.open(tmp_path / "png" / "masks" / pairs.name / path) as picture:
            assert np.array_equal(np.asarray(picture), np.where(mask, one["class"], 0))
        image = tmp_path / "yolo-seg" / "images" / pairs.name / path
        ((number, outline),) = read_yolo(
            ultralytics_files(tmp_path / "yolo-seg")[image], (mask.shape[1], mask.shape[0])
        )
        assert number == one["class"] - 1
        assert iou(outline, mask) >= 0.95
    back = pairs.inv("import", str(tmp_path / "rle-json"))["import"]
    assert (back["added"], back["present"]) == (0, 3)


def test_left_out_drafts_and_boxes_are_said(pairs: Pairs, annotated: dict[str, Mask], tmp_path: Path) -> None:
    """On the terminal: work that was drawn and never submitted, and a box that nobody takes for one."""
    (task, *_) = pairs.tasks()
    box = region("rectangle", "box-rgb", RGB_WH, {"x": 5.0, "y": 5.0, "width": 9.0, "height": 9.0, "rotation": 0})
    box |= {"to_name": "rgb", "id": "a box"}
    made = add_annotation(pairs.client, task, {"result": [box]})
    pairs.client.call("save a draft", "POST", f"/api/tasks/{task}/drafts", json={"result": [box], "lead_time": 1.0})
    try:
        words = ("--project", "pair", "--annotations", "all", "--format", "csv", "--out", str(tmp_path / "csv"))
        done = pairs.clone.inv("export", *words)
        assert done.returncode == 0, done.stderr
        lines = [line.strip() for line in done.stderr.splitlines() if "left out" in line]
        assert [line.partition(" (")[0] for line in lines] == ["! left out: 1 x draft", "! left out: 1 x prompt"]
        assert lines[0].endswith(f"press Submit or Update; tasks {task})")
        assert done.stdout.startswith(f"{tmp_path / 'csv'}: csv, {len(annotated)} masks on ")
    finally:
        pairs.client.sdk.annotations.delete(made)
        for one in pairs.client.call("read the drafts", "GET", f"/api/tasks/{task}/drafts"):
            pairs.client._request("delete the draft", "DELETE", f"/api/drafts/{one['id']}/")


def test_both_images_are_counted_and_shown(pairs: Pairs, annotated: dict[str, Mask], tmp_path: Path) -> None:
    page = tmp_path / "stats.html"
    stats = pairs.inv("stats", "--html", str(page))["stats"]
    assert (stats["images"], stats["annotated"], stats["masks"]) == (6, 6, len(annotated))
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == 6
    assert all(path in text for path in pairs.drawn)


def test_boxes_of_either_image_become_masks_on_that_image(pairs: Pairs, tmp_path: Path) -> None:
    """A detector's file has both images; a task gets one prediction with the masks of both."""
    images, annotations, names = [], [], sorted({label for label, _ in pairs.drawn.values()})
    for number, (path, (label, mask)) in enumerate(pairs.drawn.items(), 1):
        left, top, right, bottom = box_of(mask)
        images.append({"id": number, "file_name": path, "width": mask.shape[1], "height": mask.shape[0]})
        box = [left, top, right - left, bottom - top]
        annotations.append({"image_id": number, "category_id": names.index(label), "bbox": box})
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    told = pairs.inv("preannotate", "--boxes", str(file), "--also-annotated")["preannotate"]
    assert (told["images"], told["masks"], told["failures"]) == (6, 6, [])
    paths = pairs.tasks()
    for task in pairs.client.task_states(pairs.project_id, "predictions"):
        (prediction,) = task["predictions"]
        masks = {one.region_id: one for one in masks_in(prediction["result"])}
        sides = {one["id"]: one["to_name"] for one in prediction["result"]}
        assert sorted(sides.values()) == list(SIDES)
        for key, one in masks.items():
            truth = pairs.drawn[paths[int(task["id"])][sides[key]]][1]
            assert intersection_over_union(one.mask, truth) >= GOOD
    again = pairs.inv("preannotate", "--boxes", str(file), "--also-annotated")["preannotate"]
    assert (again["images"], again["before"]) == (0, 6)
