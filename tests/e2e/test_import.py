"""What the real Label Studio exports goes into a project as it is."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.report import Report
from dataset.importing.run import Import
from labelstudio.bulk import TaskReader, add_annotation, add_tasks, task_rows
from labelstudio.client import Client
from tests.e2e.project_cases import Stage
from tests.e2e.test_export import made_project

SIZE = (64, 48)
POLYGONS = """<View><Image name="image" value="$image"/>
<PolygonLabels name="poly" toName="image"><Label value="Car"/></PolygonLabels></View>"""
COLOUR = POLYGONS.replace("$image", "$colour").replace('"image"', '"picture"')
FOLDERS = ("vuelo 1", "vuelo 2")  # each with an image of the same name


@pytest.fixture(scope="module")
def addresses(stage: Stage) -> Iterator[list[str]]:
    """The URLs of two images with one name, with a space and an accent, which no other test's filter matches."""
    root = Path(stage.ctx.folder.path)
    for folder in FOLDERS:
        (root / folder).mkdir(mode=0o755)
        Image.new("RGB", SIZE).save(root / folder / "señal.jpg")
    yield [f"/data/local-files/?d={stage.ctx.folder.name}/vuelo%20{number}/se%C3%B1al.jpg" for number in (1, 2)]
    for folder in FOLDERS:
        shutil.rmtree(root / folder)


def corner(results: list[dict[str, Any]]) -> float:
    """What tells one polygon of the tests from the other."""
    return round(float(results[0]["value"]["points"][1][0]), 3)


def corners(client: Client, project_id: int) -> dict[str, float]:
    """By the image of each task: the corner of its one annotation."""
    found = {}
    for task in TaskReader(client, project_id).read([row.id for row in task_rows(client, project_id)]):
        (one,) = task.annotations
        found[str(next(iter(task.data.values())))] = corner(one.results)
    return found


@pytest.mark.parametrize("kind", ["COCO", "COCO_WITH_IMAGES", "JSON"])
def test_label_studios_own_export_goes_in(stage: Stage, addresses: list[str], kind: str, tmp_path: Path) -> None:
    """As it was downloaded: into a project with another order, another key and another name for its image."""
    client = stage.client
    with made_project(client, POLYGONS) as project, made_project(client, COLOUR) as other:
        client.create_storage(project.id, replace(client.storages(stage.project_id)[0], regex_filter=".*jpg"))
        add_tasks(client, project.id, [{"image": one} for one in addresses])
        add_tasks(client, other.id, [{"colour": one} for one in reversed(addresses)])
        for number, row in enumerate(task_rows(client, project.id), 1):
            value = {"points": [[10, 10], [20 * number, 10], [20, 50]], "closed": True, "polygonlabels": ["Car"]}
            sizes = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
            one = {**sizes, "id": "p", "type": "polygonlabels", "from_name": "poly", "to_name": "image", "value": value}
            add_annotation(client, row.id, {"result": [one]})
        content = client.download(f"/api/projects/{project.id}/export?exportType={kind}")
        path = tmp_path / "project-1-at-2026-03-01.json"
        if kind == "JSON":
            path.write_bytes(content)
        else:
            path = tmp_path / "unpacked"
            zipfile.ZipFile(io.BytesIO(content)).extractall(path)
        summary = Import(client, other, Report(io.StringIO())).run(path)
        assert (summary.added, summary.missing, summary.broken) == (2, [], [])
        assert corners(client, other.id) == corners(client, project.id) == dict(zip(addresses, (20, 40), strict=True))
        assert Import(client, other, Report(io.StringIO())).run(path).present == 2
