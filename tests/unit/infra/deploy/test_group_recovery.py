"""Which hosts of a group go back after a failure, with true releases of a head and two workers on this machine."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import ConnectionLost, LabelrigError, PreflightError, RolledBack
from core.report import Report
from infra.config.serving import Serving
from infra.database.state import DatabaseState
from infra.deploy import recovery
from infra.deploy.deployment import Deployment
from infra.deploy.group_recovery import restore_group
from infra.deploy.worker import WorkerDeployment
from infra.releases.manifest import Gate, Release
from infra.releases.store import Releases
from infra.roles.project.replicas import ReplicasMissing
from tests.unit.infra.deploy_bench import COMMIT, Engine, LabHost, host_settings, quiet
from tests.unit.infra.releases.release_bench import FACTS, NOW, SQLITE, files

SERVING = Serving("lab", "gpu01", {f"gpu0{n}": f"10.0.0.{n}" for n in (1, 2, 3)}, 6379, (10100, 10163))
MADE: Any = "joined"
OLD, NEW = "old", "new"


class Bench:
    """Three hosts whose containers are brought up by making a release current."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database: DatabaseState = SQLITE
        self.ended: dict[str, LabelrigError] = {}
        self.serves: list[str] = []
        self.reports: dict[str, Report] = {}
        self.ids: dict[tuple[str, str], str] = {}
        self.head: Any = self._member(Deployment, "gpu01", root)
        self.workers: list[Any] = [self._member(WorkerDeployment, name, root) for name in SERVING.workers]
        monkeypatch.setattr(recovery, "engine_client", Engine({"sha256:s1": ["labelrig/sam2:1"]}))
        monkeypatch.setattr(recovery, "database_now", lambda *_: self.database)
        monkeypatch.setattr(recovery, "serve", self._serve)
        for one in (self.head, *self.workers):
            self.released(one, OLD, "passed")
            self.begins(one)

    def _member(self, kind: type[Deployment], name: str, root: Path) -> Deployment:
        host: Any = LabHost()
        host.name = name
        settings = host_settings(root / name).model_copy(update={"name": name}).with_serving(SERVING)
        return kind(host, settings, COMMIT, "alice@desk")

    def _serve(self, one: Deployment, releases: Releases, target: Release, _report: Report) -> None:
        self.serves.append(one.host.name)
        releases.activate(target.id)

    def released(self, one: Deployment, name: str, gate: Gate) -> None:
        """Write a release and make it current."""
        minute = len([key for key in self.ids if key[0] == one.host.name])
        store = Releases(one.host, one.base, lambda: NOW + timedelta(minutes=minute))
        made = store.write(files(name), FACTS.model_copy(update={"folders": ()}))
        store.activate(made.id)
        if gate != "pending":
            store.mark(made.id, gate, database_state=SQLITE)
        self.ids[one.host.name, name] = str(made.id)
        one.release = store.current()

    def begins(self, one: Deployment) -> None:
        """A run comes to the host."""
        one.before = one.releases.current()

    def joined(self, one: Any, gate: Gate = "pending") -> None:
        self.released(one, NEW, gate)
        one.made = MADE

    def fails(self, cause: LabelrigError | None = None) -> LabelrigError:
        self.reports = {one.host.name: quiet() for one in (self.head, *self.workers)}
        return restore_group(
            self.head, self.workers, cause or LabelrigError("no mask came back"), self.ended, self.reports
        )

    def current(self) -> list[str]:
        """By host, which release serves."""
        names = {number: name for (_, name), number in self.ids.items()}
        return [names[str(one.releases.read().current_id)] for one in (self.head, *self.workers)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_workers_go_back_after_the_head(bench: Bench) -> None:
    for one in (bench.head, *bench.workers):
        bench.joined(one)
    result = bench.fails()
    assert type(result) is RolledBack
    assert bench.serves == list(SERVING.members)
    assert bench.current() == [OLD, OLD, OLD]
    assert {type(error) for error in bench.ended.values()} == {RolledBack}


@pytest.mark.parametrize("error", [None, LabelrigError("the ingress does not answer")])
def test_no_worker_is_left_out_of_service(bench: Bench, error: LabelrigError | None) -> None:
    """Its ingress did not answer when the run failed, and may since the head went back; else that is said."""
    left = [True]

    def end() -> None:
        if error is not None:
            raise error
        left.clear()

    bench.joined(bench.head)
    bench.joined(bench.workers[0])
    bench.workers[0].drain = SimpleNamespace(host="gpu02", is_left=lambda: bool(left), end=end)
    assert type(bench.fails()) is RolledBack
    assert bool(left) is (error is not None)
    assert bench.reports["gpu02"].notices == ([] if error is None else [str(error)])


def test_workers_stay_with_a_head_that_passed(bench: Bench) -> None:
    """The gate has passed, and what it says cannot be written on one worker: no host gets another version."""
    bench.joined(bench.head, "passed")
    bench.joined(bench.workers[0])
    bench.joined(bench.workers[1], "passed")
    bench.ended["gpu02"] = ConnectionLost("gpu02: gone")
    result = bench.fails(LabelrigError("gpu02: gone"))
    assert (type(result), bench.serves, bench.current()) == (LabelrigError, [], [NEW, NEW, NEW])
    assert "The releases of gpu02, gpu03 stay, as that of gpu01 does" in str(result)
    assert "The next `deploy` of the group proves them." in str(result)
    assert [type(bench.ended[name]) for name in SERVING.workers] == [ConnectionLost, LabelrigError]
    assert bench.workers[0].releases.current().gate == "pending"


def test_workers_stay_where_the_head_cannot_go_back(bench: Bench) -> None:
    """Its database has moved on."""
    for one in (bench.head, *bench.workers):
        bench.joined(one)
    bench.database = dataclasses.replace(SQLITE, migrations_count=403, migrations_digest="e" * 64)
    result = bench.fails()
    assert "could not be put back" in str(result)
    assert "The releases of gpu02, gpu03 stay" in str(result)
    assert (bench.serves, bench.current()) == ([], [NEW, NEW, NEW])


def test_a_workers_own_release_goes_back_by_itself(bench: Bench) -> None:
    """The run left the head's as it was: what served beside it before does again."""
    bench.joined(bench.workers[0])
    result = bench.fails(LabelrigError("gpu02: its disk is full"))
    assert str(result) == "gpu02: its disk is full"
    assert bench.serves == ["gpu02"]
    assert bench.current() == [OLD, OLD, OLD]
    assert type(bench.ended["gpu02"]) is RolledBack
    assert "nothing was changed" in str(bench.ended["gpu03"])


def test_a_worker_left_unproven_is_not_of_the_release_before(bench: Bench) -> None:
    """The run before proved the head and not this worker, which must not get the version before the head's now."""
    bench.joined(bench.head, "passed")
    bench.joined(bench.workers[0])
    for one in (bench.head, *bench.workers):
        bench.begins(one)
    bench.fails()
    assert (bench.serves, bench.current()) == ([], [NEW, NEW, OLD])


def test_nothing_goes_back_after_a_preflight(bench: Bench) -> None:
    bench.ended["gpu03"] = PreflightError(["no disk"])
    cause = PreflightError(["gpu03: no disk"])
    assert bench.fails(cause) is cause
    assert bench.serves == []
    assert "nothing was changed" in str(bench.ended["gpu02"])
    assert type(bench.ended["gpu03"]) is PreflightError


def test_missing_replicas_without_a_release_before(bench: Bench) -> None:
    """Of a first deploy: the error says that there is nothing to go back to, and stays what it is."""
    for one in (bench.head, *bench.workers):
        one.releases.mark(one.release.id, "pending")
        one.made = MADE
    result = bench.fails(ReplicasMissing("gpu03 (1 of 1 missing)", ("gpu03",)))
    assert type(result) is ReplicasMissing
    assert "There is no release before" in str(result)
    assert bench.serves == []
