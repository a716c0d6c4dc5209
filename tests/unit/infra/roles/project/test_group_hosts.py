"""A host that is taken out while it is replaced: in which order, and what happens where the ingress cannot help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Unpack

import pytest

from core.errors import LabelrigError, WaitTimeout
from core.operation import Applier, Previewer
from core.report import Report
from hosts.base import Result, RunArguments
from infra.roles.project import group_hosts as module
from infra.roles.project.group_hosts import MARK, Drain, HostBack, read_hosts
from tests.unit.infra.deploy_bench import LabHost, quiet


def replica(name: str, state: str = "ready") -> dict[str, object]:
    return {
        "replica": name, "process": "7", "state": state, "reason": None, "device": "cuda:0", "gpu": "0",
        "engine": "torch", "version": "1", "requests": 2, "waiting": 0, "jobs": 0, "hit_ratio": 0.5,
    }  # fmt: skip


POST, LOOK, DELETE = "POST /hosts/gpu02/drain", "GET /hosts/gpu02", "DELETE /hosts/gpu02/drain"


class Ingress:
    """Tells of one host, `gpu02`. A request under way there ends when its state was asked for so many times.

    Attributes:
        drained: the host is out of service.
        known: whether it knows the host.
        deaf: to how many of the next DELETEs it does not answer.
    """

    def __init__(
        self, *, busy: int = 0, drain_status: int = 0, tells: bool = True, loading: int = 0, drained: bool = False,
        known: bool = True, deaf: int = 0,
    ) -> None:  # fmt: skip
        self.diary: list[str] = []
        self.busy = busy
        self.drain_status = drain_status
        self.tells = tells
        self.loading = loading
        self.drained = drained
        self.known = known
        self.deaf = deaf
        self.replaced = False

    def __call__(self, *argv: str, **_arguments: Unpack[RunArguments]) -> Result:
        method, path = argv[-2:]
        if path == "/hosts":
            if not self.tells:
                return Result(argv, 1, '{"detail": "Not Found"}', "")
            return Result(argv, 0, json.dumps({"hosts": [self._host()] if self.known else []}), "")
        self.diary.append(f"{method} {path}")
        if not self.known:
            return Result(argv, 1, '{"detail": "no replica of a host"}', "")
        if method == "POST":
            if self.drain_status:
                return Result(argv, self.drain_status, '{"detail": "the last host"}', "")
            self.drained = True
        if method == "GET" and not self.replaced:
            self.busy -= 1
        if method == "GET" and self.replaced:
            self.loading -= 1
        if method == "DELETE":
            self.deaf -= 1
            if self.deaf >= 0:
                return Result(argv, 2, "", "connection refused")
            self.drained = False
        return Result(argv, 0, json.dumps(self._host()), "")

    def _host(self) -> dict[str, object]:
        state = "loading" if self.replaced and self.loading >= 0 else "ready"
        return {
            "host": "gpu02", "drained": self.drained, "empty": self.drained and self.busy <= 0, "requests": 0,
            "jobs": 0, "replicas": [replica("gpu02/0", state)],
        }  # fmt: skip

    def replace(self) -> None:
        self.diary.append("replaced")
        self.replaced = True


class Bench:
    """A host, gpu02, and what it keeps of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = LabHost()
        self.host.name = "gpu02"

    def drain(self, ingress: Ingress, report: Report | None = None) -> Drain:
        return Drain(ingress, self.host, str(self.folder), report or quiet())

    def leave_mark(self) -> None:
        (self.folder / MARK).touch()

    @property
    def is_marked(self) -> bool:
        return (self.folder / MARK).exists()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)


def test_drained_replaced_back(bench: Bench) -> None:
    """Nothing is replaced before what is under way has ended, and no click comes before its replicas answer."""
    ingress = Ingress(busy=2, loading=2)
    with bench.drain(ingress).aside(1):
        assert bench.is_marked
        ingress.replace()
    assert ingress.diary == [POST, LOOK, LOOK, "replaced", LOOK, LOOK, LOOK, DELETE]
    assert not bench.is_marked


def test_the_last_host_is_replaced_as_it_is(bench: Bench) -> None:
    """Or one that the ingress has not seen yet: no other could answer in its place, or nothing to drain."""
    refused = Ingress(drain_status=1)
    with bench.drain(refused).aside(1):
        assert not bench.is_marked
        refused.replace()
    assert refused.diary == [POST, "replaced", LOOK]


def test_an_ingress_that_tells_nothing_is_not_asked(bench: Bench) -> None:
    ingress = Ingress(tells=False)
    with bench.drain(ingress).aside(1):
        ingress.replace()
    assert ingress.diary == ["replaced"]


def test_a_host_that_a_person_took_out_stays_out(bench: Bench) -> None:
    """What is under way there ends first all the same."""
    ingress = Ingress(drained=True, busy=2)
    with bench.drain(ingress).aside(1):
        ingress.replace()
    assert ingress.diary == [LOOK, LOOK, "replaced", LOOK]
    assert ingress.drained
    assert HostBack(bench.drain(ingress)).plan() == []


def test_a_host_that_a_killed_run_took_out_comes_back(bench: Bench) -> None:
    bench.leave_mark()
    ingress = Ingress(drained=True)
    with bench.drain(ingress).aside(1):
        ingress.replace()
    assert not ingress.drained
    assert not bench.is_marked


def test_it_comes_back_also_where_nothing_is_replaced(bench: Bench) -> None:
    """A plan says so and changes nothing."""
    bench.leave_mark()
    ingress = Ingress(drained=True)
    back = HostBack(bench.drain(ingress))
    planned = quiet()
    Previewer(planned).run([back])
    assert (planned.changed, ingress.diary) == (1, [])
    Applier(quiet()).run([back])
    assert (ingress.drained, bench.is_marked) == (False, False)


def test_a_host_of_which_nothing_is_known_is_not_out(bench: Bench) -> None:
    bench.leave_mark()
    bench.drain(Ingress(known=False)).end()
    assert not bench.is_marked


def test_clicks_come_again_after_an_ingress_that_starts(bench: Bench) -> None:
    ingress = Ingress(deaf=2)
    with bench.drain(ingress).aside(1):
        ingress.replace()
    assert ingress.diary[-3:] == [DELETE] * 3
    assert not ingress.drained


def test_a_host_that_cannot_be_brought_back_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next run knows that it is to bring it back."""
    monkeypatch.setattr(module, "BACK_SECONDS", 0.05)
    ingress = Ingress(deaf=10**6)
    why = "to send clicks to gpu02 again; gpu02 gets none until the next `deploy` of the group brings it back"
    with pytest.raises(LabelrigError, match=why), bench.drain(ingress).aside(1):
        ingress.replace()
    assert bench.is_marked
    report = quiet()
    with pytest.raises(RuntimeError, match="full disk"), bench.drain(ingress, report).aside(1):
        raise RuntimeError("full disk")
    assert why in report.notices[0]


def test_requests_that_do_not_end_are_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are repeated on another host."""
    monkeypatch.setattr(module, "EMPTY_SECONDS", 0.05)
    report = quiet()
    ingress = Ingress(busy=10**6)
    with bench.drain(ingress, report).aside(1):
        ingress.replace()
    assert "replaced all the same" in report.notices[0]


def test_replicas_that_do_not_come_are_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the host is not left drained."""
    monkeypatch.setattr(module, "READY_SECONDS", 0.05)
    ingress = Ingress(loading=10**6)
    with pytest.raises(WaitTimeout, match="the replicas of gpu02"), bench.drain(ingress).aside(1):
        ingress.replace()
    assert ingress.diary[-1] == DELETE


def test_an_error_meanwhile_is_not_waited_for(bench: Bench) -> None:
    ingress = Ingress()
    with pytest.raises(RuntimeError, match="full disk"), bench.drain(ingress).aside(1):
        raise RuntimeError("full disk")
    assert ingress.diary == [POST, LOOK, DELETE]


def test_facts_of_a_host() -> None:
    (host,) = read_hosts(Ingress())
    (one,) = host.replicas
    assert (host.host, host.drained, one.host, one.name, one.answers) == ("gpu02", False, "gpu02", "gpu02/0", True)
    assert (one.device, one.gpu, one.requests, one.hit_ratio) == ("cuda:0", "0", 2, 0.5)
