"""A drill and what is left of it: what may be removed under its name, and what is written down however it ends."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import CommandFailed, ConnectionLost, LabelrigError
from core.report import Report
from infra.config.settings import Settings
from infra.lifecycle import drill as module
from infra.lifecycle import drill_remains
from infra.lifecycle.drill import Drill, run_drill
from infra.lifecycle.drill_remains import DrillRemains
from infra.lifecycle.script import BackupScript
from infra.roles.backup.result import BEGUN, LastRun, parse_run
from infra.stack.site import Site
from tests.fakes import FakeHost

STATE, FOLDER, OTHER = "/srv/lab", "/srv/lab/drill", "/srv/lab-drill"
LAST, GOOD = (f"{STATE}/backup/{name}-drill.json" for name in ("last", "good"))
MANIFEST = {"database": {"tables": {"task": {"rows": 3}}}, "media": {"files": 2}}
THINGS = {"container": "lab-drill-db-1\n", "network": "", "volume": "lab-drill_db-data\nlab-drill_models\n"}


class Bench:
    """A stack called lab; `there` are the folders of the machine, `things` what the engine has of the drill."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = FakeHost()
        self.there: set[str] = set()
        self.things = dict.fromkeys(THINGS, "")
        self.removed: list[str] = []
        self.removal_fails: LabelrigError | None = None
        self.restored: Callable[[], object] = lambda: None
        settings = Settings.model_validate({"LABELRIG_PROJECT": "lab", "LABELRIG_UID": 61041})
        self.site = Site(self.host, settings, STATE, STATE, f"{STATE}/.env", lambda: settings)
        self.now = 1000.0
        monkeypatch.setattr(drill_remains, "is_folder", lambda _host, path: path in self.there)
        monkeypatch.setattr(drill_remains, "run_docker", self._docker)
        monkeypatch.setattr(module, "restore", self._restore)
        self.published: list[bool] = []
        monkeypatch.setattr(BackupScript, "run", lambda _, *words: self._publish(*words))
        self.host.script("rm", "-rf", FOLDER)

    def _docker(self, _host: object, _docker: str, kind: str, verb: str, *words: str, **_more: object) -> Any:
        if verb == "ls":
            assert "label=com.docker.compose.project=lab-drill" in words
            return type("Shown", (), {"stdout": self.things[kind]})
        if self.removal_fails is not None:
            raise self.removal_fails
        self.removed += [f"{kind} {one}" for one in words if not one.startswith("--")]
        return None

    def _publish(self, *words: str) -> None:
        """How the last drill went is written down by then."""
        assert words == ("publish",)
        self.published.append(self.last().ok)

    def _restore(self, drill: Drill, _request: object, report: Report) -> None:
        drill.prepare()
        self.there.add(FOLDER)
        self.things = dict(THINGS)
        self.during = self.last()
        self.restored()
        report.facts["restored"] = {"snapshot": "abc12345", "manifest": MANIFEST}

    def drill(self) -> str:
        def never(_services: object) -> Any:
            raise AssertionError

        report = Report(io.StringIO())
        return run_drill(Drill(self.site, never, None, report), "", report, now=lambda: self.now)

    def last(self, path: str = LAST) -> LastRun:
        found = parse_run(self.host.files[path])
        assert found is not None
        return found

    @property
    def remains(self) -> DrillRemains:
        return DrillRemains(self.site)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


ALL = ["container lab-drill-db-1", "volume lab-drill_db-data", "volume lab-drill_models"]


def test_passed_drill_is_gone_and_written_down(bench: Bench) -> None:
    assert bench.drill().startswith("drill passed: backup abc12345 was restored beside the stack, 3 rows and 2 files")
    assert bench.removed == ALL
    assert bench.last().ok
    assert bench.last(GOOD).ok
    assert bench.published == [True]


def test_killed_drill_is_not_the_one_before(bench: Bench) -> None:
    """What a kill leaves is written at the begin; for some hours it may be a drill that goes on."""
    bench.drill()
    left = bench.during
    assert (left.ok, left.problem) == (False, BEGUN)
    assert left.may_go_on(lambda: 1000.0 + 5 * 3600)
    assert not left.may_go_on(lambda: 1000.0 + 7 * 3600)
    assert not bench.last().may_go_on(lambda: 1000.0)


@pytest.mark.parametrize(
    ("error", "problem"), [(LabelrigError("no\n click"), "no click"), (KeyboardInterrupt(), "it was stopped")]
)
def test_failed_drill_is_gone_and_written_down(bench: Bench, error: BaseException, problem: str) -> None:
    def fails() -> None:
        raise error

    bench.restored = fails
    with pytest.raises(type(error)):
        bench.drill()
    assert bench.removed == ALL
    assert (bench.last().ok, bench.last().problem) == (False, problem)
    assert bench.published == [False]
    assert GOOD not in bench.host.files


@pytest.mark.parametrize("failed", [False, True])
def test_drill_that_stays_is_said_and_written_down(bench: Bench, failed: bool) -> None:
    """It has all data of the stack; and a drill that passed and stays has not gone well."""

    def fails() -> None:
        raise LabelrigError("no click")

    if failed:
        bench.restored = fails
    bench.removal_fails = CommandFailed("volume is in use")
    before = "no click; " if failed else ""
    words = (
        f"^{before}the drill could not be taken down: volume is in use; the next one removes it first, and so does `./"
    )
    with pytest.raises(LabelrigError, match=words):
        bench.drill()
    assert bench.last().problem.startswith(f"{before}the drill could not be taken down")
    assert GOOD not in bench.host.files


def test_lost_host_hides_no_cause(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be written any more: what was written at the begin stays."""

    def lost() -> None:
        gone = ConnectionLost("gpu01: gone")
        bench.removal_fails = gone
        monkeypatch.setattr(FakeHost, "write", lambda *_, **__: (_ for _ in ()).throw(gone))
        raise ConnectionLost("gpu01: the connection was lost")

    bench.restored = lost
    with pytest.raises(LabelrigError, match="the connection was lost; the drill could not be taken down"):
        bench.drill()
    assert bench.last().problem == BEGUN


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        ({OTHER}, rf"a drill is a stack called lab-drill, and there is one of that name already \({OTHER}\)"),
        ({OTHER, FOLDER}, "there is one of that name already"),
        (set(), r"the engine has container lab-drill-db-1, volume lab-drill_db-data, .* no drill of this stack made"),
    ],
)
def test_other_things_of_that_name_stay(bench: Bench, there: set[str], problem: str) -> None:
    """A stack called lab-drill would lose its database to a drill of lab."""
    bench.there, bench.things = there, dict(THINGS)
    with pytest.raises(LabelrigError, match=problem):
        bench.drill()
    assert bench.removed == []
    assert bench.host.commands == []
    assert (bench.last().ok, "nothing was changed" in bench.last().problem) == (False, True)
    assert not bench.remains.are_there(), "prune and purge leave it, too"


def test_killed_drill_is_removed_by_the_next(bench: Bench) -> None:
    bench.there, bench.things = {FOLDER}, dict(THINGS)
    assert bench.remains.are_there()
    bench.restored = lambda: bench.removed.append("restored")
    bench.drill()
    assert bench.removed == [*ALL, "restored", *ALL]
