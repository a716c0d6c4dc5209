"""The stand-in of a head: when it is there, what comes after what, and what is left where it does not work."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, Unpack

import pytest

from core.errors import LabelrigError
from core.operation import Change, converge
from hosts.base import Result, RunArguments
from infra.stack import stand_in as module
from infra.stack.stand_in import GETS_CLICKS, SOCKET, HeadRunning, StandIn, StandInGone
from tests.unit.infra.deploy_bench import quiet


class Container:
    """The stand-in's, which ends with SIGTERM."""

    name = "labelrig-stand-in-1"

    def __init__(self, bench: Bench, config: str) -> None:
        self.bench = bench
        self.config = config
        self.status = "running"

    def kill(self, *, signal: str) -> None:
        self.bench.diary.append(f"{signal} with {self.bench.under_way} under way")
        self.status = "exited"

    def remove(self, *, force: bool) -> None:
        self.bench.diary.append("remove")
        self.bench.there = None

    def logs(self, tail: int) -> bytes:
        return b"no such model\n"


class Bench:
    """A head: its containers, its HAProxy, its ingress."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.diary: list[str] = []
        self.there: Container | None = None
        self.outdated = {"ray"}
        self.known = {"ray": "new", "sam2": "same", "stand-in": "new"}
        self.replica_answers = self.ready = self.is_up = True
        self.requests = [2, 0]  # under way at the ingress, as it is asked again
        self.under_way = 0
        self.starts_as = "running"
        self.socket_there = False
        monkeypatch.setattr(module, "PAUSE", 0.001)
        monkeypatch.setattr(module, "SWITCH_SECONDS", 0.05)
        monkeypatch.setattr(module, "READY_SECONDS", 0.05)
        monkeypatch.setattr(module, "exec_in_container", lambda _host, name: self._exec(name))

    @property
    def stand_in(self) -> StandIn:
        site: Any = SimpleNamespace(
            host=SimpleNamespace(name="gpu01"), exec_in=self._exec, exec_in_backend=self._exec("ray"),
            compose=SimpleNamespace(run=self._compose),
        )  # fmt: skip
        return StandIn(site, self.running, quiet())

    @property
    def running(self) -> Any:
        return SimpleNamespace(
            container=lambda service: self.there if service == "stand-in" else None,
            is_outdated=lambda service: service in self.outdated,
            hash_of=lambda container: container.config,
            wanted_hashes=lambda *flags: self.known if flags == ("--profile", "stand-in") else {},
            name="Label Studio and SAM2 running and healthy",
            plan=lambda: [Change("start containers", self._replace)] if self.outdated else [],
        )

    def _replace(self) -> None:
        self.diary.append("replace")
        self.outdated.clear()

    def _compose(self, *words: str, **_arguments: object) -> None:
        service = words[-1]
        assert words == ("up", "--detach", "--no-build", "--no-deps", service)
        self.diary.append(f"up {service}")
        if service == "stand-in":
            self.there = self.there or Container(self, self.known["stand-in"])
            self.there.status = self.starts_as
            self.socket_there = True

    def _exec(self, where: str) -> Any:
        def run(*argv: str, **_arguments: Unpack[RunArguments]) -> Result:
            code, out = 0, ""
            if argv == GETS_CLICKS:
                assert where == "sam2"
                code = int(not (self.is_up and self.socket_there))
            elif argv == ("rm", "-f", SOCKET):
                self.diary.append("rm its socket")
                self.socket_there = False
            elif argv[-1] == "/ready":
                code = int(not (self.replica_answers if where == "ray" else self.ready))
            else:
                assert (where, argv[-1]) == ("ray", "/hosts")
                self.diary.append(f"{self.requests[0]} at the ingress")
                replica = {
                    "replica": "gpu01/0", "state": "ready", "reason": None, "device": "cpu", "gpu": "",
                    "requests": self.requests.pop(0), "hit_ratio": None,
                }  # fmt: skip
                one = {"host": "gpu01", "drained": False, "empty": False, "replicas": [replica]}
                out = json.dumps({"hosts": [one]})
            return Result(argv, code, out, "")

        return run


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_stand_in_is_up_before_anything_is_replaced(bench: Bench) -> None:
    """And what the ingress works on is answered by then."""
    operation = HeadRunning(bench.running, bench.stand_in)
    assert [one.summary for one in operation.plan()] == [
        "start a stand-in that answers clicks while ray is replaced", "start containers"
    ]  # fmt: skip
    converge([operation], quiet())
    assert bench.diary == ["up stand-in", "2 at the ingress", "0 at the ingress", "replace"]
    assert bench.there is not None


@pytest.mark.parametrize("lacks", ["an outdated ray", "a replica", "files that know it"])
def test_no_stand_in_where_no_click_would_fail(bench: Bench, lacks: str) -> None:
    if lacks == "an outdated ray":
        bench.outdated = {"label-studio"}
    elif lacks == "a replica":
        bench.replica_answers = False
    else:
        del bench.known["stand-in"]
    assert [one.summary for one in HeadRunning(bench.running, bench.stand_in).plan()] == ["start containers"]


@pytest.mark.parametrize(
    ("trouble", "says"),
    [("exits", "does not start; its last lines:\n    no such model"), ("slow", "load its model"), ("down", "HAProxy")],
)
def test_nothing_is_touched_where_it_does_not_work(bench: Bench, trouble: str, says: str) -> None:
    """Its container goes, its last lines are in the message."""
    bench.starts_as = "exited" if trouble == "exits" else "running"
    bench.ready = trouble != "slow"
    bench.is_up = trouble != "down"
    with pytest.raises(LabelrigError, match="that serve were not touched") as caught:
        converge([HeadRunning(bench.running, bench.stand_in)], quiet())
    assert says in str(caught.value)
    assert bench.diary == ["up stand-in", "remove"]


def test_haproxy_that_changed_is_replaced_first(bench: Bench) -> None:
    bench.outdated = {"ray", "sam2"}
    bench.stand_in.start()
    assert bench.diary[:2] == ["up sam2", "up stand-in"]


def test_ends_after_haproxy_has_turned_away(bench: Bench) -> None:
    """Its socket goes before it stops listening, so that no connection is made to one that ends."""
    bench.stand_in.start()
    bench.diary.clear()
    bench.stand_in.end()
    assert bench.diary == ["rm its socket", "SIGTERM with 0 under way", "remove"]
    bench.stand_in.end()
    assert bench.diary[3:] == []


def test_the_one_of_an_interrupted_run_is_used(bench: Bench) -> None:
    """As it is where it is of this release; one of another release makes way first, gently."""
    bench.there = Container(bench, "new")
    bench.stand_in.start()
    assert bench.diary[0] == "up stand-in"
    bench.requests = [0]
    bench.there = Container(bench, "old")
    bench.diary.clear()
    bench.stand_in.start()
    assert bench.diary[:4] == ["rm its socket", "SIGTERM with 0 under way", "remove", "up stand-in"]


def test_goes_once_a_replica_has_answered(bench: Bench) -> None:
    bench.there = Container(bench, "new")
    bench.there.status = "exited"
    converge([StandInGone(bench.stand_in, lambda: bench.diary.append("answered"))], quiet())
    assert bench.diary == ["answered", "remove"]
    assert StandInGone(bench.stand_in, lambda: None).plan() == []


def test_stays_where_no_replica_answers(bench: Bench) -> None:
    def none() -> None:
        raise LabelrigError("none in 600 s")

    bench.there = Container(bench, "new")
    with pytest.raises(LabelrigError, match="none in 600 s"):
        converge([StandInGone(bench.stand_in, none)], quiet())
    assert bench.diary == []
