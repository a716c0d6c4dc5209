"""One backup of the shared stack by its script, on restic itself, and every byte of it read."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from core.errors import LabelrigError
from core.operation import converge
from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.lifecycle.script import BackupScript
from infra.roles.backup.role import backup_place, backup_role
from infra.roles.images.packages import package_names
from infra.roles.images.role import images_role, plan_images
from infra.roles.images.tags import BACKUP, FOLDERS, LABEL_STUDIO
from infra.stack.site import state_folder
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.integration.test_images_build import assert_packages
from tests.sshd import Sshd


def test_backup_is_whole(stack: Stack, stage: Stage, tmp_path: Path, report: Report) -> None:
    host, state = LocalHost(), str(state_folder(stage.settings))
    (tmp_path / "repository").mkdir()
    update = {"backup_repository": str(tmp_path / "repository"), "backup_password": SecretStr("correct-horse")}
    settings = stage.settings.model_copy(update=update)
    images = plan_images(host, REPOSITORY, settings, report, services=(BACKUP, LABEL_STUDIO))
    converge(images_role(host, images, report), report)
    assert_packages(images.tags[BACKUP], package_names(REPOSITORY, FOLDERS[BACKUP]))
    place = backup_place(host, state=state, stack=state, secrets=stack.environment["LABELRIG_ENV_FILE"])
    converge(backup_role(host, place, settings, images.tags, [], report), report)
    script = BackupScript(host, state, report)
    made = script.run("run")
    assert made["rows"] > 500
    assert script.run("verify") == {"snapshots": 1, "newest": made["snapshot"]}
    token = stack.settings.metrics_token
    assert token is not None
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"}
    figures = httpx.get(f"{stack.settings.url}/labelrig/metrics", headers=headers, timeout=60, trust_env=False).text
    assert 'labelrig_run_ok{run="backup"} 1.0' in figures
    assert 'labelrig_run_good_timestamp_seconds{run="verify"} 1.' in figures
    assert 'run="drill"' not in figures
    others = ("find", "/tmp", "!", "-user", str(settings.uid))
    assert stage.ctx.exec_in_label_studio(*others).stdout == ""
    manifest = script.run("show")["manifest"]
    assert manifest["database"]["tables"]["task"]["rows"] >= 12
    assert len(manifest["migrations"]) > 100


def own_address() -> str:
    """An address of this machine that its containers reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("10.255.255.255", 9))  # sends nothing: it asks for the way there
        return str(one.getsockname()[0])


@pytest.mark.slow
def test_backup_over_sftp(
    stack: Stack, stage: Stage, tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another port, with the key and the known hosts of the user's own folder, and not to a host that is unknown."""
    home, address, there = tmp_path / "home", own_address(), tmp_path / "there"
    for folder in (home / ".ssh", there):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    host, state = LocalHost(), f"{state_folder(stage.settings)}/sftp"
    with Sshd(tmp_path, (f"ListenAddress {address}", "Subsystem sftp internal-sftp")) as sshd:
        update = {
            "backup_repository": f"sftp://root@{address}:{sshd.port}/{there}/repository",
            "backup_password": SecretStr("correct-horse"),
        }
        settings = stage.settings.model_copy(update=update)
        images = plan_images(host, REPOSITORY, settings, report, services=(BACKUP, LABEL_STUDIO))
        converge(images_role(host, images, report), report)
        stack_folder = str(state_folder(stage.settings))
        place = backup_place(host, state=state, stack=stack_folder, secrets=stack.environment["LABELRIG_ENV_FILE"])
        converge(backup_role(host, place, settings, images.tags, [], report), report)
        script = BackupScript(host, state, report)
        (home / ".ssh/id_ed25519").write_bytes(sshd.key.read_bytes())
        (home / ".ssh/id_ed25519").chmod(0o600)
        with pytest.raises(LabelrigError, match="Host key verification failed"):
            script.run("run")
        known = sshd.known_hosts.read_text().replace("127.0.0.1", address)
        (home / ".ssh/known_hosts").write_text(known)
        made = script.run("run")
        assert (there / "repository/config").is_file()
        assert script.run("verify") == {"snapshots": 1, "newest": made["snapshot"]}


@pytest.mark.slow
def test_full_disk_is_said_and_changes_nothing(stack: Stack, stage: Stage, tmp_path: Path, report: Report) -> None:
    """A repository on a disk of 16 MB: nothing is begun, and it can be read afterwards."""
    host, state = LocalHost(), f"{state_folder(stage.settings)}/full"
    disk = tmp_path / "disk"
    disk.mkdir()
    host.run("mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk), as_root=True)
    try:
        update = {"backup_repository": str(disk), "backup_password": SecretStr("correct-horse")}
        settings = stage.settings.model_copy(update=update)
        images = plan_images(host, REPOSITORY, settings, report, services=(BACKUP, LABEL_STUDIO))
        converge(images_role(host, images, report), report)
        stack_folder = str(state_folder(stage.settings))
        place = backup_place(host, state=state, stack=stack_folder, secrets=stack.environment["LABELRIG_ENV_FILE"])
        converge(backup_role(host, place, settings, images.tags, [], report), report)
        script = BackupScript(host, state, report)
        with pytest.raises(LabelrigError, match=r"there is no room on the repository .*; nothing was changed"):
            script.run("run")
        assert script.run("list") == {"snapshots": []}
        (disk / "filled").write_bytes(bytes(shutil.disk_usage(disk).free))
        with pytest.raises(LabelrigError, match="there is no room on the repository"):
            script.run("run")
        assert script.run("list") == {"snapshots": []}
    finally:
        host.run("umount", str(disk), as_root=True)
