"""The order of an upgrade, what a kill at each step leaves, and that a repetition ends on one version's data."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from core.errors import ConnectionLost, LabelrigError, LockHeld, RolledBack, SettingsError
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Result
from infra.config.settings import Settings
from infra.lifecycle import upgrade as module
from infra.lifecycle.upgrade import UpgradeRequest, upgrade
from infra.lifecycle.upgrade_changes import Changes
from infra.lifecycle.upgraded import read_upgraded
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import debootstrap_base
from infra.stack.maintenance import MaintenancePass
from infra.stack.site import Site
from infra.stack.upgrading import read_upgrading, refuse_half_upgraded
from tests.fakes import FakeHost

GIVEN = {
    "LABELRIG_BACKUP_REPOSITORY": "/NAS/backup",
    "LABELRIG_BACKUP_PASSWORD": "correct-horse",
    "LABELRIG_UID": 61041,
}
CHANGES = Changes({"label-studio": ("a:1", "a:2")}, ("1.22.0", "1.23.2"), ["tasks.0058_x"], ["tasks.0058_x"], "")


class Machine(FakeHost):
    """Where `rm -f` removes a file."""

    def run(self, *argv: str, **arguments: Any) -> Result:
        if argv[:2] == ("rm", "-f"):
            self.files.pop(argv[2], None)
            return Result(argv, 0, "", "")
        return super().run(*argv, **arguments)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class World:
    """A stack whose version and data are words, and which may be killed at its n-th step."""

    host: Machine = field(default_factory=Machine)
    settings: Settings = field(default_factory=lambda: Settings.model_validate(GIVEN))
    steps: list[str] = field(default_factory=list)
    version: str = "old"
    data: str = "old"
    kept: str | None = None
    serves: bool = True
    page: bool = False
    breaks: dict[str, Exception] = field(default_factory=dict)
    kill_at: int | None = None
    changes: Changes = CHANGES
    lock_lost: bool = False

    def step(self, name: str, effect: Callable[[], None] = lambda: None) -> None:
        """One step, which is killed before or after what it does."""
        if self.kill_at == 2 * len(self.steps):
            raise Killed
        if name in self.breaks:
            self.steps.append(name)
            raise self.breaks[name]
        effect()
        self.steps.append(name)
        if self.kill_at == 2 * len(self.steps) - 1:
            raise Killed

    def put(self, **values: Any) -> Callable[[], None]:
        def effect() -> None:
            for name, value in values.items():
                setattr(self, name, value)

        return effect

    @property
    def site(self) -> Site:
        return Site(self.host, self.settings, "/state", "/state", "/state/.env", lambda: self.settings)

    # the machine
    throw_away = keeps_choices = False
    snapshots_of = "labelrig"
    choose = staticmethod(lambda _choices: None)

    def still_ours(self) -> None:
        if self.lock_lost:
            raise LockHeld("gpu01: another run has the lock")

    def prepare(self) -> None:
        self.step("prepare")

    def images(self, services: Sequence[str]) -> ImageSet:
        return ImageSet(dict.fromkeys(services, "x"), debootstrap_base(REPOSITORY), REPOSITORY, "labelrig")

    def use_pass(self, passing: MaintenancePass) -> None:
        assert len(passing.value) == 48

    def keep_version(self) -> str:
        self.step("keep version")
        return "release-1"

    def bring_up(self) -> None:
        self.step("start", self.put(version="new", serves=True, data="new"))
        self.step("gate")

    def version_back(self, name: str) -> None:
        assert name == "release-1"
        self.step("version back", self.put(version="old", serves=True))

    def forget_version(self) -> None:
        self.step("forget version")

    # the data
    place = "a safe place"

    def needs(self) -> tuple[int, int]:
        return 1, 1 << 40

    def keep(self) -> None:
        assert not self.serves
        if self.kept is None:
            self.step("keep", self.put(kept=self.data))

    def put_back(self) -> None:
        assert not self.serves
        if self.kept is not None:
            self.step("put back", self.put(data=self.kept, kept=None))

    def forget(self) -> None:
        raise AssertionError

    # what it stands on
    def stop(self, *_: object) -> None:
        self.step("stop", self.put(serves=False))

    def run(self, *words: str) -> dict[str, str]:
        self.step(" ".join(words))
        return {"snapshot": "before12"}

    def upgrade(self, **more: Any) -> str:
        return upgrade(self, UpgradeRequest(**more), Report(io.StringIO()))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    made.host.files["/state/stack.env"] = b"LABELRIG_UID='61041'\n"
    monkeypatch.setattr(Site, "refuse_missing", lambda _: None)
    monkeypatch.setattr(module, "changes_of", lambda *_: made.changes)
    monkeypatch.setattr(module, "old_data_of", lambda *_: made)
    monkeypatch.setattr(module, "script_of", lambda *_: made)
    monkeypatch.setattr(module, "_stop", made.stop)
    monkeypatch.setattr(module, "begin_maintenance", lambda *_: made.step("page on", made.put(page=True)))
    monkeypatch.setattr(module, "end_maintenance", lambda *_: made.step("page off", made.put(page=False)))
    return made


ORDER = [
    *("prepare", "run before-upgrade", "keep version", "page on", "stop", "keep"),
    *("start", "gate", "page off", "forget version"),
]


def test_in_this_order(world: World) -> None:
    asked: list[str] = []
    text = world.upgrade(confirm=asked.append)
    assert world.steps == ORDER
    assert "Label Studio 1.22.0 -> 1.23.2" in asked[0]
    assert "1 migrations (tasks.0058_x), 1 of which cannot be undone" in asked[0]
    assert "`./inv restore before12`" in text
    assert [one.backup for one in read_upgraded(world.site)] == ["before12"]
    assert read_upgrading(world.site) is None


def test_a_failed_gate_puts_both_back(world: World) -> None:
    """The old version on the old data, exit code 5, and the next upgrade may be tried."""
    world.breaks["gate"] = LabelrigError("no click came back")
    with pytest.raises(RolledBack, match=r"no click came back\nThe upgrade failed; the old version serves again"):
        world.upgrade()
    assert (world.version, world.data, world.serves, world.page) == ("old", "old", True, False)
    refuse_half_upgraded(world.site)
    world.breaks.clear()
    world.upgrade()
    assert (world.version, world.data) == ("new", "new")


@pytest.mark.parametrize("step", ["prepare", "run before-upgrade", "keep version"])
def test_failure_before_the_page_changes_nothing(world: World, step: str) -> None:
    world.breaks[step] = LabelrigError("it broke")
    with pytest.raises(LabelrigError, match="it broke"):
        world.upgrade()
    assert (world.version, world.data, world.serves, world.page) == ("old", "old", True, False)
    refuse_half_upgraded(world.site)


def test_lost_lock_changes_nothing(world: World) -> None:
    """A backup takes long: a laptop that slept meanwhile finds another run at work."""
    world.lock_lost = True
    with pytest.raises(LockHeld):
        world.upgrade()
    assert world.steps[-1] == "run before-upgrade"
    refuse_half_upgraded(world.site)


def test_way_back_names_the_host(world: World) -> None:
    world.host.is_local, world.host.name = False, "gpu01"
    assert "`./inv restore before12 --host gpu01` with the old labelrig is the way back" in world.upgrade()


@pytest.mark.parametrize("fails", [False, True], ids=["good", "failing"])
@pytest.mark.parametrize("kill_at", range(28))
def test_killed_anywhere_then_repeated(world: World, kill_at: int, fails: bool) -> None:
    """Whatever the moment: never a version on the other's data, and the repetition ends."""
    if fails:
        world.breaks["gate"] = LabelrigError("no click came back")
    world.kill_at = kill_at
    with suppress(Killed, RolledBack):
        world.upgrade()
    begun = read_upgrading(world.site)
    # What `up` or a reboot may start is refused, or it is whole.
    if begun is None and world.serves:
        assert world.version == world.data
    world.kill_at = None
    if begun is None and world.version == "new":
        return  # it had ended
    with pytest.raises(RolledBack) if fails else nullcontext():
        world.upgrade()
    assert (world.version, world.serves, world.page) == (world.data, True, False)
    assert world.version == ("old" if fails else "new")
    assert read_upgrading(world.site) is None


@pytest.mark.parametrize("kill_at", [2 * 9 - 1, 2 * 9, 2 * 10 - 1])
def test_no_way_back_once_people_are_in(world: World, kill_at: int) -> None:
    """Killed after the page went: what people save from then on is kept, also where the gate would fail now."""
    world.kill_at = kill_at
    with pytest.raises(Killed):
        world.upgrade()
    assert not world.page
    world.kill_at, world.data = None, "new, and what people saved"
    world.breaks["gate"] = LabelrigError("no click came back")
    if read_upgrading(world.site) is not None:
        world.upgrade()
    assert (world.version, world.data, world.page) == ("new", "new, and what people saved", False)
    refuse_half_upgraded(world.site)


def test_a_lost_connection_leaves_the_mark(world: World) -> None:
    world.breaks["start"] = ConnectionLost("gone")
    with pytest.raises(ConnectionLost):
        world.upgrade()
    with pytest.raises(LabelrigError, match=r"an upgrade was cut off; `./inv upgrade`"):
        refuse_half_upgraded(world.site)
    world.breaks.clear()
    world.upgrade()
    assert (world.version, world.page) == ("new", False)


def test_way_back_that_fails_is_repeated(world: World) -> None:
    world.breaks |= {"gate": LabelrigError("no click"), "version back": LabelrigError("no room")}
    with pytest.raises(LabelrigError, match=r"(?s)no click.*could not be put back: no room.*`./inv upgrade` goes on"):
        world.upgrade()
    del world.breaks["version back"]
    with pytest.raises(RolledBack, match="the upgrade had failed: no click"):
        world.upgrade()
    assert (world.version, world.data, world.page) == ("old", "old", False)


def test_nothing_to_do(world: World) -> None:
    world.changes = replace(CHANGES, images={}, pending=[], label_studio=("1.23.2", "1.23.2"))
    assert "nothing to upgrade" in world.upgrade()
    assert world.steps == ["prepare"]


def test_without_a_repository_it_must_be_said(world: World) -> None:
    world.settings = Settings.model_validate({"LABELRIG_UID": 61041})
    with pytest.raises(SettingsError, match="an upgrade begins with a backup"):
        world.upgrade()
    assert world.steps == []
    text = world.upgrade(backs_up=False)
    assert "run before-upgrade" not in world.steps
    assert "./inv restore" not in text
