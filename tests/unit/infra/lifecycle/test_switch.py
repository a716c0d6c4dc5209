"""The change-over of a restore: what stands before it, in which order, and what is said where it breaks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from core.errors import ConnectionLost, LabelrigError, LockHeld
from core.report import Report
from core.repository import REPOSITORY
from infra.config.settings import Settings
from infra.lifecycle.script import BackupScript
from infra.lifecycle.snapshot import Snapshot
from infra.lifecycle.switch import Switch
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import debootstrap_base
from infra.stack.site import Site
from tests.fakes import FakeHost

TABLES = {"task": {"rows": 3, "digest": "a"}}
MARK = "/state/restoring.json"


class Bench:
    """A SQLite stack on which every step only notes that it was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = FakeHost()
        self.host.script("rm", "-f", MARK)
        self.done: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.tables: Mapping[str, object] = TABLES
        self.shown = io.StringIO()
        monkeypatch.setattr(BackupScript, "run", lambda _, *words: self._script(*words))
        monkeypatch.setattr(Switch, "_stop", lambda _: self.step("stop"))

    def step(self, name: str) -> None:
        self.done.append(name)
        if name in self.fails:
            raise self.fails[name]

    def _script(self, *words: str) -> Mapping[str, Any]:
        verb = " ".join(words[: 2 if words[0] == "dump" else 1])
        self.step(verb)
        if verb == "mark":
            self.host.files[MARK] = words[1].encode()
        return {"place": "/moving", "tables": self.tables, "aside": f"old of {verb}"}

    @property
    def switch(self) -> Switch:
        settings = Settings.model_validate({"LABELRIG_UID": 61041})
        site = Site(self.host, settings, "/state", "/state", "/state/.env", lambda: settings)
        manifest = {"database": {"kind": "sqlite", "file": "database.sqlite3", "tables": TABLES}}
        report, images = Report(self.shown), ImageSet({}, debootstrap_base(REPOSITORY), REPOSITORY, "labelrig")
        script, ours = BackupScript(self.host, "/state", report), self._ours
        return Switch(site, images, script, Snapshot("abc12345", manifest, {}), report, "STAMP", ours)

    def _ours(self) -> None:
        self.step("still ours")

    @property
    def settings(self) -> Callable[[], None]:
        return lambda: self.step("settings")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_order_of_the_change_over(bench: Bench) -> None:
    """The locks are asked and the mark is there before anything stops; it goes when all else is done."""
    aside = bench.switch.exchange("before12", bench.settings)
    assert bench.done == ["still ours", "mark", "stop", "dump adopt", "adopt", "settings", "drop"]
    assert (aside.database, aside.media) == ("old of dump adopt", "old of adopt")
    assert json.loads(bench.host.files[MARK]) == {"snapshot": "abc12345", "before": "before12", "stamp": "STAMP"}
    assert bench.host.commands == [("rm", "-f", MARK)]


@pytest.mark.parametrize("held", ["still ours", "mark"])
def test_held_lock_leaves_the_stack_running(bench: Bench, held: str) -> None:
    """The host's, which another run took from a laptop that slept, and that of backups."""
    bench.fails[held] = LockHeld("gpu01: another one runs")
    with pytest.raises(LockHeld, match=r"^gpu01: another one runs$"):
        bench.switch.exchange("", bench.settings)
    assert bench.done[-1] == held
    assert MARK not in bench.host.files


@pytest.mark.parametrize("step", ["stop", "dump adopt", "adopt", "settings"])
def test_break_in_the_middle_says_what_stands(bench: Bench, step: str) -> None:
    bench.fails[step] = LockHeld("gpu01: another backup or restore runs")
    bench.host.is_local, bench.host.name = False, "gpu01"
    with pytest.raises(LabelrigError) as caught:
        bench.switch.exchange("", bench.settings)
    assert str(caught.value) == (
        "gpu01: another backup or restore runs\nThe stack is stopped, and the backup abc12345 is partly in place; "
        "nothing is lost. `./inv restore --host gpu01` again finishes it"
    )
    assert caught.value.exit_code == 1, "4 means that nothing was changed"
    assert bench.host.commands == [], "the mark stays"


def test_lost_connection_stays_one(bench: Bench) -> None:
    bench.fails["dump adopt"] = ConnectionLost("gpu01: the connection was lost")
    with pytest.raises(ConnectionLost, match=r"(?s)was lost.The stack is stopped"):
        bench.switch.exchange("", bench.settings)


def test_leftovers_that_stay_are_a_notice(bench: Bench) -> None:
    """Everything is in its place: the mark goes, and the stack may start."""
    bench.fails["drop"] = LockHeld("here: another backup runs")
    bench.switch.exchange("", bench.settings)
    assert bench.host.commands == [("rm", "-f", MARK)]
    assert "what was fetched stays until the next restore: here: another backup runs" in bench.shown.getvalue()


@pytest.mark.parametrize("step", ["fetch", "beside", "dump look", "tables"])
def test_failure_beside_removes_what_was_fetched(bench: Bench, step: str) -> None:
    if step == "tables":
        bench.tables = {}
    else:
        bench.fails[step] = KeyboardInterrupt() if step == "beside" else LabelrigError("no room")
    with pytest.raises((LabelrigError, KeyboardInterrupt)):
        bench.switch.beside()
    assert bench.done[-1] == "drop"
    assert "stop" not in bench.done


def test_what_is_whole_beside_stays(bench: Bench) -> None:
    bench.switch.beside()
    assert bench.done == ["fetch", "beside", "dump look"]
