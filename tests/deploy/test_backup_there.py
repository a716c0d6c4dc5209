"""Backup under load, destruction, restore and drill of a stack on PostgreSQL over SSH, and the script by itself."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from tests.deploy.command import Lab
from tests.deploy.first import BASE
from tests.deploy.tunnel import api
from tests.e2e.people_made import PEOPLE, annotation_count, people_save

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
REPOSITORY_THERE, PASSWORD_THERE = "/srv/backup", "/root/backup-password"


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
        with people_save(lambda: nullcontext(http)) as saved:
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
