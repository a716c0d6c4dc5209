"""Everything moves from SQLite to PostgreSQL and back, on a stack of its own, and is the same through the API."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Exec
from hosts.local import LocalHost
from infra.config.settings import Settings, load_settings
from infra.database.move import Moved, move_database
from infra.database.sides import Kind
from infra.database.state import DatabaseState, database_state
from infra.roles.docker.client import engine_client
from infra.roles.docker.compose import Compose
from infra.roles.docker.role import docker_role
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import DB, SERVICES
from infra.roles.stack.container_user import ContainerUserChosen
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.render import POSTGRES, PROXY, StackFiles, render_stack, stack_values
from infra.roles.stack.secrets import SecretsMade
from infra.roles.stack.volumes import VolumesReady, wanted_by
from infra.stack.site import exec_in
from labelstudio.session import sign_in, token_works
from masks.rle import encode_rle
from tests.e2e.workbench import without_age
from tests.machine import free_port, free_subnet

pytestmark = pytest.mark.slow
PROJECT = f"labelrig-move-{hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:6]}"
UP_SECONDS = 300
CONFIG = (
    '<View><Image name="image" value="$image"/>'
    '<BrushLabels name="tag" toName="image"><Label value="Car"/></BrushLabels></View>'
)
INTRUDE = """
import psycopg
for user, password in (("postgres", ""), ("postgres", "postgres"), ("labelstudio", ""), ("labelstudio", "postgres")):
    try:
        psycopg.connect(host="db", user=user, password=password or None, passfile="/none", dbname="labelstudio").close()
    except psycopg.OperationalError:
        continue
    raise SystemExit(f"{user} came in")
"""


@dataclass
class Rig:
    """The stack: `kind` is the database it works on now; `token` is made on the first one and never again."""

    settings: Settings
    composes: dict[Kind, Compose]
    report: Report
    kind: Kind = "sqlite"
    token: str = field(default="", repr=False)

    @property
    def compose(self) -> Compose:
        return self.composes[self.kind]

    def switch(self, kind: Kind) -> None:
        self.kind = kind
        flags = ("--detach", "--no-build", "--remove-orphans", "--wait", "--wait-timeout", str(UP_SECONDS))
        self.compose.run("up", *flags, "proxy", timeout=UP_SECONDS + 60)

    def move(self, to: Kind) -> Moved:
        return move_database(
            LocalHost(),
            self.composes["postgres"],
            self.settings.project,
            to,
            self.report,
            switch=self.switch,
            gate=partial(self.check_token),
        )

    def check_token(self) -> None:
        assert token_works(self.settings.url, self.token)

    def exec_in(self, service: str) -> Exec:
        return exec_in(self.compose, service)

    def state(self) -> DatabaseState:
        return database_state(self.kind, self.exec_in("db" if self.kind == "postgres" else "label-studio"))

    def api(self) -> httpx.Client:
        answer = httpx.post(f"{self.settings.url}/api/token/refresh/", json={"refresh": self.token}, trust_env=False)
        headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access']}"}
        return httpx.Client(base_url=self.settings.url, headers=headers, timeout=60, trust_env=False)

    def seen(self) -> dict[str, Any]:
        """What a person finds through the API: projects, tasks, annotations with their masks, files, views."""
        with self.api() as api:
            projects = api.get("/api/projects").raise_for_status().json()["results"]
            exports = {
                project["id"]: api.get(f"/api/projects/{project['id']}/export?exportType=JSON&download_all_tasks=true")
                .raise_for_status()
                .json()
                for project in projects
            }
            uploads = [
                hashlib.sha256(api.get(task["data"]["image"]).raise_for_status().content).hexdigest()
                for tasks in exports.values()
                for task in tasks
                if task["data"]["image"].startswith("/data/upload/")
            ]
            views = api.get("/api/dm/views").raise_for_status().json()
            storages = [
                api.get(f"/api/storages/localfiles/?project={project['id']}").raise_for_status().json()
                for project in projects
            ]
        found = {
            "projects": projects, "exports": exports, "uploads": uploads, "views": views, "storages": storages
        }  # fmt: skip
        plain: dict[str, Any] = json.loads(json.dumps(found), object_hook=without_age)
        return plain


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Label Studio alone, on SQLite, with both databases' images at hand; removed with its volumes."""
    host, report = LocalHost(), Report()
    converge(docker_role(host, report), report)
    folder = tmp_path_factory.mktemp("move")
    env_path = folder / ".env"
    env_path.write_text(
        f"LABELRIG_PROJECT={PROJECT}\nLABELRIG_DATABASE=postgres\nLABELRIG_SUBNET={free_subnet()}\n"
        f"LABEL_STUDIO_PORT={free_port()}\n"
    )
    env_path.chmod(0o600)
    given = load_settings(env_path, {}, {})
    converge([SecretsMade(host, env_path, given), ContainerUserChosen(host, env_path, given, "/no/stack")], report)
    settings = load_settings(env_path, {}, {})
    images = plan_images(host, REPOSITORY, settings, report, services=(*SERVICES, DB))
    converge(images_role(host, images, report), report)
    values = stack_values(settings, images.tags, "demo")
    composes: dict[Kind, Compose] = {}
    kinds: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("sqlite", (PROXY,)),
        ("postgres", (POSTGRES, PROXY)),
    )
    pictures = folder / "x"
    pictures.mkdir(mode=0o755)
    (pictures / "s.png").touch()
    mounted = [ImageFolder("x", str(pictures))]
    for kind, overrides in kinds:
        files = StackFiles(str(folder / kind), overrides)
        converge([FilesWritten(host, render_stack(files, values, mounted, mounted, [], {}))], report)
        composes[kind] = Compose(host, PROJECT, files.compose, files.env)
    made = Rig(settings, composes, report)
    try:
        both = partial(wanted_by, host, composes["postgres"], str(folder / "postgres" / "stack.env"))
        with closing(engine_client(host)) as engine:
            converge([VolumesReady(host, PROJECT, str(folder), both, lambda: engine, report)], report)
        made.switch("sqlite")
        yield made
    finally:
        composes["postgres"].run("down", "--volumes", "--remove-orphans", "--timeout", "5", timeout=180)
        shutil.rmtree(folder, ignore_errors=True)


def fill(rig: Rig) -> int:
    """Make work of every kind through the API. Returns the id of the last task that was deleted again."""
    assert rig.settings.password is not None
    with sign_in(rig.settings.url, rig.settings.username, rig.settings.password.get_secret_value()) as session:
        rig.token = session.make_token()
    mask = np.zeros((60, 80), dtype=np.bool_)
    mask[10:30, 20:50] = True
    brush = {
        "id": "r1",
        "type": "brushlabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": 80,
        "original_height": 60,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["Car"]},
        "score": 0.1 + 0.2,
    }
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d=x/{name}.png", "text": text, "empty": None, "large": 1e22},
            "annotations": [{"result": [brush]}],
            "predictions": [{"result": [brush], "score": 0.75, "model_version": "v1"}],
        }
        for name, text in (("a", "Grüße 🚗 'quoted' \"twice\"\nand \\ more"), ("b", ""), ("c", "\u2028 x"))
    ]
    with rig.api() as api:
        project = api.post("/api/projects", json={"title": "Moved", "label_config": CONFIG}).raise_for_status().json()
        where = f"/api/projects/{project['id']}"
        api.post(f"{where}/import?commit_to_project=true", json=tasks).raise_for_status()
        png = bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
            "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
        )
        api.post(f"{where}/import", files={"file": ("one.png", png, "image/png")}).raise_for_status()
        view = {"project": project["id"], "data": {"title": "Mine", "filters": {"conjunction": "and", "items": []}}}
        api.post("/api/dm/views/", json=view).raise_for_status()
        task = (
            api.post("/api/tasks", json={"project": project["id"], "data": tasks[0]["data"]}).raise_for_status().json()
        )
        draft = {"result": [brush], "lead_time": 1.5}
        api.post(f"/api/tasks/{task['id']}/drafts?project={project['id']}", json=draft).raise_for_status()
        other = {"project": project["id"], "data": tasks[0]["data"]}
        folder = {"project": project["id"], "path": "/label-studio/files/x", "use_blob_urls": True, "title": "x"}
        storage = api.post("/api/storages/localfiles/", json=folder).raise_for_status().json()
        synced = api.post(f"/api/storages/localfiles/{storage['id']}/sync").raise_for_status().json()
        assert synced["last_sync_count"] == 1
        deleted = int(api.post("/api/tasks", json=other).raise_for_status().json()["id"])
        api.delete(f"/api/tasks/{deleted}").raise_for_status()
    return deleted


def test_everything_moves_to_postgresql_and_back(rig: Rig) -> None:
    deleted = fill(rig)
    before, state = rig.seen(), rig.state()
    assert len(before["exports"]["1"]) == 6
    assert len(before["storages"][0]) == 1
    assert len(before["uploads"]) == 1

    moved = rig.move("postgres")
    assert moved.rows > 20
    assert rig.kind == "postgres"
    assert rig.seen() == before
    now = rig.state()
    assert (now.kind, state.kind) == ("postgres", "sqlite")
    assert (now.migrations_digest, now.identity) == (state.migrations_digest, state.identity)
    assert len(now.identity) == 32
    the_password_is_a_file_only(rig)
    # From the network nobody comes in without the right password, and the administrator never.
    rig.exec_in("label-studio")("python3", "-", stdin=INTRUDE.encode())
    with rig.api() as api:
        new = api.post("/api/tasks", json={"project": 1, "data": {"image": "/x", "text": "new"}}).raise_for_status()
    assert new.json()["id"] > deleted, "the number of a deleted task was given again"

    after = rig.seen()
    back = rig.move("sqlite")
    assert back.put_aside is not None, "the first file is kept"
    assert rig.compose is rig.composes["sqlite"]
    assert rig.seen() == after
    assert rig.state().identity == state.identity
    assert "db" not in rig.compose.run("ps", "--services").stdout.split()


def the_password_is_a_file_only(rig: Rig) -> None:
    """Neither an environment, an argument, a description nor a log holds it; its file is its user's alone."""
    assert rig.settings.postgres_password is not None
    password = rig.settings.postgres_password.get_secret_value()
    with closing(engine_client(LocalHost())) as client:
        label = {"label": f"com.docker.compose.project={PROJECT}"}
        for container in client.containers.list(all=True, filters=label):
            shown = json.dumps(container.attrs) + container.logs().decode() + json.dumps(container.top())
            assert password not in shown, container.name
        (server,) = client.containers.list(filters={"label": [label["label"], "com.docker.compose.service=db"]})
        assert server.attrs["NetworkSettings"]["Ports"] == {"5432/tcp": None}, "it must not be published"
    for service, path in (("label-studio", "/run/labelrig-db/pgpass"), ("db", "/var/lib/postgresql/client/pgpass")):
        assert rig.exec_in(service)("stat", "-c", "%a %u", path).stdout == f"600 {rig.settings.uid}\n"
    environment = rig.exec_in("label-studio")("env").stdout
    assert password not in environment
