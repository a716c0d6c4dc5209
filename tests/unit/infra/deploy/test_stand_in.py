"""A stand-in that a failed release leaves: it goes once a replica of the release before answers, and not earlier."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import WaitTimeout
from core.operation import Applier, Previewer
from infra.deploy import recovery
from infra.deploy.on_engine import stand_in_stage
from infra.deploy.recovery import end_stand_in, end_stand_in_last, serve
from infra.roles.docker.client import EngineState
from infra.roles.stack.render import RenderedFile
from infra.stack.stand_in import StandInGone
from tests.unit.infra.deploy_bench import Engine, deployment, quiet
from tests.unit.infra.releases.release_bench import FACTS, release


class StandIn:
    """One that is there."""

    def __init__(self, diary: list[str], *, there: bool = True) -> None:
        self.diary = diary
        self.there = there

    def is_there(self) -> bool:
        return self.there

    def end(self) -> None:
        self.diary.append("end")
        self.there = False


class Bench:
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.diary: list[str] = []
        self.stand_in = StandIn(self.diary)
        self.part = "head"
        self.answers = True
        self.deployment = deployment(root)
        monkeypatch.setattr(recovery, "engine_client", Engine({}))
        monkeypatch.setattr(recovery, "engine_state", lambda _host: EngineState.ANSWERS)
        monkeypatch.setattr(
            recovery, "site_of_release", lambda *_: SimpleNamespace(part=self.part, exec_in_backend=None)
        )
        monkeypatch.setattr(recovery, "stand_in", lambda *_: self.stand_in)
        monkeypatch.setattr(recovery, "until_one_serves", self._wait)

    def _site(self, *_: object) -> Any:
        return SimpleNamespace(part=self.part, exec_in_backend=None)

    def _wait(self, *_: object) -> None:
        self.diary.append("wait for a replica")
        if not self.answers:
            raise WaitTimeout("waited 600 s for the first replica to load its model")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_goes_when_a_replica_answers_again(bench: Bench) -> None:
    report = quiet()
    end_stand_in(bench.deployment, report)
    assert bench.diary == ["wait for a replica", "end"]
    assert [one.changed for one in report.stages] == [["stop the stand-in"]]
    end_stand_in(bench.deployment, report)
    assert len(bench.diary) == 2


def test_stays_and_says_so_while_none_answers(bench: Bench) -> None:
    bench.answers = False
    report = quiet()
    end_stand_in(bench.deployment, report)
    assert bench.diary == ["wait for a replica"]
    assert "the stand-in goes on answering clicks, until the next `deploy` removes it" in report.notices[0]


def test_only_a_head_has_one(bench: Bench) -> None:
    bench.part = "worker"
    end_stand_in(bench.deployment, quiet())
    assert bench.diary == []


@pytest.mark.parametrize(("replicas", "done"), [("0", ["wait for a replica", "end"]), ("1", [])])
def test_waits_for_workers_only_without_own_replicas(bench: Bench, replicas: str, done: list[str]) -> None:
    """A head with replicas has let it go when its own answered."""
    env = RenderedFile("/anywhere/stack.env", f"LABELRIG_RAY_REPLICAS='{replicas}'\n".encode(), 0o600)
    releases = bench.deployment.releases
    made = releases.write([env, RenderedFile("/anywhere/ray.yaml", b"services: {}\n", 0o644)], FACTS)
    releases.activate(made.id)
    end_stand_in_last(bench.deployment, quiet())
    assert bench.diary == done


@pytest.mark.parametrize(("replicas", "waits"), [(0, 0), (2, 1)])
def test_a_release_waits_for_its_own_replicas_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, replicas: int, waits: int
) -> None:
    """Workers come back after their head, so a head without a replica does not wait for theirs."""
    ended: list[object] = []
    key = SimpleNamespace(get_secret_value=lambda: "key")
    site = SimpleNamespace(
        files=SimpleNamespace(is_worker=False), exec_in_backend=None, settings=SimpleNamespace(api_key=key)
    )
    monkeypatch.setattr(recovery, "site_of_release", lambda *_: site)
    for name in ("refuse_unfinished", "volumes_ready", "containers_running", "converge", "backend_facts"):
        monkeypatch.setattr(recovery, name, lambda *_, **__: None)
    monkeypatch.setattr(recovery, "reached", lambda _site: nullcontext("http://there"))
    monkeypatch.setattr(recovery, "token_works", lambda *_: True)
    monkeypatch.setattr(recovery, "replicas_of", lambda *_: replicas)
    monkeypatch.setattr(recovery, "end_stand_in", lambda *_: ended.append("asked"))
    releases: Any = SimpleNamespace(activate=lambda _id: None)
    serve(bench.deployment, releases, release(1), quiet())
    assert len(ended) == waits


def test_a_run_has_a_stage_for_it_only_where_it_is_there() -> None:
    """It takes no number of the others; a plan says what would be done."""
    diary: list[str] = []
    meanwhile: Any = StandIn(diary)
    gone = StandInGone(meanwhile, lambda: diary.append("answered"))
    planned = quiet()
    stand_in_stage(Previewer(planned), gone, meanwhile)
    assert [(one.name, len(one.changed)) for one in planned.stages] == [("stand-in", 1)]
    assert diary == []
    report = quiet()
    stand_in_stage(Applier(report), gone, meanwhile)
    stand_in_stage(Applier(report), gone, meanwhile)
    assert diary == ["answered", "end"]
    assert [one.name for one in report.stages] == ["stand-in"]
