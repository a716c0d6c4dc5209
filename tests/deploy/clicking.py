"""Clicks through the Label Studio of a lab host, judged against the truth."""

from __future__ import annotations

from pathlib import Path

from core.repository import REPOSITORY
from infra.roles.stack.image_folders import folder_name
from labelstudio.config import load_project
from labelstudio.image_files import path_in
from labelstudio.truth import truth_of
from tests.deploy.command import Lab
from tests.deploy.tunnel import label_studio
from tests.e2e.clicks import Round, Scene, click
from tests.labhost.host import DATA


def mean_iou(lab: Lab, truth: Path, pictures: dict[str, Path], name: str = "lab1", port: int = 8080) -> float:
    """One click on every object of every picture; the mean IoU with what was drawn."""
    spec = load_project(REPOSITORY)
    folder = folder_name(Path(DATA))
    found: list[float] = []
    with label_studio(lab, name, port) as client:
        (project,) = client.projects(spec.title)
        (backend,) = client.backends(project.id)
        round_ = Round(client, spec, project.id, backend.id, folder, truth)
        for task in client.tasks(project.id, spec.labeling.images[0]):
            path = path_in(folder, task.image)
            assert path is not None
            objects = truth_of(truth, pictures[path].name)
            height, width = objects[0].mask().shape
            scene = Scene(task, path, (width, height), tuple(objects))
            found += [click(round_, scene, one).iou for one in objects]
    assert len(found) >= len(pictures)
    return sum(found) / len(found)
