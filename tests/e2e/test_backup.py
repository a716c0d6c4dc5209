"""A stack's life after its death: backed up under load, destroyed, restored on a bare machine; and drills that fail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import LabelrigError
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.database.sqlite_file import BUSY_SECONDS
from infra.fleet.choice import Choice
from infra.fleet.commit import Commit
from infra.fleet.run import RunOptions
from infra.lifecycle.restore_command import drill_stacks
from infra.lifecycle.script import BackupScript
from infra.roles.docker.compose import run_docker
from infra.roles.project.verify import verify
from labelstudio.session import sign_in
from tests.e2e.own_stack import TIMEOUT, OwnStack
from tests.warm_python import run_inv

SPOIL = """
import sqlite3
with sqlite3.connect("/data/label_studio.sqlite3.moving") as db:
    db.execute("UPDATE task SET overlap = 7")
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PROJECT = f"labelrig-backup-{hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:6]}"
PEOPLE = 8
UPLOADS = 40
PICTURE = REPOSITORY / "docs/images/annotator/point.png"
POINT = {
    "from_name": "point",
    "to_name": "image",
    "type": "keypointlabels",
    "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["Car"]},
}


class Lab(OwnStack):
    """The stack that is backed up."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, PROJECT)

    def upload(self, content: bytes) -> None:
        with self.api() as api:
            files = {"file": ("upload.png", content, "image/png")}
            api.post("/api/projects/1/import", files=files).raise_for_status()

    def backups(self) -> list[str]:
        """The ids of the backups, the newest first."""
        return [row["id"] for row in self.inv("backup.list")["backups"]]

    def tasks(self) -> list[dict[str, Any]]:
        with self.api() as api:
            found: list[dict[str, Any]] = api.get("/api/tasks?project=1&page_size=100").json()["tasks"]
            return found

    def annotations(self) -> int:
        with self.api() as api:
            return int(api.get("/api/projects/1").raise_for_status().json()["total_annotations_number"])


@dataclass
class Crowd:
    """People who save annotations, and one who uploads pictures, until they are told to stop."""

    lab: Lab
    stop: threading.Event = field(default_factory=threading.Event)
    saved: int = 0
    uploaded: int = 0
    failed: list[str] = field(default_factory=list)

    def __enter__(self) -> Crowd:
        ids = [task["id"] for task in self.lab.tasks()]
        self._threads = [threading.Thread(target=self._person, args=(ids[number],)) for number in range(PEOPLE)]
        self._threads.append(threading.Thread(target=self._uploads))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT)

    def _uploads(self) -> None:
        while self.uploaded < UPLOADS and not self.stop.wait(0.5):
            try:
                self.lab.upload(PICTURE.read_bytes())
                self.uploaded += 1
            except httpx.HTTPError as error:
                self.failed.append(repr(error))

    def _person(self, task: int) -> None:
        with self.lab.api() as api:
            while not self.stop.is_set():
                try:
                    done = api.post(
                        f"/api/tasks/{task}/annotations/", json={"result": [POINT]}, timeout=BUSY_SECONDS * 2
                    )
                    if done.status_code == 201:
                        self.saved += 1
                    else:
                        self.failed.append(f"{done.status_code}: {done.text[:200]}")
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("backup"))
    made.repository.mkdir()
    made.write_env()
    try:
        made.inv("up")
        made.inv("backup")
        yield made
    finally:
        run_inv(REPOSITORY, "down", "--purge", "--yes", environment=made.environment, timeout=TIMEOUT)


def test_backup_under_load_then_destroyed_then_restored(lab: Lab) -> None:
    """Nine people save and upload meanwhile: none fails, the backup is one moment, and all of it comes back."""
    picture = PICTURE.read_bytes()
    lab.upload(picture)
    with Crowd(lab) as crowd:
        before = lab.annotations()
        made = lab.inv("backup")["backup"]
        after = lab.annotations()
    assert crowd.failed == []
    assert crowd.saved > PEOPLE
    assert crowd.uploaded >= 1
    assert 1 <= made["files"] <= 1 + crowd.uploaded
    lab.inv("backup.verify")
    password, old = lab.settings.password, lab.settings
    kept = lab.folder / "password"
    assert old.backup_password is not None
    kept.write_text(old.backup_password.get_secret_value())
    run_inv(REPOSITORY, "down", "--purge", "--yes", environment=lab.environment, timeout=TIMEOUT)
    lab.env.unlink()
    lab.write_env(f"LABELRIG_BACKUP_PASSWORD_FILE={kept}")
    restored = lab.inv("restore", made["snapshot"], "--yes")
    rows = restored["restored"]["manifest"]["database"]["tables"]["task_completion"]["rows"]
    assert before <= rows <= after
    assert lab.annotations() == rows
    assert lab.settings.secret_key == old.secret_key
    assert lab.settings.api_key == old.api_key
    assert password is not None
    with sign_in(lab.settings.url, lab.settings.username, password.get_secret_value()) as session:
        uploads = [one["data"] for one in lab.tasks() if "/data/upload/" in str(one["data"])]
        assert 1 <= len(uploads) <= made["files"]
        for (url,) in (data.values() for data in uploads):
            assert session.http.get(url).content == picture
    assert "came back as a mask" in restored["proof_sentence"]


def test_restore_brings_back_what_was_deleted(lab: Lab) -> None:
    """The present state is backed up first, and is the way back from the restore."""
    snapshot = lab.inv("backup")["backup"]["snapshot"]
    tasks = len(lab.tasks())
    with lab.api() as api:
        api.delete(f"/api/tasks/{lab.tasks()[-1]['id']}/").raise_for_status()
    restored = lab.inv("restore", snapshot, "--yes")["restored"]
    assert len(lab.tasks()) == tasks
    lab.inv("restore", restored["before"], "--yes")
    assert len(lab.tasks()) == tasks - 1


def test_refusals_change_nothing(lab: Lab) -> None:
    """Wrong password, another repository, a damaged pack, a missing one: a sentence each."""
    lab.inv("backup")
    usual = lab.env.read_text()
    script_password = REPOSITORY / ".labelrig" / PROJECT / "backup" / "password"
    own = lab.folder / "password"
    good = own.read_text()
    try:
        own.write_text("not the password")
        assert not script_password.exists()
        code, said = lab.refused("backup")
        assert (code, "cannot be opened with this password, or not be reached" in said) == (1, True), said
        own.write_text(good)
        lab.env.write_text(usual.replace("/repository\n", "/elsewhere\n"))
        code, said = lab.refused("backup")
        assert (code, "and the stack still has" in said) == (2, True), said
        lab.env.write_text(usual)
        hidden = lab.repository.rename(lab.folder / "hidden")
        code, said = lab.refused("backup.list")
        assert (code, "is not there: make it, or mount its disk" in said) == (1, True), said
        hidden.rename(lab.repository)
        pack = max((lab.repository / "data").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
        content = pack.read_bytes()
        pack.chmod(0o600)
        pack.write_bytes(content[:100] + b"x" + content[101:])
        code, said = lab.refused("backup.verify")
        assert (code, "is damaged: restic check ended with exit code 1" in said) == (1, True), said
        pack.write_bytes(content)
    finally:
        own.write_text(good)
        lab.env.write_text(usual)
    lab.inv("backup.verify")


def drill(lab: Lab) -> None:
    """A drill in this process, so that a test can spoil it."""
    os.environ["LABELRIG_ENV_FILE"] = str(lab.env)
    try:
        drill_stacks(Choice(), RunOptions("restore --drill", lab.settings, Commit("0" * 40, dirty=False)), "")
    finally:
        del os.environ["LABELRIG_ENV_FILE"]


def left(lab: Lab) -> str:
    """What is left of a drill in the engine."""
    ours = f"label=com.docker.compose.project={PROJECT}-drill"
    parts = [
        run_docker(LocalHost(), "docker", kind, "ls", "-q", "--filter", ours).stdout for kind in ("volume", "network")
    ]
    parts.append(run_docker(LocalHost(), "docker", "ps", "-aq", "--filter", ours).stdout)
    return "".join(parts)


def last_drill() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPOSITORY / ".labelrig" / PROJECT / "backup" / "last-drill.json").read_text())
    return found


def test_drill_passes_beside_the_stack(lab: Lab) -> None:
    lab.inv("backup")
    before = lab.annotations()
    lab.inv("restore", "--drill")
    assert last_drill()["ok"] is True
    assert "came back as a mask" in last_drill()["answer"]["click"]
    assert lab.annotations() == before
    assert left(lab) == ""
    (shown,) = lab.inv("status")["hosts"]
    assert shown["status"]["backup"]["drill_ok"] is True


def test_drill_fails_where_a_table_was_tampered_with(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    real = BackupScript.run
    volume = f"{PROJECT}-drill_label-studio-data:/data"

    def tamper(self: BackupScript, verb: str, *arguments: str, **more: Any) -> Any:
        if (verb, *arguments[:1]) == ("dump", "look"):
            image = run_docker(
                LocalHost(), "docker", "inspect", "-f", "{{.Config.Image}}", f"{PROJECT}-sam2-1"
            ).stdout.strip()
            run_docker(
                LocalHost(),
                "docker",
                "run",
                "--rm",
                "-u",
                "0:0",
                "-v",
                volume,
                "--entrypoint",
                "python",
                image,
                "-c",
                SPOIL,
            )
        return real(self, verb, *arguments, **more)

    monkeypatch.setattr(BackupScript, "run", tamper)
    with pytest.raises(LabelrigError, match="the table task has other values than in the backup"):
        drill(lab)
    assert "the table task has other values" in last_drill()["answer"]["problem"]
    assert left(lab) == ""


def test_drill_fails_where_the_click_does_not_come(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any) -> Any:
        run_docker(LocalHost(), "docker", "stop", "-t", "1", f"{PROJECT}-drill-sam2-1")
        return verify(*arguments)

    monkeypatch.setattr("infra.lifecycle.drill.verify", stopped)
    with pytest.raises(LabelrigError):
        drill(lab)
    assert last_drill()["ok"] is False
    assert left(lab) == ""


def kill_script() -> None:
    """Kill the script of the backup with all that it started: it has a session of its own."""
    script = str(REPOSITORY / ".labelrig" / PROJECT / "backup").encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"sh\0" + script):
                os.killpg(int(path.parent.name), signal.SIGKILL)


def killed_after(seconds: float, lab: Lab, *arguments: str) -> None:
    """Start a task, kill it and all that it started here after so long, and the containers of the backup with it."""
    argv = [sys.executable, str(REPOSITORY / "tasks.py"), "--search-root", str(REPOSITORY), *arguments]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        argv, env=lab.environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        kill_script()
        for name in (f"{PROJECT}-backup", f"{PROJECT}-backup-dump"):
            run_docker(LocalHost(), "docker", "kill", name, ok=(0, 1))


@pytest.mark.parametrize("number", range(20))
def test_killed_backup_harms_nothing(lab: Lab, number: int) -> None:
    """At a random moment, by SIGKILL: the stack serves, backups of before stay, and each that is listed is whole."""
    before, saved = lab.backups(), lab.annotations()
    killed_after(random.uniform(1, 12), lab, "backup")
    assert lab.annotations() == saved
    after = lab.backups()
    assert after[:1] == before[:1] or after[1:2] == before[:1]  # it may have been done
    verified = lab.inv("backup.verify")["verified"]
    assert (verified["snapshots"], verified["newest"]) == (len(after), after[0])
    if number % 5 == 4:
        lab.inv("backup")
        lab.inv("backup.verify")


@pytest.mark.parametrize("number", range(3))
def test_killed_restore_is_finished_by_the_next(lab: Lab, number: int) -> None:
    """Whenever it is killed: nothing was touched and the stack serves, or nothing serves until it is finished."""
    snapshot = lab.inv("backup")["backup"]["snapshot"]
    before = lab.annotations()
    killed_after(random.uniform(5, 60), lab, "restore", snapshot, "--yes")
    marked = (REPOSITORY / ".labelrig" / PROJECT / "restoring.json").exists()
    if marked:
        for task in ("up", "restart", "backup"):
            code, said = lab.refused(task)
            assert (code, "the stack is half of two" in said) == (1, True), (task, said)
        served = run_docker(LocalHost(), "docker", "ps", "-q", "--filter", f"name={PROJECT}-proxy").stdout
        assert served == ""
    lab.inv("restore", *([] if marked else [snapshot]), "--yes")
    assert lab.annotations() == before
