"""Backup, destruction, restore and drill of a stack on PostgreSQL over SSH, and the script by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deploy.command import Lab
from tests.deploy.first import BASE, First

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
AT = ("--host", "lab1")
REPOSITORY_THERE, PASSWORD_THERE = "/srv/backup", "/root/backup-password"


def done(lab: Lab, task: str, *arguments: str, **settings: object) -> dict[str, Any]:
    """A task with a repository in the inventory; what it says of the host."""
    inventory = lab.inventory("backup.yaml", backup_repository=REPOSITORY_THERE, **settings)
    ended = lab.inv(task, *AT, *arguments, "--json", inventory=inventory)
    assert ended.code == 0, ended.said
    (host,) = ended.json["hosts"]
    found: dict[str, Any] = host
    return found


def test_destroyed_and_restored_on_a_bare_host(first: First, lab: Lab) -> None:
    """With the repository and its password alone: equal tables, the old token, a click; then a drill beside it."""
    host = lab.hosts["lab1"]
    host.exec("mkdir", "-p", REPOSITORY_THERE)
    deployed = done(lab, "deploy", "--yes")
    assert any("LABELRIG_BACKUP_PASSWORD" in notice for notice in deployed["notices"])
    made = done(lab, "backup")["backup"]
    assert made["rows"] > 500
    secrets = host.exec("cat", f"{BASE}/secrets.env").stdout
    host.exec("cp", f"{BASE}/backup/password", PASSWORD_THERE)
    assert lab.inv("down", *AT, "--purge", "--yes").code == 0
    restored = done(lab, "restore", "--snapshot", made["snapshot"], "--yes", backup_password_file=PASSWORD_THERE)
    assert restored["restored"]["snapshot"] == made["snapshot"]
    again = host.exec("cat", f"{BASE}/secrets.env").stdout
    for name in ("LABEL_STUDIO_SECRET_KEY", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_PASSWORD"):
        (line,) = [one for one in secrets.splitlines() if one.startswith(name)]
        assert line in again.splitlines(), name
    assert done(lab, "restore", "--drill", backup_password_file=PASSWORD_THERE)["text"].startswith("drill passed")
    by_itself = host.exec("sh", f"{BASE}/backup/backup.sh", "run")
    assert json.loads(by_itself.stdout.splitlines()[-1])["rows"] > 500
    status = done(lab, "status", backup_password_file=PASSWORD_THERE)
    assert status["status"]["backup"]["drill_ok"] is True
