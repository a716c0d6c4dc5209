"""Forty people who annotate at once, through the Label Studio of hosts that serve together.

What each of them waited for is printed: a row of the table in docs/cluster.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.repository import REPOSITORY
from demo.images import draw_demo_images
from infra.roles.stack.image_folders import folder_name
from labelstudio.bulk import TaskReader
from labelstudio.client import Client
from labelstudio.config import load_project
from labelstudio.masks import masks_in
from labelstudio.models import BasicAuth, TaskRef
from labelstudio.truth import truth_of
from labelstudio.wanted_tasks import task_url
from masks.measure import intersection_over_union
from tests.deploy.first import secrets_on
from tests.deploy.serving_group import HEAD, Group
from tests.deploy.tunnel import TOKEN
from tests.e2e.clicks import Round, Scene
from tests.e2e.people import Crowd, crowd
from tests.labhost.host import DATA
from tests.labhost.way_in import way_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
PEOPLE, ROUNDS = 40, 3
FOLDER = "forty people"
ACCOUNT = "admin@labelrig.local"
PASSWORD, BACKEND_PASSWORD = "LABEL_STUDIO_PASSWORD", "LABELRIG_BACKEND_PASSWORD"


@pytest.fixture(scope="module")
def scenes(serving: Group, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Scene]]:
    """An image for each person, on every host."""
    folder = tmp_path_factory.mktemp("forty")
    draw_demo_images(folder, count=PEOPLE)
    pictures = {f"{FOLDER}/{path.name}": path for path in sorted((folder / "images").glob("*.png"))}
    for host in serving.hosts.values():
        host.add_pictures(pictures)
    found = []
    for path, picture in pictures.items():
        objects = tuple(truth_of(folder / "truth", picture.name))
        height, width = objects[0].mask().shape
        task = TaskRef(0, task_url(folder_name(Path(DATA)), path), 0)  # of no project yet
        found.append(Scene(task, path, (width, height), objects))
    yield found
    for host in serving.hosts.values():
        host.exec("rm", "-r", f"{DATA}/{FOLDER}")


@contextmanager
def people_at(group: Group, url: str, scenes: Sequence[Scene]) -> Iterator[Crowd]:
    """All of them, in a project of the head's Label Studio."""
    secrets, spec = secrets_on(group.hosts[HEAD]), load_project(REPOSITORY)
    client = Client(url, secrets[TOKEN])
    try:
        (project,) = client.projects(spec.title)
        (backend,) = client.backends(project.id)
        round_ = Round(client, spec, project.id, backend.id, folder_name(Path(DATA)), Path())
        account, login = (ACCOUNT, secrets[PASSWORD]), BasicAuth("forty", secrets[BACKEND_PASSWORD])
        with crowd(round_, secrets[TOKEN], login, account, scenes, ROUNDS) as people:
            yield people
    finally:
        client.close()


def test_forty_people_annotate_at_once(
    serving: Group, scenes: Sequence[Scene], capsys: pytest.CaptureFixture[str]
) -> None:
    """No one gets an error, all that was submitted is there with its mask, and several replicas have answered."""
    with way_in(serving.hosts[HEAD], 8080) as url, people_at(serving, url, scenes) as people:
        people.look_at_images()
        before = serving.answered()
        found = people.work(url)
        answered = serving.answered() - before
        load = os.getloadavg()[0]
        with capsys.disabled():
            print(f"\n{found.row('three hosts, 40 people')} {load:.0f} |\n{dict(answered)}")  # noqa: T201
        assert found.errors == []
        stored = stored_masks(people)
    assert [len(of) for of in stored] == [ROUNDS] * PEOPLE
    overlaps = [overlap for of in stored for overlap in of]
    assert sum(overlaps) / len(overlaps) > 0.75, overlaps
    assert len(answered) > 1
    assert answered.total() >= 3 * PEOPLE * ROUNDS


def stored_masks(people: Crowd) -> list[list[float]]:
    """Of each person's task the IoU of each annotation's one mask with what was drawn there."""
    by_task = dict(people.tasks)
    found = []
    for task in TaskReader(people.round_.client, people.round_.project_id).read([*by_task]):
        drawn = by_task[task.id].objects[0]
        masks = [masks_in(one.results) for one in task.annotations]
        assert [[mask.labels for mask in of] for of in masks] == [[(drawn.label,)]] * len(masks)
        found.append([intersection_over_union(mask.mask, drawn.mask()) for (mask,) in masks])
    return found
