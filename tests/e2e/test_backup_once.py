"""One backup of the shared stack by its script, on restic itself, and every byte of it read."""

from __future__ import annotations

import io
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from tests.backup_servers import KINDS
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.integration.test_images_build import assert_packages
from tests.sshd import Sshd

MakeScript = Callable[..., BackupScript]


@pytest.fixture
def make_script(stack: Stack, stage: Stage, report: Report) -> MakeScript:
    """Writes the script of the stack's backup, with the images that it needs.

    The function takes the repository, the name of a folder below the stack's own (none: as `up` has it), a report, and
    further settings.
    """

    def make(repository: str, folder: str = "", report: Report = report, **more: Any) -> BackupScript:
        host, own = LocalHost(), str(state_folder(stage.settings))
        state = f"{own}/{folder}" if folder else own
        update = {"backup_repository": repository, "backup_password": SecretStr("correct-horse"), **more}
        settings = stage.settings.model_copy(update=update)
        images = plan_images(host, REPOSITORY, settings, report, services=(BACKUP, LABEL_STUDIO))
        converge(images_role(host, images, report), report)
        assert_packages(images.tags[BACKUP], package_names(REPOSITORY, FOLDERS[BACKUP]))
        place = backup_place(host, state=state, stack=own, secrets=stack.environment["LABELRIG_ENV_FILE"])
        converge(backup_role(host, place, settings, images.tags, [], report), report)
        return BackupScript(host, state, report)

    return make


def test_backup_is_whole(make_script: MakeScript, stack: Stack, stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    script = make_script(str(tmp_path / "repository"))
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
    others = ("find", "/tmp", "!", "-user", str(stage.settings.uid))
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
def test_backup_over_sftp(make_script: MakeScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To another port, with the key and the known hosts of the user's own folder, and not to a host that is unknown."""
    home, address, there = tmp_path / "home", own_address(), tmp_path / "there"
    for folder in (home / ".ssh", there):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    with Sshd(tmp_path, (f"ListenAddress {address}", "Subsystem sftp internal-sftp")) as sshd:
        script = make_script(f"sftp://root@{address}:{sshd.port}/{there}/repository", "sftp")
        (home / ".ssh/id_ed25519").write_bytes(sshd.key.read_bytes())
        (home / ".ssh/id_ed25519").chmod(0o600)
        with pytest.raises(LabelrigError, match="Host key verification failed"):
            script.run("run")
        known = sshd.known_hosts.read_text().replace("127.0.0.1", address)
        (home / ".ssh/known_hosts").write_text(known)
        made = script.run("run")
        assert (there / "repository/config").is_file()
        assert script.run("verify") == {"snapshots": 1, "newest": made["snapshot"]}


class Heard(Report):
    """Keeps every line of progress."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.lines: list[str] = []

    def progress(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_backup_on_a_server(make_script: MakeScript, tmp_path: Path, kind: str) -> None:
    """By REST and S3, with the login in a file: made, listed, verified, fetched and compared; refused with another
    login, and where the server is gone. The login is in no line that is shown and no file of the backup's folder."""
    login, said = tmp_path / "login", Heard()
    (tmp_path / "server").mkdir()
    with KINDS[kind](tmp_path / "server") as server:
        login.write_text(server.wrong_lines)
        login.chmod(0o600)
        script = make_script(server.repository, kind, said, backup_environment_file=login)
        with pytest.raises(LabelrigError, match="cannot be opened with this password, or not be reached") as refused:
            script.run("run")
        assert server.refusal in str(refused.value)
        login.write_text(server.lines)
        made = script.run("run")
        assert made["rows"] > 500
        assert [row["id"] for row in script.run("list")["snapshots"]] == [made["snapshot"]]
        assert script.run("verify") == {"snapshots": 1, "newest": made["snapshot"]}
        assert script.run("fetch", made["snapshot"])["snapshot"] == made["snapshot"]
        script.run("drop")
        server.stop()
        with pytest.raises(LabelrigError, match=r"connection refused.*; nothing was changed") as gone:
            script.run("list")
    kept = "".join(
        path.read_text() for path in Path(script.folder).glob("*") if path.suffix in (".env", ".json", ".sh")
    )
    assert "LABELRIG_BACKUP_ENVIRONMENT_FILE" in kept
    assert "making the snapshot" in said.lines
    assert not server.shows_secret("\n".join([kept, *said.lines, str(refused.value), str(gone.value)]))


@pytest.mark.slow
def test_full_disk_is_said_and_changes_nothing(make_script: MakeScript, tmp_path: Path) -> None:
    """A repository on a disk of 16 MB: nothing is begun, and it can be read afterwards."""
    host, disk = LocalHost(), tmp_path / "disk"
    disk.mkdir()
    host.run("mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk), as_root=True)
    try:
        script = make_script(str(disk), "full")
        with pytest.raises(LabelrigError, match=r"there is no room on the repository .*; nothing was changed"):
            script.run("run")
        assert script.run("list") == {"snapshots": []}
        (disk / "filled").write_bytes(bytes(shutil.disk_usage(disk).free))
        with pytest.raises(LabelrigError, match="there is no room on the repository"):
            script.run("run")
        assert script.run("list") == {"snapshots": []}
    finally:
        host.run("umount", str(disk), as_root=True)
