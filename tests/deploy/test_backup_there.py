"""Backup under load, destruction, restore and drill of a stack on PostgreSQL over SSH, and the script by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from tests.deploy.command import Lab
from tests.deploy.first import BASE
from tests.deploy.tunnel import api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
REPOSITORY_THERE, PASSWORD_THERE = "/srv/backup", "/root/backup-password"
PEOPLE, SECONDS = 8, 60.0
POINT = {
    "from_name": "point",
    "to_name": "image",
    "type": "keypointlabels",
    "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["Car"]},
}


@dataclass
class Saved:
    """What people saved, and what was refused to them."""

    count: int = 0
    failed: list[str] = field(default_factory=list)


@contextmanager
def people_save(http: httpx.Client) -> Iterator[Saved]:
    """Eight people save annotations, each on a task of their own."""
    tasks = http.get("/api/tasks?project=1&page_size=100").raise_for_status().json()["tasks"]
    saved, stop = Saved(), threading.Event()

    def person(task: int) -> None:
        while not stop.is_set():
            try:
                done = http.post(f"/api/tasks/{task}/annotations/", json={"result": [POINT]}, timeout=SECONDS)
            except httpx.HTTPError as error:
                saved.failed.append(repr(error))
                continue
            if done.status_code == httpx.codes.CREATED:
                saved.count += 1
            else:
                saved.failed.append(f"{done.status_code}: {done.text[:200]}")

    threads = [threading.Thread(target=person, args=(task["id"],)) for task in tasks[:PEOPLE]]
    for thread in threads:
        thread.start()
    try:
        yield saved
    finally:
        stop.set()
        for thread in threads:
            thread.join(SECONDS)


def annotation_count(http: httpx.Client) -> int:
    return int(http.get("/api/projects/1").raise_for_status().json()["total_annotations_number"])


@pytest.mark.usefixtures("redeployed_after")
def test_destroyed_and_restored_on_a_bare_host(lab: Lab) -> None:
    """Eight people save during the backup. Restored with the repository and its password alone: equal tables, the old
    token, a click; then a drill beside it."""
    host = lab.hosts["lab1"]
    inventory = lab.inventory("backup.yaml", backup_repository=REPOSITORY_THERE)
    bare = lab.inventory("bare.yaml", backup_repository=REPOSITORY_THERE, backup_password_file=PASSWORD_THERE)
    host.exec("mkdir", "-p", REPOSITORY_THERE)
    deployed = lab.on_host("deploy", "--yes", inventory=inventory)
    assert any("LABELRIG_BACKUP_PASSWORD" in notice for notice in deployed["notices"])
    with api(lab) as http:
        before = annotation_count(http)
        with people_save(http) as saved:
            made = lab.on_host("backup", inventory=inventory)["backup"]
        after = annotation_count(http)
    assert saved.failed == []
    assert saved.count > PEOPLE
    assert made["rows"] > 500
    secrets = host.exec("cat", f"{BASE}/secrets.env").stdout
    host.exec("cp", f"{BASE}/backup/password", PASSWORD_THERE)
    assert lab.inv("down", "--host", "lab1", "--purge", "--yes").code == 0
    restored = lab.on_host("restore", "--snapshot", made["snapshot"], "--yes", inventory=bare)
    assert restored["restored"]["snapshot"] == made["snapshot"]
    with api(lab) as http:
        rows = restored["restored"]["manifest"]["database"]["tables"]["task_completion"]["rows"]
        assert before <= rows <= after
        assert annotation_count(http) == rows
    again = host.exec("cat", f"{BASE}/secrets.env").stdout
    for name in ("LABEL_STUDIO_SECRET_KEY", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_PASSWORD"):
        (line,) = [one for one in secrets.splitlines() if one.startswith(name)]
        assert line in again.splitlines(), name
    assert lab.on_host("restore", "--drill", inventory=bare)["text"].startswith("drill passed")
    by_itself = host.exec("sh", f"{BASE}/backup/backup.sh", "run")
    assert json.loads(by_itself.stdout.splitlines()[-1])["rows"] > 500
    status = lab.on_host("status", inventory=bare)
    assert status["status"]["backup"]["drill_ok"] is True
