"""A restore that is killed before or after any of its steps: nothing half may start, and the next one is whole."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from core.errors import LabelrigError
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Result
from infra.config.settings import Settings
from infra.database.sides import PostgresSide
from infra.lifecycle.script import BackupScript
from infra.lifecycle.snapshot import Snapshot
from infra.lifecycle.switch import Switch
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import debootstrap_base
from infra.stack.restoring import refuse_half_restored
from infra.stack.site import Site
from tests.fakes import FakeHost

TABLES = {"task": {"rows": 3, "digest": "a"}}
STEPS = 12  # at most, of either kind of database


class Killed(BaseException):
    """The process is gone."""


class Machine(FakeHost):
    """Where `rm -f` removes a file."""

    def run(self, *argv: str, **arguments: Any) -> Result:
        assert argv[:2] == ("rm", "-f")
        self.files.pop(argv[2], None)
        return Result(argv, 0, "", "")


@dataclass
class World:
    """A stack: what its three parts are of, what lies beside them, and at which step it is killed."""

    kind: str
    host: Machine = field(default_factory=Machine)
    database: str = "old"
    media: str = "old"
    secrets: str = "old"
    serves: bool = True
    database_beside: str | None = None
    media_beside: str | None = None
    steps: int = 0
    kill_at: int | None = None

    @property
    def is_one(self) -> bool:
        return self.database == self.media == self.secrets

    @property
    def site(self) -> Site:
        settings = Settings.model_validate({"LABELRIG_UID": 61041})
        return Site(self.host, settings, "/state", "/state", "/state/.env", lambda: settings)

    def step(self, effect: Callable[[], None]) -> None:
        if self.kill_at == 2 * self.steps:
            raise Killed
        effect()
        self.steps += 1
        if self.kill_at == 2 * self.steps - 1:
            raise Killed

    def put(self, **values: Any) -> Callable[[], None]:
        return lambda: self.__dict__.update(values)

    def adopt_database(self) -> None:
        if self.database_beside is None:
            raise LabelrigError("no database lies beside")
        self.put(database=self.database_beside, database_beside=None)()

    def adopt_media(self) -> None:
        if self.media_beside is None:
            raise LabelrigError("no files lie beside")
        self.put(media=self.media_beside, media_beside=None)()

    def script(self, *words: str) -> Mapping[str, Any]:
        effects = {
            "fetch": self.put(media_beside="new"),
            "beside": self.put(database_beside="new"),
            "dump load": self.put(database_beside="new"),
            "dump look": lambda: None,
            "mark": lambda: self.host.write("/state/restoring.json", words[-1].encode()),
            "dump adopt": self.adopt_database,
            "adopt": self.adopt_media,
            "drop": self.put(media_beside=None, database_beside=None),
        }
        self.step(effects[" ".join(words[: 2 if words[0] == "dump" else 1])])
        return {"place": "/moving", "tables": TABLES, "aside": "old"}

    def restore(self) -> None:
        """From what is there beside the stack to everything in its place, and `up`."""
        manifest = {"database": {"kind": self.kind, "file": "dump", "tables": TABLES}}
        images = ImageSet({}, debootstrap_base(REPOSITORY), REPOSITORY, "labelrig")
        report = Report(io.StringIO())
        script, snapshot = BackupScript(self.host, "/state", report), Snapshot("abc12345", manifest, {})
        switch = Switch(self.site, images, script, snapshot, report, "STAMP", lambda: None)
        switch.beside()
        switch.exchange("before12", lambda: self.step(self.put(secrets="new")))
        self.up()

    def up(self) -> None:
        refuse_half_restored(self.site)
        assert self.is_one
        self.serves = True


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(request.param)
    monkeypatch.setattr(BackupScript, "run", lambda _, *words: made.script(*words))
    monkeypatch.setattr(Switch, "_stop", lambda _: made.step(made.put(serves=False)))
    monkeypatch.setattr(Switch, "_containers", lambda _: None)
    monkeypatch.setattr(PostgresSide, "make_room", lambda _: "labelstudio_moving")
    monkeypatch.setattr(PostgresSide, "drop_room", lambda _: made.put(database_beside=None)())
    monkeypatch.setattr(PostgresSide, "adopt", lambda _, _stamp: made.step(made.adopt_database))
    monkeypatch.setattr(PostgresSide, "mark", lambda _, spare: None)
    return made


@pytest.mark.parametrize("kill_at", range(2 * STEPS))
def test_killed_at_each_step_then_repeated(world: World, kill_at: int) -> None:
    world.kill_at = kill_at
    try:
        world.restore()
    except Killed:
        pass
    else:
        assert world.steps <= STEPS
    if world.serves:
        assert world.is_one or "/state/restoring.json" in world.host.files
    try:  # what a person or a reboot may try first
        world.up()
    except LabelrigError as error:
        assert "./inv restore" in str(error)  # noqa: PT017 - refused at some steps, and whole at the others
    world.kill_at = None
    world.restore()
    assert (world.database, world.media, world.secrets, world.serves) == ("new", "new", "new", True)
    assert (world.database_beside, world.media_beside) == (None, None)
    assert "/state/restoring.json" not in world.host.files


def test_half_is_seen_by_these_tests(world: World) -> None:
    """Without the mark what is half would start."""
    world.kill_at = 2 * 6  # the database is in its place, and the files are not
    with pytest.raises(Killed):
        world.restore()
    world.host.files.clear()
    assert not world.is_one
    with pytest.raises(AssertionError):
        world.up()
