"""The run on hosts that serve together: what comes first, what is looked at, and whose error it is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import LabelrigError, PreflightError
from hosts.local import LocalHost
from infra.config.serving import Serving
from infra.deploy import group as module
from infra.deploy.group import GroupRun
from infra.roles.project.replicas import ReplicasMissing
from infra.stack.stages import Made
from tests.unit.infra.deploy_bench import host_settings, quiet

SERVING = Serving("lab", "gpu01", {f"gpu0{n}": f"10.0.0.{n}" for n in (1, 2, 3)}, 6379, (10100, 10163))


class Member:
    """One host's run: writes into the diary, and fails where it is told to."""

    def __init__(self, name: str, diary: list[str], fails: dict[str, LabelrigError]) -> None:
        self.host: Any = LocalHost()
        self.host.name = name
        self.host_settings = host_settings().model_copy(update={"name": name, "data": None, "gpu": "auto"})
        self.base = "/srv/labelrig/labelrig"
        self.place: Any = None
        self.made: Any = None
        self.before_gate: Any = None
        self.first_replica: Any = lambda: self._do("first replica")
        self.summary: Any = None
        self._diary = diary
        self._fails = fails

    def _do(self, what: str) -> None:
        name = f"{what} {self.host.name}"
        self._diary.append(name)
        if name in self._fails:
            raise self._fails[name]

    def check(self, _run: object, _spec: object) -> None:
        self._do("check")

    def container_user(self) -> int:
        return 61041

    def prepare(self, _run: object) -> None:
        self._do("prepare")

    def make(self, _run: object, _spec: object) -> None:
        self._do("make")
        site: Any = SimpleNamespace(exec_in_backend=None)
        self.made = Made(site, "tiny", [])
        if self.before_gate is not None:
            self.before_gate()
        self._do("gate")
        self.summary = SimpleNamespace(proof=SimpleNamespace(model_version="tiny-1"))

    def join(self, _run: object, head: Made) -> None:
        self._do(f"join {head.model}")

    def proven(self, version: str) -> None:
        self._do(f"proven {version}")

    def tail(self) -> str:
        return f" (the log of {self.host.name})"


class Bench:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.diary: list[str] = []
        self.fails: dict[str, LabelrigError] = {}
        self.between: dict[str, list[str]] = {}
        monkeypatch.setattr(module, "member_problems", lambda *_: dict(self.between))
        monkeypatch.setattr(module, "stack_project", lambda _settings: None)
        monkeypatch.setattr(module, "read_gpu", lambda host: host.name)
        monkeypatch.setattr(module, "choose", self._choose)
        self.gpus = {"gpu01": 0, "gpu02": 0, "gpu03": 0}

    def _choose(self, name: str, _setting: str, _cuda: str) -> SimpleNamespace:
        return SimpleNamespace(use=self.gpus[name] > 0, gpus=("gpu",) * self.gpus[name])

    def group(self) -> GroupRun:
        members: list[Any] = [Member(name, self.diary, self.fails) for name in SERVING.members]
        sessions: Any = {name: SimpleNamespace(report=quiet()) for name in SERVING.members}
        return GroupRun(SERVING, sessions, members[0], members[1:])

    def runs(self) -> dict[str, Any]:
        return {name: SimpleNamespace(report=quiet()) for name in SERVING.members}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


CHECKED = ["check gpu01", "check gpu02", "check gpu03"]
PREPARED = [*CHECKED, "prepare gpu02", "prepare gpu03"]


def test_images_then_head_then_workers_then_gate(bench: Bench) -> None:
    """What takes long comes before anybody is disturbed; a worker's release counts once all have passed."""
    bench.group().deploy(bench.runs())
    after = [
        "make gpu01",
        "join tiny gpu02",
        "first replica gpu01",  # of a head without one: its stand-in makes way
        "join tiny gpu03",
        "first replica gpu01",
        "gate gpu01",
        "proven tiny-1 gpu02",
        "proven tiny-1 gpu03",
    ]
    assert bench.diary == [*PREPARED, *after]


def test_plan_is_of_all_hosts(bench: Bench) -> None:
    bench.group().plan(bench.runs())
    assert bench.diary == [*PREPARED, "make gpu01", "gate gpu01", "join tiny gpu02", "join tiny gpu03"]


def test_problems_of_all_hosts_come_together(bench: Bench) -> None:
    """And before the hosts are compared with each other: a host that lacks memory is no reason to wait for ports."""
    bench.fails = {"check gpu01": PreflightError(["no memory"]), "check gpu03": PreflightError(["no disk", "no sudo"])}
    bench.between = {"gpu02": ["its clock"]}
    group = bench.group()
    with pytest.raises(PreflightError) as caught:
        group.deploy(bench.runs())
    assert list(caught.value.problems) == ["gpu01: no memory", "gpu03: no disk", "gpu03: no sudo"]
    assert bench.diary == CHECKED
    assert set(group.ended) == {"gpu03"}


def test_what_is_wrong_between_hosts_stops_all(bench: Bench) -> None:
    bench.between = {"gpu02": ["its clock"]}
    group = bench.group()
    with pytest.raises(PreflightError, match="gpu02: its clock"):
        group.deploy(bench.runs())
    assert bench.diary == CHECKED
    assert set(group.ended) == {"gpu02"}


def test_shared_cache_is_tried_with_each_hosts_user(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ports and clocks, and before anything is changed."""
    asked: list[Any] = []

    def problems(hosts: Any, serving: Serving, users: Any, _show: object) -> dict[str, list[str]]:
        asked.append((sorted(hosts), serving.shared_cache, users))
        return {"gpu03": ["is not a folder"]}

    monkeypatch.setattr(module, "shared_cache_problems", problems)
    group = bench.group()
    group.serving = replace(SERVING, shared_cache="/NAS/cache")
    bench.between = {"gpu02": ["its clock"]}
    with pytest.raises(PreflightError, match="gpu02: its clock"):
        group.deploy(bench.runs())
    assert asked == []
    bench.between = {}
    with pytest.raises(PreflightError, match="gpu03: is not a folder"):
        group.deploy(bench.runs())
    assert asked == [(list(SERVING.members), "/NAS/cache", dict.fromkeys(SERVING.members, 61041))]
    assert bench.diary == [*CHECKED, *CHECKED]


def test_a_worker_that_fails_is_named(bench: Bench) -> None:
    """Those after it are not touched, no gate is tried, and no release counts as passed."""
    bench.fails = {"join tiny gpu02": LabelrigError("its disk is full")}
    group = bench.group()
    with pytest.raises(LabelrigError, match="gpu02: its disk is full"):
        group.deploy(bench.runs())
    assert bench.diary == [*PREPARED, "make gpu01", "join tiny gpu02"]
    assert str(group.ended["gpu02"]) == "its disk is full"


def test_all_workers_are_proven_though_one_cannot_be(bench: Bench) -> None:
    bench.fails = {"proven tiny-1 gpu02": LabelrigError("its disk is full")}
    group = bench.group()
    with pytest.raises(LabelrigError, match="gpu02: its disk is full"):
        group.deploy(bench.runs())
    assert bench.diary[-2:] == ["proven tiny-1 gpu02", "proven tiny-1 gpu03"]
    assert set(group.ended) == {"gpu02"}


def test_missing_replicas_come_with_their_log(bench: Bench) -> None:
    bench.fails = {"gate gpu01": ReplicasMissing("gpu03 (1 of 1 missing)", ("gpu03",))}
    group = bench.group()
    with pytest.raises(ReplicasMissing, match=r"gpu03 \(1 of 1 missing\) \(the log of gpu03\)"):
        group.deploy(bench.runs())
    assert set(group.ended) == {"gpu03"}
    assert not [line for line in bench.diary if line.startswith("proven")]


@pytest.mark.parametrize(
    ("gpus", "replicas", "has_gpus"),
    [
        ((0, 0, 0), (1, 1, 1), False),
        ((1, 2, 4), (1, 2, 4), True),
        ((0, 1, 1), (0, 1, 1), True),
    ],
)
def test_a_replica_for_each_gpu(bench: Bench, gpus: tuple[int, ...], replicas: tuple[int, ...], has_gpus: bool) -> None:
    """Or one on each host where there is none; a head may be without."""
    bench.gpus = dict(zip(SERVING.members, gpus, strict=True))
    group = bench.group()
    group.plan(bench.runs())
    for one in group.all:
        assert one.place is not None
        assert tuple(one.place.replicas.values()) == replicas
        assert one.place.gpus is has_gpus
        assert one.place.host == one.host.name


def test_a_worker_without_a_gpu_beside_others_is_refused(bench: Bench) -> None:
    bench.gpus = {"gpu01": 1, "gpu02": 0, "gpu03": 1}
    with pytest.raises(PreflightError, match="gpu02: has no GPU that can be used, and others of the group have"):
        bench.group().deploy(bench.runs())
    assert bench.diary == CHECKED
