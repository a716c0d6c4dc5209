"""Clicks through the Label Studio of a lab host, judged against the truth."""

from __future__ import annotations

from pathlib import Path

from core.repository import REPOSITORY
from hosts.ssh import SshHost
from hosts.ssh_connect import SshTarget
from infra.roles.stack.image_folders import folder_name
from labelstudio.client import Client
from labelstudio.config import load_project
from labelstudio.image_files import path_in
from labelstudio.truth import truth_of
from tests.deploy.command import Lab
from tests.deploy.first import secrets_on
from tests.e2e.clicks import Round, Scene, click
from tests.labhost.host import DATA


def mean_iou(lab: Lab, truth: Path, pictures: dict[str, Path], name: str = "lab1", port: int = 8080) -> float:
    """One click on every object of every picture; the mean IoU with what was drawn."""
    lab_host = lab.hosts[name]
    target = SshTarget(name, lab_host.address, "operator", lab_host.port, lab_host.key, None, lab_host.known_hosts)
    host = SshHost(target, run_id="a test")
    spec = load_project(REPOSITORY)
    folder = folder_name(Path(DATA))
    found: list[float] = []
    try:
        with host.forwarded(port) as url:
            client = Client(url, secrets_on(lab_host)["LABEL_STUDIO_API_KEY"])
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
            client.close()
    finally:
        host.close()
    assert len(found) >= len(pictures)
    return sum(found) / len(found)
