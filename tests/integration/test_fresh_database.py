"""The database in Label Studio's image is what its migrations make: the same tables, the same rows."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.settings import Settings
from infra.roles.docker.role import docker_role
from infra.roles.images.role import images_role, plan_images

pytestmark = [pytest.mark.docker, pytest.mark.slow]
TEMPLATE = "/usr/local/share/labelrig/label_studio.sqlite3"
NAME = "label_studio.sqlite3"
TIMEOUT = 600


@pytest.fixture(scope="module")
def image() -> str:
    """Label Studio's image of this tree."""
    host, report = LocalHost(), Report()
    converge(docker_role(host, report), report)
    images = plan_images(host, REPOSITORY, Settings(), report)
    converge(images_role(host, images, report), report)
    return images.label_studio


@pytest.fixture
def container(image: str) -> Iterator[str]:
    """A container that waits, without a network; its data folder is empty."""
    started = ("docker", "run", "--rm", "--detach", "--network", "none", image, "sleep", str(TIMEOUT))
    name = subprocess.run(started, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run(("docker", "rm", "--force", name), check=True, capture_output=True, timeout=60)


def fetched(container: str, path: str, target: Path) -> Path:
    subprocess.run(("docker", "cp", f"{container}:{path}", str(target)), check=True, capture_output=True, timeout=60)
    return target


def schema(path: Path) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Each table's rows; of the migrations not when they ran, of the asynchronous ones neither."""
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for name in names:
            columns = [column for _, column, *_ in database.execute(f'PRAGMA table_info("{name}")')]
            kept = ", ".join(f'"{one}"' for one in columns if one not in ("applied", "created_at", "updated_at"))
            rows = database.execute(f'SELECT {kept} FROM "{name}"').fetchall()  # noqa: S608 - its own names
            found[name] = sorted(rows, key=repr)
    return found


def test_the_template_is_what_the_migrations_make(container: str, tmp_path: Path) -> None:
    migrate = ("docker", "exec", "--env", "SECRET_KEY=of-this-test", container, "label-studio", "version")
    subprocess.run(migrate, check=True, capture_output=True, timeout=TIMEOUT)
    migrated = fetched(container, f"/label-studio/data/{NAME}", tmp_path / "migrated")
    template = fetched(container, TEMPLATE, tmp_path / "template")
    assert schema(template) == schema(migrated)
    expected, found = content(migrated), content(template)
    assert found == expected
    assert len(found["django_migrations"]) > 300
    people = ("htx_user", "organization", "project", "authtoken_token")
    assert {name: found[name] for name in people} == {name: [] for name in people}
