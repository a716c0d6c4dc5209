"""`rollback --group` on hosts that serve together: in which order, and all of them or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import HostError, LabelrigError
from core.report import Report
from hosts.base import Host
from infra.config.host_settings import HostSettings
from infra.deploy import group_rollback as module
from infra.deploy.deployment import Deployment
from infra.deploy.recovery import Way
from infra.deploy.rollback_command import run_rollback
from infra.fleet.choice import Choice, Outcome
from infra.releases.audit import AuditLog
from infra.releases.manifest import Release
from infra.releases.store import Releases
from tests.unit.infra.deploy_bench import Here, LabHost, options, quiet
from tests.unit.infra.releases.release_bench import release

OLD, NEW = release(1), release(2)
WORDS = {OLD.id: "old", NEW.id: "new"}


class Bench:
    """Three hosts whose releases serve by writing into the diary; gpu01 is the head, and the second of the group."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.diary: list[str] = []
        self.fails: dict[str, LabelrigError] = {}
        self.replicas = {"gpu01": 1, "gpu02": 1, "gpu03": 2}
        hosts = ", ".join(f"gpu0{n}: {{address: 10.0.0.{n}, root: {folder}/gpu0{n}}}" for n in (1, 2, 3))
        group = "lab: {hosts: [gpu02, gpu01, gpu03], serve: {head: gpu01}}"
        self.inventory = folder / "inventory.yaml"
        self.inventory.write_text(f"defaults: {{data: /NAS/set}}\ngroups: {{{group}}}\nhosts: {{{hosts}}}\n")
        monkeypatch.setattr(Here, "connect", self._connect)
        monkeypatch.setattr(module, "find_way", self._find)
        monkeypatch.setattr(module, "serve", self._serve)
        monkeypatch.setattr(module, "replicas_of", lambda run, _release: self.replicas[run.host.name])
        monkeypatch.setattr(module, "end_stand_in_last", lambda run, _report: self._do(f"stand-in of {run.host.name}"))
        monkeypatch.setattr(module, "site_of_release", lambda *_: SimpleNamespace(exec_in_backend=None))
        monkeypatch.setattr(module, "Drain", self._drain)

    def _connect(self, host_settings: HostSettings, _run_id: str, _report: Report) -> LabHost:
        host = LabHost()
        host.name = host_settings.name
        return host

    def _do(self, what: str) -> None:
        self.diary.append(what)
        if what in self.fails:
            raise self.fails[what]

    def _find(self, run: Deployment, _wanted: str | None, _report: Report) -> Way:
        self._do(f"look at {run.host.name}")
        return Way(NEW, OLD)

    def _serve(self, run: Deployment, _releases: Releases, target: Release, _report: Report) -> None:
        self._do(f"{run.host.name} {WORDS[target.id]}")

    def _drain(self, _ingress: object, host: Host, _folder: str, _report: Report) -> SimpleNamespace:
        @contextmanager
        def aside(replicas: int) -> Iterator[None]:
            self._do(f"{host.name} out, {replicas}")
            yield
            self._do(f"{host.name} back")

        return SimpleNamespace(aside=aside, is_left=lambda: False)

    def roll_back(self, **choice: Any) -> Outcome:
        return run_rollback(Choice(inventory=self.inventory, **choice), options("rollback"), None, confirm=None)

    def logged(self, name: str) -> list[tuple[str, str | None]]:
        host = LabHost()
        entries = AuditLog(host, f"{self.folder}/{name}/labelrig", quiet()).entries(9)
        return [(one.result, one.release) for one in entries]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


LOOKED = ["look at gpu01", "look at gpu02", "look at gpu03"]
WORKERS = [
    *("gpu02 out, 1", "gpu02 old", "gpu02 back"),
    *("gpu03 out, 2", "gpu03 old", "gpu03 back"),
]


def test_the_head_then_workers_then_the_stand_in(bench: Bench) -> None:
    """Whatever the order of the group; each worker is out of service meanwhile."""
    outcome = bench.roll_back(groups=["lab"])
    assert bench.diary == [*LOOKED, "gpu01 old", *WORKERS, "stand-in of gpu01"]
    assert [(one.host, one.exit_code) for one in outcome.results] == [("gpu01", 0), ("gpu02", 0), ("gpu03", 0)]
    assert bench.logged("gpu03") == [("ok", str(OLD.id))]


def test_nothing_is_changed_where_one_cannot_go_back(bench: Bench) -> None:
    bench.fails["look at gpu03"] = LabelrigError("gpu03: its image is gone")
    outcome = bench.roll_back(groups=["lab"])
    assert bench.diary == LOOKED
    assert [one.exit_code for one in outcome.results] == [1, 1, 1]
    assert "its image is gone" in str(outcome.results[2].error)


def test_all_serve_as_before_where_one_fails(bench: Bench) -> None:
    """The head's first, and the stand-in last; who was not come to is left."""
    bench.fails["gpu02 old"] = HostError("ray: exited")
    outcome = bench.roll_back(groups=["lab"])
    forward = ["gpu01 new", "gpu02 new", "stand-in of gpu01"]
    assert bench.diary == [*LOOKED, "gpu01 old", "gpu02 out, 1", "gpu02 old", *forward]
    assert outcome.results[0].exit_code == 5
    assert "gpu02: ray: exited\nThe releases that served before do again." in str(outcome.results[0].error)
    assert bench.logged("gpu01") == [("rolled-back", None)]


def test_what_does_not_come_back_is_named(bench: Bench) -> None:
    """And the others come back all the same."""
    bench.fails = {"gpu02 old": HostError("ray: exited"), "gpu01 new": HostError("gpu01: no engine")}
    outcome = bench.roll_back(groups=["lab"])
    assert bench.diary[-2:] == ["gpu02 new", "stand-in of gpu01"]
    assert f"gpu01: release {NEW.id} does not serve either: gpu01: no engine" in str(outcome.results[0].error)
    assert outcome.exit_code == 1


def test_a_worker_that_was_named_alone_goes_alone(bench: Bench) -> None:
    bench.roll_back(hosts=["gpu02"])
    assert bench.diary == ["look at gpu02", "gpu02 old"]
