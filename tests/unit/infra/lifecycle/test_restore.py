"""The order of a restore: what is refused before anything is done, what is backed up first, and what a cut leaves."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.repository import REPOSITORY
from infra.config.settings import Settings
from infra.lifecycle import restore as module
from infra.lifecycle.restore import RestoreRequest, restore
from infra.lifecycle.script import BackupScript
from infra.lifecycle.switch import Aside, Switch
from infra.roles.backup.files import BackupPlace, backup_files
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import debootstrap_base
from infra.roles.stack.image_folders import ImageFolder
from infra.stack.site import Site
from tests.fakes import FakeHost

GIVEN = {
    "LABELRIG_BACKUP_REPOSITORY": "/NAS/backup",
    "LABELRIG_BACKUP_PASSWORD": "correct-horse",
    "LABELRIG_UID": 61041,
    "LABEL_STUDIO_PASSWORD": "password-here",
    "LABEL_STUDIO_SECRET_KEY": "secret-key-here",
}
MANIFEST = {
    "made_at": "2026-11-30T02:30:00Z",
    "machine": "gpu01",
    "username": "admin@labelrig.local",
    "label_studio_image": "labelrig/label-studio:1",
    "database": {"kind": "sqlite", "file": "database.sqlite3", "tables": {"task": {"rows": 3, "digest": "a"}}},
    "migrations": [],
    "media": {"files": 0, "bytes": 0},
}
SECRETS = "LABEL_STUDIO_SECRET_KEY='key-of-the-backup'\n"


class Bench:
    """A machine on which every step only notes that it was done."""

    throw_away = keeps_choices = False
    snapshots_of = "labelrig"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = FakeHost()
        self.host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
        self.host.script("rm", "-rf", "/state/backup-look")
        self.settings = Settings.model_validate(GIVEN)
        self.done: list[str] = []
        self.manifest: dict[str, Any] = dict(MANIFEST)
        self.fails = self.machine = ""
        self.folders = "[]"
        self.shown = io.StringIO()
        monkeypatch.setattr(BackupScript, "run", lambda _, *words: self._script(*words))
        monkeypatch.setattr(module, "refuse_later_version", lambda *_: self._step("versions"))
        monkeypatch.setattr(Switch, "beside", lambda _: self._step("beside"))
        monkeypatch.setattr(Switch, "exchange", lambda _, *given: self._exchange(*given))

    def _step(self, name: str) -> None:
        self.done.append(name)
        if name == self.fails:
            raise LabelrigError(f"{name} failed")

    def _script(self, verb: str, *arguments: str) -> Mapping[str, Any]:
        self._step(" ".join([verb, *arguments]))
        if verb == "show":
            return {
                "snapshot": arguments[0] if arguments else "newest12",
                "manifest": self.manifest,
                "small": self.small,
                "machine": self.machine,
            }
        return {"snapshot": "before12"}

    @property
    def small(self) -> dict[str, str]:
        return {"secrets.env": SECRETS, "stack/folders.json": self.folders}

    def _exchange(self, before: str, write_settings: Any) -> Aside:
        self._step(f"exchange {before}".strip())
        write_settings()
        return Aside("/data/old", "")

    @property
    def site(self) -> Site:
        return Site(self.host, self.settings, "/state", "/state", "/state/.env", lambda: self.settings)

    def still_ours(self) -> None:
        self._step("still ours")

    def prepare(self) -> None:
        self._step("prepare")

    def images(self, services: Sequence[str]) -> ImageSet:
        return ImageSet(
            {one: f"labelrig/{one}:1" for one in services}, debootstrap_base(REPOSITORY), REPOSITORY, "labelrig"
        )

    def choose(self, choices: Mapping[str, str]) -> None:
        self.done.append(f"choose {choices['LABELRIG_DATABASE']}")

    def bring_up(self) -> None:
        self._step("up")

    def has_a_stack(self) -> None:
        """With its backup as the last `up` left it."""
        self.host.files["/state/stack.env"] = b"LABELRIG_UID='61041'\n"
        place = BackupPlace("/state", "/state", "/state/.env", "/root/.ssh", ("docker", "compose"))
        images = {"backup": "labelrig/backup:0", "label-studio": "labelrig/label-studio:0"}
        for file in backup_files(place, self.settings, images, [ImageFolder("nas", "/NAS/images")]):
            self.host.files[file.path] = file.content

    @property
    def own(self) -> dict[str, bytes]:
        """What is on the machine, but for the script that looks for the backup."""
        return {path: it for path, it in self.host.files.items() if not path.startswith("/state/backup-look/")}

    def restore(self, snapshot: str = "", **more: Any) -> str:
        return restore(self, RestoreRequest(snapshot, **more), Report(self.shown))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_bare_machine(bench: Bench) -> None:
    """No present state to back up; the secrets of the backup become the machine's."""
    text = bench.restore()
    assert bench.done == ["prepare", "show", "choose sqlite", "versions", "beside", "exchange", "up"]
    assert b"LABEL_STUDIO_SECRET_KEY='key-of-the-backup'" in bench.host.files["/state/.env"]
    assert "put aside, delete it when you need the room: /data/old" in text


def test_present_state_is_backed_up_first(bench: Bench) -> None:
    bench.has_a_stack()
    asked: list[str] = []
    text = bench.restore("abcd1234", confirm=asked.append)
    assert bench.done[1] == "show abcd1234"
    assert bench.done[-4:] == ["run before-restore", "beside", "exchange before12", "up"]
    assert asked[0].startswith("This replaces every project, annotation and account of the stack labelrig")
    assert "the state before: `./inv restore before12`" in text


def test_broken_stack_can_do_without(bench: Bench) -> None:
    bench.has_a_stack()
    bench.restore(keeps_present=False)
    assert "run before-restore" not in bench.done


@pytest.mark.parametrize("fails", ["prepare", "show", "versions", "run before-restore", "beside"])
def test_failure_before_the_change_over_changes_nothing(bench: Bench, fails: str) -> None:
    bench.has_a_stack()
    before = bench.own
    bench.fails = fails
    with pytest.raises(LabelrigError, match=f"{fails} failed"):
        bench.restore()
    assert bench.done[-1] == fails
    if fails in ("prepare", "show", "versions"):
        assert bench.own == before
    else:  # the script that backs the present state up and fetches the backup
        changed = {path for path, content in bench.own.items() if content != before.get(path)}
        assert changed == {"/state/backup/backup.env", "/state/backup/folders"}


def test_no_is_no(bench: Bench) -> None:
    def no(_question: str) -> None:
        raise SettingsError("Nothing was done.")

    bench.has_a_stack()
    before = bench.own
    with pytest.raises(SettingsError):
        bench.restore(confirm=no)
    assert bench.done[-1] == "versions"
    assert bench.own == before
    assert ("rm", "-rf", "/state/backup-look") in bench.host.commands


def test_backup_of_another_machine_is_said(bench: Bench) -> None:
    report = Report(io.StringIO())
    restore(bench, RestoreRequest(), report)
    assert not [text for text in report.notices if "made it" in text]
    bench.machine = "gpu02"
    restore(bench, RestoreRequest(), report)
    assert "the backup newest12 is not of fake host: the machine gpu02 made it" in report.notices


@pytest.mark.parametrize(
    ("update", "problem"),
    [
        ({"database": {**MANIFEST["database"], "kind": "postgres"}}, "is of a postgres database"),  # type: ignore[dict-item]
        ({"username": "ana@lab.example"}, "the first user of the backup newest12 is ana@lab.example"),
    ],
)
def test_what_does_not_fit_is_refused(bench: Bench, update: dict[str, Any], problem: str) -> None:
    bench.manifest |= update
    with pytest.raises(SettingsError, match=problem):
        bench.restore()
    assert bench.done[-1].startswith("choose")


def test_cut_off_restore_goes_on(bench: Bench) -> None:
    """With the backup that it was about, and without backing up what is half of two."""
    bench.has_a_stack()
    mark = {"snapshot": "abcd1234", "before": "first123", "stamp": "S"}
    bench.host.files["/state/restoring.json"] = json.dumps(mark).encode()
    text = bench.restore()
    assert "show abcd1234" in bench.done
    assert "run before-restore" not in bench.done
    assert "exchange first123" in bench.done
    assert "./inv restore first123" in text


def test_half_of_an_upgrade_is_not_backed_up(bench: Bench) -> None:
    """A backup would be refused; and `upgrade` says that a restore is the way out where its mark is damaged."""
    bench.has_a_stack()
    bench.host.files["/state/upgrading.json"] = b"{"
    bench.restore()
    assert "run before-restore" not in bench.done
    assert bench.done[-3:] == ["beside", "exchange", "up"]
    assert "an upgrade was cut off, and what it left is not backed up" in bench.shown.getvalue()


def test_damaged_mark_has_a_way_out(bench: Bench) -> None:
    """The backup is named, and half of two states is not backed up."""
    bench.has_a_stack()
    bench.host.files["/state/restoring.json"] = b"{"
    with pytest.raises(LabelrigError, match=r"a restore was cut off, and which one is unknown"):
        bench.restore()
    bench.done.clear()
    bench.restore("abcd1234")
    assert bench.done == ["prepare", "show abcd1234", "choose sqlite", "versions", "beside", "exchange", "up"]


def test_way_back_names_the_host(bench: Bench) -> None:
    bench.has_a_stack()
    bench.host.is_local, bench.host.name = False, "gpu01"
    assert "the state before: `./inv restore before12 --host gpu01`" in bench.restore()
    bench.fails = "up"
    with pytest.raises(LabelrigError, match=r"`\./inv restore before12 --host gpu01` brings back"):
        bench.restore()


def test_replaced_secrets_are_named_before_it_is_asked(bench: Bench) -> None:
    """They may have been replaced because others knew them."""
    bench.has_a_stack()
    bench.host.files["/state/.env"] = b"LABEL_STUDIO_SECRET_KEY='made-anew'\nLABELRIG_UID='61041'\n"
    said: list[str] = []
    bench.restore(confirm=lambda _question: said.append(bench.shown.getvalue()))
    assert (
        "the secrets of 2026-11-30 02:30:00 UTC become valid again (LABEL_STUDIO_SECRET_KEY), also for whoever should "
        "not know them any more; where they were replaced for that, `./inv secrets.rotate all` afterwards"
    ) in said[0]


def test_folders_of_the_backup_are_connected_by_name(bench: Bench) -> None:
    """Tasks name a folder. One that leads elsewhere here is said; the same path under two names is mounted twice."""
    bench.has_a_stack()
    here = [{"name": "images", "path": "/NAS/new"}, {"name": "cars", "path": "/NAS/cars"}]
    bench.host.files["/state/folders.json"] = json.dumps(here).encode()
    theirs = [{"name": "images", "path": "/NAS/old"}, {"name": "vehicles", "path": "/NAS/cars"}]
    bench.folders = json.dumps(theirs)
    bench.restore()
    assert json.loads(bench.host.files["/state/folders.json"]) == [*here, theirs[1]]
    assert "the image folder images was /NAS/old, and is /NAS/new here" in bench.shown.getvalue()


def test_gate_that_fails_names_the_way_back(bench: Bench) -> None:
    bench.has_a_stack()
    bench.fails = "up"
    with pytest.raises(
        LabelrigError, match=r"(?s)up failed.*is in place and whole.*`\./inv restore before12` brings back"
    ):
        bench.restore()


@pytest.mark.parametrize(
    ("without", "problem"),
    [
        ("LABELRIG_BACKUP_REPOSITORY", "does not say where the backups are"),
        ("LABELRIG_BACKUP_PASSWORD", "the password of the backups is not known; put it into a file"),
    ],
)
def test_without_address_or_password_nothing_begins(bench: Bench, without: str, problem: str) -> None:
    bench.settings = Settings.model_validate({name: value for name, value in GIVEN.items() if name != without})
    with pytest.raises(SettingsError, match=problem):
        bench.restore()
    assert bench.done == []
