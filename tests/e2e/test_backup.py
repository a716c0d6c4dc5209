"""A stack's life after its death: backed up under load, destroyed, restored on a bare machine; and drills that fail."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

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
from tests.e2e.backup_lab import (
    PROJECT,
    Kills,
    Lab,
    State,
    killed_after,
    left,
    newest_lacks_an_upload,
    uploads,
)
from tests.e2e.own_stack import TIMEOUT, png
from tests.e2e.people_made import PEOPLE, POINT, annotate, people_save, tasks_of
from tests.e2e.watching import Watcher
from tests.warm_python import run_inv

SPOIL = """
import sqlite3
with sqlite3.connect("/data/label_studio.sqlite3.moving") as db:
    db.execute("UPDATE task SET overlap = 7")
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("LABELRIG_KILLS", "5"))  # spread over the whole duration of a restore


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
    picture = png()
    lab.upload(picture)
    with people_save(lab.api, BUSY_SECONDS * 2) as saved, uploads(lab) as uploaded:
        before = lab.annotations()
        made = lab.inv("backup")["backup"]
        after = lab.annotations()
    assert (saved.failed, uploaded.failed) == ([], [])
    assert saved.count > PEOPLE
    assert uploaded.count >= 1
    assert 1 <= made["files"] <= 1 + uploaded.count
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
        shown = [one["data"] for one in lab.tasks() if "/data/upload/" in str(one["data"])]
        assert 1 <= len(shown) <= made["files"]
        for (url,) in (data.values() for data in shown):
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


def test_drill_fails_where_a_file_is_missing(lab: Lab) -> None:
    """An upload that the manifest names is not in the snapshot: the drill says which, as `backup.verify` does."""
    lab.upload(png())
    lab.inv("backup")
    before = lab.annotations()
    with newest_lacks_an_upload(lab) as name:
        assert name.endswith(".png")
        code, said = lab.refused("restore", "--drill")
        assert (code, f"is not what its manifest says: {name} is missing; nothing was changed" in said) == (1, True), (
            said
        )
        assert f"{name} is missing" in last_drill()["answer"]["problem"]
        assert left(lab) == ""
        code, said = lab.refused("backup.verify")
        assert (code, f"lacks {name}, which its manifest names" in said) == (1, True), said
    (shown,) = lab.inv("status")["hosts"]
    assert shown["status"]["backup"]["drill_ok"] is False
    assert lab.annotations() == before
    lab.inv("backup.verify")


def test_drill_fails_where_the_click_does_not_come(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any) -> Any:
        run_docker(LocalHost(), "docker", "stop", "-t", "1", f"{PROJECT}-drill-sam2-1")
        return verify(*arguments)

    monkeypatch.setattr("infra.lifecycle.drill.verify", stopped)
    with pytest.raises(LabelrigError):
        drill(lab)
    assert last_drill()["ok"] is False
    assert left(lab) == ""


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


def restore_of(snapshot: str) -> Sequence[str]:
    return ("restore", snapshot, "--yes", "--without-backup")


@pytest.fixture(scope="module")
def kills(lab: Lab) -> Kills:
    """The states differ in an annotation, a task and its file; the restore that is measured ends on the first."""
    states = []
    for _ in range(2):
        lab.upload(png())
        with lab.api() as api:
            annotate(api, tasks_of(api)[0]["id"], POINT).raise_for_status()
        states.append(State(lab.inv("backup")["backup"]["snapshot"], lab.view()))
    first, second = states
    assert first.view != second.view
    began = time.monotonic()
    lab.inv(*restore_of(first.snapshot))
    seconds = time.monotonic() - began
    assert lab.view() == first.view
    return Kills((first, second), seconds, KILLS, int(os.environ.get("LABELRIG_TEST_SEED", random.randrange(10**6))))


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_restore_is_finished_by_the_next(
    lab: Lab, kills: Kills, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a random moment, by SIGKILL: people see all of the old state, all of the new, or nothing; the same command
    again ends on the new one."""
    old = lab.view()
    new, seconds = kills.other_than(old), kills.moment(number)
    with capsys.disabled():
        sys.stdout.write(f"\nseed {kills.seed}, kill {number}: after {seconds:.1f} of {kills.seconds:.1f} s\n")
    with Watcher(lab) as watcher:
        killed_after(seconds, lab, *restore_of(new.snapshot))
        if (REPOSITORY / ".labelrig" / PROJECT / "restoring.json").exists():
            for task in ("up", "restart", "backup"):
                code, said = lab.refused(task)
                assert (code, "the stack is half of two" in said) == (1, True), (task, said)
            served = run_docker(LocalHost(), "docker", "ps", "-q", "--filter", f"name={PROJECT}-proxy").stdout
            assert served == ""
        lab.inv(*restore_of(new.snapshot))
    assert lab.view() == new.view
    assert watcher.faults == []
    assert watcher.views[:1] == [old]
    assert [one for one in watcher.views if one not in (old, new.view)] == []
