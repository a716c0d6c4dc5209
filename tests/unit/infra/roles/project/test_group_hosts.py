"""A host that is taken out while it is replaced: in which order, and what happens where the ingress cannot help."""

from __future__ import annotations

import json
from typing import Unpack

import pytest

from core.errors import WaitTimeout
from hosts.base import Result, RunArguments
from infra.roles.project import group_hosts as module
from infra.roles.project.group_hosts import out_of_service, read_hosts
from tests.unit.infra.deploy_bench import quiet


def replica(name: str, state: str = "ready") -> dict[str, object]:
    return {
        "replica": name, "process": "7", "state": state, "reason": None, "device": "cuda:0", "gpu": "0",
        "engine": "torch", "version": "1", "requests": 2, "waiting": 0, "jobs": 0, "hit_ratio": 0.5,
    }  # fmt: skip


class Ingress:
    """Tells of one host, `gpu02`. A request under way there ends when its state was asked for so many times."""

    def __init__(self, *, busy: int = 0, drain_status: int = 0, tells: bool = True, loading: int = 0) -> None:
        self.diary: list[str] = []
        self.busy = busy
        self.drain_status = drain_status
        self.tells = tells
        self.loading = loading
        self.replaced = False

    def __call__(self, *argv: str, **_arguments: Unpack[RunArguments]) -> Result:
        method, path = argv[-2:]
        if path == "/hosts":
            if not self.tells:
                return Result(argv, 1, '{"detail": "Not Found"}', "")
            return Result(argv, 0, json.dumps({"hosts": [self._host(drained=False)]}), "")
        self.diary.append(f"{method} {path}")
        if method == "POST":
            answer: object = self._host(drained=True) if not self.drain_status else {"detail": "the last host"}
            return Result(argv, self.drain_status, json.dumps(answer), "")
        if method == "GET" and not self.replaced:
            self.busy -= 1
        if method == "GET" and self.replaced:
            self.loading -= 1
        return Result(argv, 0, json.dumps(self._host(drained=True)), "")

    def _host(self, *, drained: bool) -> dict[str, object]:
        state = "loading" if self.replaced and self.loading >= 0 else "ready"
        return {
            "host": "gpu02", "drained": drained, "empty": drained and self.busy <= 0, "requests": 0, "jobs": 0,
            "replicas": [replica("gpu02/0", state)],
        }  # fmt: skip

    def replace(self) -> None:
        self.diary.append("replaced")
        self.replaced = True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)


def test_drained_replaced_back() -> None:
    """Nothing is replaced before what is under way has ended, and no click comes before its replicas answer."""
    ingress = Ingress(busy=2, loading=2)
    with out_of_service(ingress, "gpu02", 1, quiet()):
        ingress.replace()
    drain = "POST /hosts/gpu02/drain"
    look = "GET /hosts/gpu02"
    assert ingress.diary == [drain, look, look, "replaced", look, look, look, "DELETE /hosts/gpu02/drain"]


@pytest.mark.parametrize("refused", [Ingress(drain_status=1)])
def test_the_last_host_is_replaced_as_it_is(refused: Ingress) -> None:
    """Or one that the ingress has not seen yet: no other could answer in its place, or nothing to drain."""
    with out_of_service(refused, "gpu02", 1, quiet()):
        refused.replace()
    assert refused.diary == ["POST /hosts/gpu02/drain", "replaced", "GET /hosts/gpu02"]


def test_an_ingress_that_tells_nothing_is_not_asked() -> None:
    ingress = Ingress(tells=False)
    with out_of_service(ingress, "gpu02", 1, quiet()):
        ingress.replace()
    assert ingress.diary == ["replaced"]


def test_requests_that_do_not_end_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are repeated on another host."""
    monkeypatch.setattr(module, "EMPTY_SECONDS", 0.05)
    report = quiet()
    ingress = Ingress(busy=10**6)
    with out_of_service(ingress, "gpu02", 1, report):
        ingress.replace()
    assert "replaced all the same" in report.notices[0]


def test_replicas_that_do_not_come_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the host is not left drained."""
    monkeypatch.setattr(module, "READY_SECONDS", 0.05)
    ingress = Ingress(loading=10**6)
    with pytest.raises(WaitTimeout, match="the replicas of gpu02"), out_of_service(ingress, "gpu02", 1, quiet()):
        ingress.replace()
    assert ingress.diary[-1] == "DELETE /hosts/gpu02/drain"


def test_an_error_meanwhile_is_not_waited_for() -> None:
    ingress = Ingress()
    with pytest.raises(RuntimeError, match="full disk"), out_of_service(ingress, "gpu02", 1, quiet()):
        raise RuntimeError("full disk")
    assert ingress.diary == ["POST /hosts/gpu02/drain", "GET /hosts/gpu02", "DELETE /hosts/gpu02/drain"]


def test_facts_of_a_host() -> None:
    (host,) = read_hosts(Ingress())
    (one,) = host.replicas
    assert (host.host, host.drained, one.host, one.name, one.answers) == ("gpu02", False, "gpu02", "gpu02/0", True)
    assert (one.device, one.gpu, one.requests, one.hit_ratio) == ("cuda:0", "0", 2, 0.5)
