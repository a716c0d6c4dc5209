"""A stand-in that a failed release leaves: it goes once a replica of the release before answers, and not earlier."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import WaitTimeout
from core.operation import Applier, Previewer
from infra.deploy import recovery
from infra.deploy.on_engine import stand_in_stage
from infra.deploy.recovery import end_stand_in
from infra.roles.docker.client import EngineState
from infra.stack.stand_in import StandInGone
from tests.unit.infra.deploy_bench import Engine, deployment, quiet


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
