"""The files and the timer of the backup: written once, taken away when there is no repository."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from core.operation import converge
from core.report import Report
from infra.config.settings import Settings, missing_secrets
from infra.roles.backup.files import BackupPlace, definitions
from infra.roles.backup.result import encode_run, parse_run, read_run
from infra.roles.backup.role import backup_role
from infra.roles.backup.timer import UNITS, BackupTimer
from tests.fakes import FakeHost

IMAGES = {"backup": "labelrig/backup:1", "label-studio": "labelrig/label-studio:1"}
PLACE = BackupPlace("/state", "/state/current", "/state/secrets.env", "/root/.ssh", ("docker", "compose"))
GIVEN = {
    "LABELRIG_BACKUP_REPOSITORY": "/NAS/backup",
    "LABELRIG_BACKUP_PASSWORD": "correct-horse",
    "LABELRIG_UID": 61041,
}
UNIT = f"{UNITS}/labelrig-lab-backup"


class ThereHost(FakeHost):
    """A server with systemd."""

    is_local = False

    def __init__(self) -> None:
        super().__init__()
        self.script("test", "-d", "/run/systemd/system")
        for arguments in (
            ("daemon-reload",),
            ("enable", "labelrig-lab-backup.timer"),
            ("restart", "labelrig-lab-backup.timer"),
            ("disable", "--now", "labelrig-lab-backup.timer"),
        ):
            self.script("systemctl", *arguments)


def units_of(script: str, schedule: str, host: ThereHost | None = None) -> dict[str, bytes]:
    """The unit files that the operation writes on a server: path -> content."""
    there = ThereHost() if host is None else host
    for change in BackupTimer(there, "lab", script, schedule).plan():
        change.apply()
    return dict(there.files)


def settings(**given: object) -> Settings:
    return Settings.model_validate({"LABELRIG_PROJECT": "lab", **GIVEN, **given})


def test_files_are_written_once_and_the_password_is_said_once() -> None:
    host, report = FakeHost(), Report(io.StringIO())
    converge(backup_role(host, PLACE, settings(), IMAGES, [], report), report)
    assert host.files["/state/backup/password"] == b"correct-horse\n"
    assert host.modes["/state/backup/password"] == 0o600
    assert len(report.notices) == 1
    assert "Without it no backup can be read" in report.notices[0]
    assert "correct-horse" not in report.notices[0]
    again = Report(io.StringIO())
    assert converge(backup_role(host, PLACE, settings(), IMAGES, [], again), again) == 0
    assert again.notices == []


def test_own_password_file_is_used_as_it_is() -> None:
    host, report = FakeHost(), Report(io.StringIO())
    own = settings(LABELRIG_BACKUP_PASSWORD_FILE="/etc/password")
    converge(backup_role(host, PLACE, own, IMAGES, [], report), report)
    assert "/state/backup/password" not in host.files
    assert b"LABELRIG_BACKUP_PASSWORD_FILE='/etc/password'" in host.files["/state/backup/backup.env"]
    assert report.notices == []


def test_password_is_made_where_it_is_needed_only() -> None:
    assert "LABELRIG_BACKUP_PASSWORD" not in missing_secrets(Settings())
    assert "LABELRIG_BACKUP_PASSWORD" in missing_secrets(Settings(LABELRIG_BACKUP_REPOSITORY="/b"))  # type: ignore[call-arg]
    own = settings(LABELRIG_BACKUP_PASSWORD=None, LABELRIG_BACKUP_PASSWORD_FILE="/etc/password")
    assert "LABELRIG_BACKUP_PASSWORD" not in missing_secrets(own)


def test_timer_is_started_once() -> None:
    host, report = ThereHost(), Report(io.StringIO())
    timer = BackupTimer(host, "lab", "/srv/lab/backup/backup.sh", "Mon..Sat 02:30")
    (change,) = timer.plan()
    assert change.summary == "start the timer labelrig-lab-backup"
    change.apply()
    assert b"OnCalendar=Mon..Sat 02:30\n" in host.files[f"{UNIT}.timer"]
    assert b"ExecStart=/bin/sh /srv/lab/backup/backup.sh run\n" in host.files[f"{UNIT}.service"]
    host.files[f"{UNITS}/timers.target.wants/labelrig-lab-backup.timer"] = host.files[f"{UNIT}.timer"]
    assert converge([timer], report) == 0


def test_timer_goes_with_the_schedule() -> None:
    host = ThereHost()
    host.files |= {f"{UNIT}.timer": b"x", f"{UNIT}.service": b"x"}
    host.script("rm", "-f", f"{UNIT}.service", f"{UNIT}.timer")
    (change,) = BackupTimer(host, "lab", "", "off").plan()
    assert change.summary == "remove the timer of the backup"
    change.apply()
    assert ("systemctl", "disable", "--now", "labelrig-lab-backup.timer") in host.commands


def test_without_systemd_there_is_no_timer() -> None:
    host = FakeHost()
    host.script("test", "-d", "/run/systemd/system", exit_code=1)
    assert BackupTimer(host, "lab", "/x", "02:30").plan() == []


def test_definitions_are_the_same_bytes(tmp_path: Path) -> None:
    """Else each deploy would write them anew."""
    folder = tmp_path / "labeling_configs"
    (folder / "a").mkdir(parents=True)
    (folder / "a/v1.xml").write_text("<View/>")
    (folder / "projects.yaml").write_text("projects: {}")
    first = definitions(folder)
    (folder / "projects.yaml").touch()
    assert definitions(folder) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["labeling_configs/a/v1.xml", "labeling_configs/projects.yaml"]


def test_result_is_read_back() -> None:
    host = FakeHost()
    assert read_run(host, "/own", "backup") is None
    host.files["/own/last-backup.json"] = encode_run(1000.0, 1060.0, {"problem": "full"})
    last = read_run(host, "/own", "backup")
    assert last is not None
    assert (last.ok, last.seconds, last.problem, last.hours(lambda: 8260.0)) == (False, 60.0, "full", 2.0)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"began": 1}', b'{"began": "x", "ended": 1, "ok": true, "answer": {}}']
)
def test_damaged_result_is_none(content: bytes) -> None:
    assert parse_run(content) is None
