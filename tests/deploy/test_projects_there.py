"""Everything about projects with `--host`, over SSH, on the stack that a deploy has made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.repository import REPOSITORY
from infra.roles.project.project import get_project
from infra.roles.stack.image_folders import folder_name
from labelstudio.config import load_project
from labelstudio.truth import truth_of
from tests.deploy.command import Ended, Lab
from tests.deploy.first import BASE, First
from tests.deploy.tunnel import label_studio
from tests.labhost.host import DATA

LAB = ("--host", "lab1")


def good(done: Ended) -> Any:
    assert done.code == 0, done.said
    return done.json


def on_host(done: Ended) -> dict[str, Any]:
    (host,) = good(done)["hosts"]
    found: dict[str, Any] = host
    return found


def boxes(lab_scenes: Path, pictures: dict[str, Path], path: Path) -> dict[str, int]:
    """The boxes of the drawn objects as a COCO file, with the images' paths below the folder; how many each has."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    labels = load_project(REPOSITORY).labeling.labels
    for number, (name, picture) in enumerate(pictures.items(), 1):
        images.append({"id": number, "file_name": name, "width": 1920, "height": 1080})
        for one in truth_of(lab_scenes / "truth", picture.name):
            left, top, right, bottom = one.box_xyxy
            bbox = [left, top, right - left, bottom - top]
            annotations.append({"image_id": number, "category_id": labels.index(one.label), "bbox": bbox})
    categories = [{"id": number, "name": label} for number, label in enumerate(labels)]
    path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    return {"images": len(images), "boxes": len(annotations)}


def test_projects_are_planned_applied_pulled_and_synced(first: First, lab: Lab) -> None:
    assert first.deploy.code == 0
    assert on_host(lab.inv("project.plan", *LAB, "--json"))["changed"] == 0
    title = load_project(REPOSITORY).title
    with label_studio(lab) as client:
        project = get_project(client, title)
        client.update_project(project.id, description="by hand")
        pulled = on_host(lab.inv("project.pull", *LAB, "--dry-run", "--json"))
        assert [one["diff"] for one in pulled["diffs"]] == [
            f"- description: {project.description}\n+ description: by hand"
        ]
        applied = on_host(lab.inv("project.apply", *LAB, "--json"))
        assert applied["changed"] == 1
        assert client.project(project.id).description == project.description
    assert on_host(lab.inv("project.sync", *LAB, "--json"))["changed"] == 0
    audit = [json.loads(line) for line in lab.hosts["lab1"].exec("cat", f"{BASE}/audit.jsonl").stdout.splitlines()]
    assert [(one["command"], one["result"]) for one in audit[-4:]] == [
        (f"./inv project.{task}", result) for task in ("apply", "sync") for result in ("began", "ok")
    ]
    assert lab.inv("lock.status", *LAB).out == "lab1: free\n"


def test_boxes_become_masks_and_masks_are_imported_and_exported(
    first: First, lab: Lab, lab_scenes: Path, lab_pictures: dict[str, Path], tmp_path: Path
) -> None:
    """Boxes become masks and masks are put there counted and exported."""
    assert first.deploy.code == 0
    count = boxes(lab_scenes, lab_pictures, tmp_path / "boxes.json")
    told = on_host(lab.inv("preannotate", *LAB, "--boxes", str(tmp_path / "boxes.json"), "--json"))["preannotate"]
    assert (told["images"], told["failures"]) == (count["images"], [])
    assert told["masks"] + told["empty"] == count["boxes"]

    name, picture = next(iter(lab_pictures.items()))
    one = truth_of(lab_scenes / "truth", picture.name)[0]
    left, top, right, bottom = one.box_xyxy
    outline = [left, top, right, top, right, bottom, left, bottom]
    mask = {"image_id": 1, "category_id": 1, "segmentation": [outline, outline], "bbox": [0, 0, 1, 1], "id": 1}
    image = {"id": 1, "file_name": f"{folder_name(Path(DATA))}/{name}", "width": 1920, "height": 1080}
    content = {"images": [image], "annotations": [mask], "categories": [{"id": 1, "name": one.label}]}
    (tmp_path / "masks.json").write_text(json.dumps(content))
    back = good(lab.inv("import", str(tmp_path / "masks.json"), "--format", "coco", *LAB, "--json"))["import"]
    assert (back["added"], back["missing"]) == (1, [])

    stats = on_host(lab.inv("stats", *LAB, "--html", str(tmp_path / "stats.html"), "--json"))["stats"]
    assert (stats["images"], stats["annotated"], stats["masks"]) == (len(lab_pictures), 1, 1)
    assert (tmp_path / "stats.html").read_text(encoding="utf-8").count("data:image/jpeg") == 1

    out, classes = tmp_path / "coco", tmp_path / "classes.lock"
    words = ("--format", "coco", "--out", str(out), "--classes", str(classes))
    assert good(lab.inv("export", *words, *LAB, "--json"))["export"]["regions"] == 1
    exported = json.loads((out / "annotations.json").read_text(encoding="utf-8"))
    assert [(each["file_name"]) for each in exported["images"]] == [image["file_name"]]
    assert exported["annotations"][0]["area"] == (right - left) * (bottom - top)
