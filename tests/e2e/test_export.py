"""A project with 200 masks drawn through the API: exported in every format, read by its own readers, and put back."""

from __future__ import annotations

import contextlib
import io
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from core.report import Report
from core.repository import REPOSITORY
from dataset.export.formats import ExportOptions
from dataset.export.labeling import used_config
from dataset.export.run import Export
from dataset.export.selection import Selection
from dataset.importing.run import Import, ImportSummary
from labelstudio.bulk import TaskReader, add_annotation, add_tasks, task_rows
from labelstudio.client import Client
from labelstudio.models import Project
from labelstudio.versions import read_versions
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.test_command import inv
from tests.unit.dataset.export.masks import iou, read_yolo
from tests.unit.labelstudio.annotated import bitmask_value, ghost, result, with_palette
from tests.unit.labelstudio.annotated import brush as fused_brush

Mask = NDArray[np.bool_]
SIZE = (320, 240)
IMAGES = 25
MASKS_EACH = 8
LABELS = ("Civilian", "Road", "Building", "Civilian-Car", "Debris")
SHIPPED = sorted((REPOSITORY / "labeling_configs").glob("*/v*.xml"))
# pycocotools 2.0.11 converts with numpy's old protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def config_text(name: str, version: int) -> str:
    return (REPOSITORY / "labeling_configs" / name / f"v{version}.xml").read_text(encoding="utf-8")


@dataclass
class Drawn:
    """A project on the real Label Studio, and what was drawn in it: (label, mask) by the image's name."""

    client: Client
    folder: Path
    project: Project
    truth: dict[str, list[tuple[str, Mask]]] = field(default_factory=dict)

    def export(self, format_name: str, name: str, project: Project | None = None, **options: Any) -> Path:
        project = project or self.project
        one = Export(
            client=self.client,
            project=project,
            config=used_config(REPOSITORY, project.label_config, project.title, None, None),
            selection=options.pop("selection", Selection()),
            options=ExportOptions(format=format_name, **options),  # type: ignore[arg-type]
            repository=REPOSITORY,
            report=Report(io.StringIO()),
            classes_file=self.folder / "classes.lock",
        )
        summary = one.run(self.folder / name)
        assert summary.problems == ()
        return self.folder / name

    def put_back(self, project: Project, name: str, **options: Any) -> ImportSummary:
        return Import(self.client, project, Report(io.StringIO()), **options).run(self.folder / name)


@contextlib.contextmanager
def made_project(client: Client, text: str, title: str = "") -> Iterator[Project]:
    project_id = client.create_project(title or f"Export {uuid.uuid4().hex[:12]}", "", text)
    try:
        yield client.project(project_id)
    finally:
        client.sdk.projects.delete(project_id)


def random_mask(rng: np.random.Generator) -> Mask:
    """One to three ellipses, some with a hole, on an image of 320x240."""
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        x, y = (int(rng.integers(30, whole - 30)) for whole in SIZE)
        axes = (int(rng.integers(12, 60)), int(rng.integers(12, 60)))
        cv2.ellipse(mask, (x, y), axes, int(rng.integers(0, 180)), 0, 360, 1, -1)
        if rng.random() < 0.5:
            cv2.circle(mask, (x, y), int(rng.integers(3, 10)), 0, -1)
    return mask.astype(bool)


def split_brush(mask: Mask, label: str, region_id: str) -> list[dict[str, Any]]:
    value = {"format": "rle", "rle": fused_brush(mask, label)[0]["value"]["rle"]}
    return with_palette("brush", "brush", value, label, SIZE, region_id)


def prompts(label: str, region_id: str) -> list[dict[str, Any]]:
    """A point and a box that stayed in the annotation, as after an error of the model."""
    point = {"x": 20.0, "y": 20.0, "width": 0.2}
    box = {"x": 20.0, "y": 20.0, "width": 9.0, "height": 9.0, "rotation": 0}
    return [
        *with_palette("keypoint", "point", point, label, SIZE, f"p{region_id}"),
        *with_palette("rectangle", "box", box, label, SIZE, f"b{region_id}"),
    ]


@pytest.fixture(scope="module")
def drawn(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    """25 images with 8 masks each: brush with a palette, prompts beside them, and a ghost for every third."""
    client = stage.client
    with made_project(client, config_text("rgbt-sar", 2)) as project:
        one = Drawn(client, tmp_path_factory.mktemp("export"), project)
        names = [f"{stage.ctx.folder.name}/drawn señal {number:02}.png" for number in range(IMAGES)]
        add_tasks(client, project.id, [{"image": f"/data/local-files/?d={name}"} for name in names])
        rng = np.random.default_rng(6)
        for row, name in zip(task_rows(client, project.id), names, strict=True):
            masks = [(LABELS[int(rng.integers(len(LABELS)))], random_mask(rng)) for _ in range(MASKS_EACH)]
            results: list[dict[str, Any]] = prompts("Road", str(row.id))
            for number, (label, mask) in enumerate(masks):
                results += split_brush(mask, label, f"m{row.id}-{number}")
                if number % 3 == 0:
                    results.append(ghost(mask, "Debris", f"m{row.id}-{number}"))
            add_annotation(client, row.id, {"result": results, "lead_time": 12.5})
            one.truth[name] = masks
        assert sum(map(len, one.truth.values())) == 200
        yield one


def test_a_project_agrees_with_its_own_exports(drawn: Drawn, stack: Stack) -> None:
    """Prompts and ghosts beside the masks are none on either side; what is drawn later lies above on both."""
    title = drawn.project.title
    for format_name in ("coco", "png"):
        folder = drawn.export(format_name, f"agreed {format_name}")
        done = inv(stack, "agreement", title, str(folder), "--html", "-", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["images"], found["problems"]) == (IMAGES, [])
        assert (found["mean_iou"], found["pixel_agreement"], found["kappa"]) == (1.0, 1.0, pytest.approx(1.0))
    nobody = inv(stack, "agreement", f"{title}:nobody@lab.example", str(folder), "--html", "-")
    assert nobody.returncode == 2
    assert "has no annotation of nobody@lab.example; there are annotations of" in nobody.stderr


def test_coco_has_the_truth_to_the_pixel(drawn: Drawn) -> None:
    folder = drawn.export("coco", "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(folder / "annotations.json"))
    names = {one["id"]: one["name"] for one in read.loadCats(read.getCatIds())}
    for image in read.loadImgs(read.getImgIds()):
        annotations = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
        truth = drawn.truth[image["file_name"]]
        assert [names[one["category_id"]] for one in annotations] == [label for label, _ in truth]
        for one, (_, mask) in zip(annotations, truth, strict=True):
            assert np.array_equal(read.annToMask(one).astype(bool), mask)
            assert one["area"] == mask.sum()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["counts"]["regions"] == 200
    assert manifest["counts"]["left_out"] == {"ghost": 75, "key point": 25, "prompt": 25}
    published = read_versions(REPOSITORY / "labeling_configs" / "versions.lock")
    assert manifest["config"] == {
        "name": "rgbt-sar",
        "version": 2,
        "strict": False,
        "sha256": published["rgbt-sar/v2.xml"],
    }


def test_png_has_the_truth_to_the_pixel(drawn: Drawn) -> None:
    folder = drawn.export("png", "png", instances=True)
    ids = {
        one["name"]: one["id"] for one in json.loads((folder / "legend.json").read_text(encoding="utf-8"))["classes"]
    }
    for name, masks in drawn.truth.items():
        classes, instances = np.zeros(masks[0][1].shape, np.uint8), np.zeros(masks[0][1].shape, np.uint16)
        for number, (label, mask) in enumerate(masks, 1):
            classes[mask], instances[mask] = ids[label], number
        for kind, expected in (("masks", classes), ("instances", instances)):
            with Image.open(folder / kind / name) as picture:
                assert np.array_equal(np.asarray(picture), expected)


def test_rle_json_has_the_truth_to_the_pixel(drawn: Drawn) -> None:
    folder = drawn.export("rle-json", "rle")
    for line in (folder / "masks.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for region, (label, mask) in zip(row["regions"], drawn.truth[row["file_name"]], strict=True):
            runs = region["rle"]["counts"]
            flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            assert np.array_equal(flat.reshape(row["width"], row["height"]).T, mask)
            assert (region["labels"], region["area"]) == ([label], mask.sum())


def test_yolo_is_nearly_the_truth(drawn: Drawn) -> None:
    folder = drawn.export("yolo-seg", "yolo", split=True)
    names = [one["name"] for one in json.loads((folder / "classes.json").read_text(encoding="utf-8"))["classes"]]
    for name, masks in drawn.truth.items():
        read = read_yolo((folder / "labels" / name).with_suffix(".txt"), SIZE)
        for label, mask in masks:
            parts = [read.pop(0) for _ in range(cv2.connectedComponents(mask.view(np.uint8), connectivity=4)[0] - 1)]
            assert {names[number] for number, _ in parts} == {label}
            assert iou(np.logical_or.reduce([one for _, one in parts]), mask) >= 0.99
        assert read == []


@pytest.mark.parametrize(
    ("format_name", "file"),
    [("coco", "annotations.json"), ("rle-json", "masks.jsonl"), ("label-studio", "tasks.json")],
)
def test_export_import_export_is_identical(drawn: Drawn, format_name: str, file: str) -> None:
    first = drawn.export(format_name, f"first-{format_name}")
    with made_project(drawn.client, drawn.project.label_config) as other:
        add_tasks(drawn.client, other.id, [row.data for row in reversed([*task_rows(drawn.client, drawn.project.id)])])
        summary = drawn.put_back(other, first.name)
        assert (summary.added, summary.present, summary.missing) == (IMAGES, 0, [])
        again = drawn.put_back(other, first.name)
        assert (again.added, again.present) == (0, IMAGES)
        second = drawn.export(format_name, f"second-{format_name}", other)
        assert (second / file).read_bytes() == (first / file).read_bytes()
    assert drawn.put_back(drawn.project, first.name).added == 0


def test_predictions_are_stored_and_nobodys_work_is_touched(drawn: Drawn) -> None:
    first = drawn.export("coco", "for-predictions")
    summary = drawn.put_back(drawn.project, first.name, as_kind="prediction")
    assert (summary.added, summary.present) == (IMAGES, 0)
    again = drawn.put_back(drawn.project, first.name, as_kind="prediction")
    assert (again.added, again.present) == (0, IMAGES)
    reader = TaskReader(drawn.client, drawn.project.id, with_predictions=True)
    for task in reader.read([row.id for row in task_rows(drawn.client, drawn.project.id)]):
        assert (len(task.annotations), len(task.predictions)) == (1, 1)


def test_a_fresh_label_studio_takes_everything(drawn: Drawn) -> None:
    """Tasks that are not there are made; both forms of brush, a bitmask and a polygon survive Label Studio itself."""
    first = drawn.export("label-studio", "whole", selection=Selection(which="all", skipped=True))
    with made_project(drawn.client, drawn.project.label_config) as other:
        summary = drawn.put_back(other, first.name, create_tasks=True)
        assert (summary.new_tasks, summary.added) == (IMAGES, IMAGES)
        second = drawn.export("label-studio", "whole-again", other, selection=Selection(which="all", skipped=True))
        assert (second / "tasks.json").read_bytes() == (first / "tasks.json").read_bytes()


def test_label_studio_itself_reads_the_export(stack: Stack, drawn: Drawn) -> None:
    """The file of another server, whose people this one does not know."""
    first = drawn.export("label-studio", "for-others", selection=Selection(which="all", skipped=True))
    us = stack.settings.username
    text = (first / "tasks.json").read_text(encoding="utf-8")
    assert us in text
    with made_project(drawn.client, drawn.project.label_config) as other:
        rows = json.loads(text.replace(us, "ana@elsewhere.example"))
        answer = drawn.client.call("import the file", "POST", f"/api/projects/{other.id}/import", json=rows)
        assert (answer["task_count"], answer["annotation_count"]) == (IMAGES, IMAGES)
        assert drawn.put_back(other, first.name).added == 0


def test_every_shape_comes_through_label_studio(drawn: Drawn) -> None:
    mask = random_mask(np.random.default_rng(1))
    tags = '<Bitmask name="bits" toName="image"/><Polygon name="poly" toName="image"/>'
    text = config_text("rgbt-sar", 2).replace("</View>", f"{tags}</View>")
    corners = [[10.0, 10.0], [50.5, 10.0], [50.5, 60.25], [10.0, 60.25]]
    results = [
        *with_palette("bitmask", "bits", bitmask_value(mask), "Road", SIZE, "1"),
        *with_palette("polygon", "poly", {"points": corners, "closed": True}, "Sky", SIZE, "2"),
        result("choices", "nobody", "3", SIZE, {"choices": ["x"]}),
    ]
    with made_project(drawn.client, text) as project:
        add_tasks(drawn.client, project.id, [{"image": "/data/local-files/?d=demo/shapes.png"}])
        (row,) = task_rows(drawn.client, project.id)
        add_annotation(drawn.client, row.id, {"result": results})
        folder = drawn.export("rle-json", "shapes", project)
        (image,) = (json.loads(line) for line in (folder / "masks.jsonl").read_text(encoding="utf-8").splitlines())
        areas = [one["area"] for one in image["regions"]]
        assert areas[0] == mask.sum()
        # A pixel belongs to it when its centre does: columns 32 to 161, rows 24 to 144.
        assert areas[1] == 130 * 121
        assert drawn.put_back(project, "shapes").added == 0


def test_words_of_others_steer_no_terminal(stack: Stack, drawn: Drawn, tmp_path: Path) -> None:
    """Escapes in a title, a label and a URL reach neither terminal nor log, and JSON gives them back as they were."""
    steer = "\x1b]0;pwned\x07\x9b31m"
    mask = random_mask(np.random.default_rng(2))
    broken = result("brush", "brush", "b", SIZE, {"format": "rle", "rle": []})
    label = result("labels", "label", "b", SIZE, {"labels": [f"Car{steer}"]})
    with made_project(drawn.client, drawn.project.label_config, f"{steer}\n::error::{uuid.uuid4().hex[:8]}") as project:
        add_tasks(drawn.client, project.id, [{"image": f"/data/local-files/?d=demo/{steer}.png"}])
        (row,) = task_rows(drawn.client, project.id)
        add_annotation(drawn.client, row.id, {"result": [*split_brush(mask, f"Road{steer}", "r"), broken, label]})
        out = ("--out", str(tmp_path / "out"), "--classes", str(tmp_path / "classes.lock"))
        export = inv(stack, "export", "--format", "coco", "--project", project.title, *out, "--json")
        unknown = inv(stack, "export", "--format", "coco", "--project", "nobody's", *out)
    assert (export.returncode, unknown.returncode) == (1, 2), export.stderr + unknown.stderr
    record = json.loads(export.stdout)["export"]
    assert (record["classes"], len(record["problems"])) == ({f"Road{steer}": 1}, 1)
    shown = export.stdout + export.stderr + unknown.stdout + unknown.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert not re.search(r"^\s*::", shown, re.MULTILINE)
    assert r"(Car\u001b]0;pwned\u0007\u009b31m) cannot be read" in export.stderr
    assert r"\u001b]0;pwned\u0007\u009b31m\u000a::error::" in unknown.stderr


@pytest.mark.parametrize("path", SHIPPED, ids=[f"{one.parent.name}-{one.stem}" for one in SHIPPED])
def test_label_studio_takes_every_shipped_configuration(stage: Stage, path: Path) -> None:
    with made_project(stage.client, path.read_text(encoding="utf-8")) as project:
        used = used_config(REPOSITORY, project.label_config, project.title, None, None)
        assert (used.name, f"v{used.version}") == (path.parent.name, path.stem)
        backend_id = stage.client.add_backend(project.id, stage.ctx.backend_url, "SAM2", login=stage.ctx.backend_login)
        (backend,) = stage.client.backends(project.id)
        assert (backend.id, backend.connected, backend.error) == (backend_id, True, "")
