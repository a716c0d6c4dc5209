"""A pair's road on the running stack: registered, masks carried over with SAM2 or as drafts, written as a data set."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.repository import REPOSITORY
from labelstudio.bulk import TaskReader, add_annotation, add_tasks
from labelstudio.masks import masks_in
from masks.measure import intersection_over_union as iou
from masks.warp import carried
from tests.e2e.clone import Clone
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.test_export import made_project
from tests.unit.dataset.registration.scenes import SIZE, draw_pair, similarity
from tests.unit.labelstudio.annotated import split_brush

KNOWN = similarity(1.0, 1.03, (5.0, -3.0))
CONFIG = REPOSITORY / "labeling_configs" / "rgbt-pair" / "v1.xml"


def ellipse(x: int, y: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.ellipse(mask, (x, y), (40, 22), 20, 0, 360, 1, -1)
    return mask.astype(bool)


MASKS = {"Civilian-Car": ellipse(120, 80), "Debris": ellipse(200, 170)}


def paint_things(folder: Path, name: str) -> None:
    """What the masks are of, seen by both cameras: SAM2 looks at the twin, and would find another thing there."""
    for number, mask in enumerate(MASKS.values()):
        for side, shown, value in (
            ("rgb", mask, (250, 240 - 200 * number, 30)),
            ("thermal", carried(mask, KNOWN, SIZE), 31000 + 500 * number),
        ):
            path = folder / side / f"{name}.png"
            with Image.open(path) as opened:
                pixels = np.array(opened)
            pixels[shown] = value
            Image.fromarray(pixels).save(path)


@pytest.fixture
def served(stage: Stage, demo_folder: Path, tmp_path: Path) -> Any:
    """The pictures of two pairs in the image folder, as Label Studio serves it."""
    draw_pair(tmp_path, "0001", 3, KNOWN)
    draw_pair(tmp_path, "0002", 4, KNOWN)
    paint_things(tmp_path, "0001")
    folder = demo_folder / "images" / "transfer Ñ"
    for side in ("rgb", "thermal"):
        shutil.copytree(tmp_path / side, folder / side)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_pair_is_registered_carried_over_and_written(
    stack: Stack, stage: Stage, served: Path, tmp_path: Path
) -> None:
    """Label Studio keeps the masks of both images and the note at each; a second run adds nothing."""
    client, clone = stage.client, Clone.make(tmp_path / "clone", stack.environment)
    alignment, out = tmp_path / "alignment.yaml", tmp_path / "train"
    with made_project(client, CONFIG.read_text(encoding="utf-8")) as project:
        root = f"/data/local-files/?d={stage.ctx.folder.name}/transfer%20%C3%91"
        names = ("0001", "0002")
        add_tasks(
            client, project.id, [{side: f"{root}/{side}/{one}.png" for side in ("rgb", "thermal")} for one in names]
        )
        first, _ = (int(one["id"]) for one in client.task_states(project.id))
        results = [
            {**one, "from_name": f"{one['from_name']}-rgb", "to_name": "rgb"}
            for label, mask in MASKS.items()
            for one in split_brush(mask, label, label[:4])
        ]
        add_annotation(client, first, {"result": results, "lead_time": 5.0})
        there = ("--project", project.title)
        registered = clone.result("pairs.register", *there, "--model", "similarity", "--out", str(alignment))
        assert [one["accepted"] for one in registered["pairs"]] == [True, True]
        done = clone.result("pairs.transfer", *there, "--alignment", str(alignment))["transfer"]
        assert (done["masks"], done["left_out"], done["problems"]) == (2, [], [])
        (whole,) = TaskReader(client, project.id, with_predictions=True).read([first])
        (prediction,) = whole.predictions
        assert prediction.model_version == "transfer"
        assert {str(one["to_name"]) for one in prediction.results} == {"rgb", "thermal"}
        found = {one.labels[0]: one.mask for one in masks_in([r for r in prediction.results if r["to_name"] != "rgb"])}
        for label, mask in MASKS.items():
            assert iou(found[label], carried(mask, KNOWN, SIZE)) > 0.9
        notes = [one["meta"]["text"][0] for one in prediction.results if one["to_name"] == "thermal"]
        assert all(text.startswith("from rgb ") for text in notes)
        again = clone.result("pairs.transfer", *there, "--alignment", str(alignment))["transfer"]
        assert (again["masks"], again["before"]) == (0, 1)
        drafts = ("--kind", "draft", "--refine", "none", "--alignment", str(alignment))
        made = clone.result("pairs.transfer", *there, *drafts)["transfer"]
        assert (made["masks"], made["left_out"]) == (2, [])
        (draft,) = client.call("read the drafts", "GET", f"/api/tasks/{first}/drafts")
        assert draft["annotation"] == whole.annotations[0].id
        assert {str(one["to_name"]) for one in draft["result"]} == {"rgb", "thermal"}
        once = clone.result("pairs.transfer", *there, *drafts)["transfer"]
        assert (once["masks"], once["before"]) == (0, 1)
        own = {"result": draft["result"][:1]}
        client.call("change the draft", "PATCH", f"/api/drafts/{draft['id']}/", json=own)
        left = clone.inv("pairs.transfer", *there, *drafts, "--json")
        assert left.returncode == 1, "everything was left out"
        assert "has a draft of their own" in json.loads(left.stdout)["transfer"]["left_out"][0]["reason"]
        (kept,) = client.call("read the drafts", "GET", f"/api/tasks/{first}/drafts")
        assert kept["result"] == draft["result"][:1]
        clone.result(
            *("export", "--format", "dataset", *there, "--classes", str(tmp_path / "classes.lock"), "--out", str(out))
        )
    assert (out / "images" / "thermal" / "0001.png").read_bytes() == (served / "thermal" / "0001.png").read_bytes()
    with Image.open(io.BytesIO((out / "labels" / "rgb" / "0001.png").read_bytes())) as opened:
        pixels = np.asarray(opened)
    assert iou(pixels != 255, MASKS["Civilian-Car"] | MASKS["Debris"]) == 1
    assert (out / "train.txt").read_text() == "0001\n"
