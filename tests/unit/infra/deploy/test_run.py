"""One deploy on one host, around its stages: lock, hooks, what is put back, and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError, DockerException

from core.errors import ConnectionLost, HostError, LabelrigError, LockHeld, ProofFailed, RolledBack
from core.operation import Runner
from core.report import Report
from hosts.local import LocalHost
from infra.config.host_settings import HostSettings
from infra.deploy import run as module
from infra.deploy.deployment import Deployment
from infra.deploy.run import deploy_host, plan_host
from infra.fleet.run import audit_event
from infra.releases.audit import AuditEvent, AuditLog
from infra.releases.hooks import HookFailed
from infra.releases.lock import HostLock
from infra.releases.scripts import run_script
from infra.releases.store import ReleaseActive, Releases
from infra.stack.stages import Summary
from tests.recorder import RecordingHost, changes_in
from tests.unit.infra.deploy_bench import COMMIT, Here, LabHost, host_settings, options, quiet
from tests.unit.infra.releases.lock_bench import alice, bob, entries, leave
from tests.unit.infra.releases.release_bench import FACTS, files

Stages = Callable[[Deployment, Runner], None]
HOOKS = ("pre-deploy", "post-deploy", "on-failure")


class Lab:
    """A root folder of this machine, a log of what happened in which order, and what the stages do."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "root"
        self.hooks = folder / "hooks"
        self.hooks.mkdir()
        self.diary = folder / "diary"
        self.stages: Stages = lambda _deployment, _runner: None
        self.report = quiet()
        for name in HOOKS:
            self.hook(name, "true")
        monkeypatch.setattr(Deployment, "run", lambda one, runner: self._run(one, runner))

    @property
    def base(self) -> str:
        return f"{self.root}/labelrig"

    def hook(self, name: str, body: str) -> None:
        path = self.hooks / name
        values = " ".join(f'"$LABELRIG_{value}"' for value in ("RESULT", "RELEASE", "URL", "ERROR"))
        path.write_text(f"#!/bin/sh\nprintf '{name} %s|%s|%s|%s\\n' {values} >>{self.diary}\n{body}\n")
        path.chmod(0o755)

    def host_settings(self) -> HostSettings:
        return host_settings(self.root, hooks=str(self.hooks))

    def deploy(self, **changes: Any) -> None:
        deploy_host(options(**changes), self.host_settings(), self.report)

    def _run(self, one: Deployment, runner: Runner) -> None:
        with self.diary.open("a") as diary:
            held = HostLock(one.host, one.base, alice(), quiet()).status()
            who = held.owner.who.split("@")[0] if held is not None and held.owner is not None else "nobody"
            diary.write(f"stages, locked by {who}\n")
        self.stages(one, runner)

    def said(self) -> list[str]:
        return self.diary.read_text().splitlines() if self.diary.exists() else []

    def audit(self) -> list[AuditEvent]:
        return AuditLog(LabHost(), self.base, quiet()).entries(10)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def release(one: Deployment, runner: Runner) -> None:
    """Write a release and make it current, as the stage of that name does."""
    with runner.stage("release"):
        runner.run([ReleaseActive(one.releases, files(), FACTS)])
        one.release = one.releases.current()


def failing(error: Exception, *before: Stages) -> Stages:
    def stages(one: Deployment, runner: Runner) -> None:
        for part in before:
            part(one, runner)
        raise error

    return stages


def test_under_the_lock_the_hooks_come_before_and_after(lab: Lab) -> None:
    def stages(one: Deployment, runner: Runner) -> None:
        release(one, runner)
        assert one.release is not None
        one.releases.mark(one.release.id, "passed")
        nothing: Any = None
        one.summary = Summary(nothing, nothing, "demo", nothing, False, "http://gpu01:8080")

    lab.stages = stages
    lab.deploy()
    identity = str(Releases(LabHost(), lab.base).read().current_id)
    assert lab.said() == [
        "pre-deploy |||",
        "stages, locked by alice",
        f"post-deploy ok|{identity}|http://gpu01:8080|",
    ]
    assert entries(LabHost(), lab.base) == ["audit.jsonl", "current", "releases"]
    (event,) = lab.audit()
    assert event.model_dump(exclude={"at", "where", "who", "seconds", "run"}) == {
        "command": "./inv deploy",
        "commit": COMMIT.digest,
        "dirty": False,
        "release": identity,
        "result": "ok",
        "exit_code": 0,
        "changes": 2,
        "error": None,
    }
    assert event.who.startswith("alice@")


def test_a_hook_that_refuses_leaves_nothing_changed(lab: Lab) -> None:
    lab.hook("pre-deploy", "echo freeze until Monday; exit 3")
    with pytest.raises(HookFailed, match="freeze until Monday") as caught:
        lab.deploy()
    assert caught.value.exit_code == 1
    assert lab.said() == ["pre-deploy |||"]
    assert entries(LabHost(), lab.base) == ["audit.jsonl"]
    (event,) = lab.audit()
    assert (event.result, event.exit_code, event.changes, event.release) == ("refused", 1, 0, None)


def test_another_run_holds_the_host(lab: Lab) -> None:
    leave(LabHost(), lab.base, bob())
    with pytest.raises(LockHeld, match=r"the lock is held by bob@laptop .*; nothing was changed; ") as caught:
        lab.deploy()
    assert caught.value.exit_code == 4
    assert lab.said() == []
    assert entries(LabHost(), lab.base) == ["lock"]
    assert lab.report.stages == []
    # The other one ends while we wait.
    lab.hook("pre-deploy", "true")
    run_script(LabHost(), "lock", "remove", lab.base, bob().id)
    leave(LabHost(), lab.base, bob(), quiet=1000)  # and here one that died
    lab.deploy(lock_wait=5.0)
    assert lab.said()[1] == "stages, locked by alice"


def test_a_failure_before_a_release_is_told_as_it_is(lab: Lab) -> None:
    lab.stages = failing(HostError("no room for the image"))
    with pytest.raises(HostError, match=r"^no room for the image$"):
        lab.deploy()
    assert lab.said() == ["pre-deploy |||", "stages, locked by alice", "on-failure failed|||no room for the image"]
    assert entries(LabHost(), lab.base) == ["audit.jsonl"]
    (event,) = lab.audit()
    assert (event.result, event.exit_code, event.error) == ("failed", 1, "no room for the image")


def test_a_release_that_fails_its_gate_is_marked_and_put_back(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.stages = failing(ProofFailed("no mask"), release)
    with pytest.raises(ProofFailed, match=r"^no mask\nThere is no release before .* to go back to\.$"):
        lab.deploy()
    (failed,) = Releases(LabHost(), lab.base).read().releases
    assert failed.gate == "failed"
    assert lab.said()[-2:] == [
        f"on-failure failed|{failed.id}||no mask",
        f"There is no release before {failed.id} to go back to.",
    ]

    monkeypatch.setattr(
        module, "restore_previous", lambda _deployment, error, _report: RolledBack(f"{error}\nthe old one serves")
    )
    with pytest.raises(RolledBack, match=r"^no mask\nthe old one serves$") as caught:
        lab.deploy()
    assert caught.value.exit_code == 5
    assert [line for line in lab.said() if line.startswith("on-failure")][-1].startswith("on-failure rolled-back|")
    assert [(event.result, event.exit_code, event.error) for event in lab.audit()] == [
        ("failed", 1, "no mask"),
        ("rolled-back", 5, "no mask"),
    ]
    assert entries(LabHost(), lab.base) == ["audit.jsonl", "current", "releases"]


def test_hooks_after_the_work_have_nothing_left_to_stop(lab: Lab) -> None:
    lab.hook("post-deploy", "exit 1")
    lab.deploy()
    lab.hook("on-failure", "exit 1")
    lab.stages = failing(ProofFailed("no mask"))
    with pytest.raises(ProofFailed, match=r"^no mask$"):
        lab.deploy()
    assert [notice.split(" the hook ")[0] for notice in lab.report.notices] == ["gpu01:", "gpu01:"]


@pytest.mark.parametrize("error", [APIError("500"), DockerException("gone"), requests.ConnectionError("gone")])
def test_an_engine_that_stops_answering_is_an_expected_error(lab: Lab, error: Exception) -> None:
    lab.stages = failing(error)
    with pytest.raises(HostError, match=r"^gpu01: the docker engine stopped answering: (500|gone)"):
        lab.deploy()
    assert [event.result for event in lab.audit()] == ["failed"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), SystemExit(1)])
def test_run_always_releases_lock_and_connection(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Whatever ends a run, the lock is released and the connection closed."""
    made: list[LabHost] = []

    def connect(_self: Here, _wish: HostSettings, _run_id: str, _report: Report) -> LabHost:
        made.append(LabHost())
        return made[-1]

    monkeypatch.setattr(Here, "connect", connect)
    lab.stages = failing(error)  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        lab.deploy()
    assert entries(LabHost(), lab.base) == ["audit.jsonl"]
    assert [host.alive for host in made] == [False]


def test_host_that_goes_away_is_reported_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that goes away halfway is reported once, and the rest are notices."""

    def stages(one: Deployment, _runner: Runner) -> None:
        one.host.close()
        raise ConnectionLost("gpu01: the connection was lost")

    def lost(*_arguments: object, **_options: object) -> None:
        raise ConnectionLost("gpu01: no connection")

    run = LocalHost.run

    def run_or_lose(host: LabHost, *argv: str, **more: Any) -> Any:
        return run(host, *argv, **more) if host.alive else lost()

    lab.stages = stages
    monkeypatch.setattr(LabHost, "run", run_or_lose)
    with pytest.raises(ConnectionLost, match=r"^gpu01: the connection was lost$"):
        lab.deploy()
    assert lab.said()[-1] == "on-failure failed|||gpu01: the connection was lost"
    assert [notice.split(": ")[1] for notice in lab.report.notices] == [
        f"this run is not in the audit log {lab.base}/audit.jsonl",
        "the lock could not be given back, a later run takes it over",
    ]


def test_a_plan_takes_no_lock_runs_no_hook_and_writes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = RecordingHost(LabHost())
    monkeypatch.setattr(Here, "connect", lambda *_arguments: recorder)
    leave(LabHost(), lab.base, bob())
    lab.stages = release
    plan_host(options("plan"), lab.host_settings(), lab.report)
    assert lab.said() == ["stages, locked by bob"]
    assert lab.report.changed == 2
    assert changes_in(recorder) == []
    assert entries(LabHost(), lab.base) == ["lock"]


def test_a_held_host_is_refused_before_the_plan(lab: Lab) -> None:
    """A plan takes the better part of a minute: who is refused anyway learns it at once."""
    run, person = bob(), bob(kind="person", message="moving the racks")
    leave(LabHost(), lab.base, run)
    with pytest.raises(LockHeld, match=r"the lock is held by bob@laptop .*; nothing was changed; "):
        plan_host(options(), lab.host_settings(), lab.report, deploys_next=True)
    assert lab.said() == []
    assert lab.report.stages == []
    plan_host(options(lock_wait=60.0), lab.host_settings(), lab.report, deploys_next=True)
    assert lab.said() == ["stages, locked by bob"], "who waits sees the plan meanwhile"
    run_script(LabHost(), "lock", "remove", lab.base, run.id)
    leave(LabHost(), lab.base, person)
    with pytest.raises(LockHeld, match="moving the racks"):
        plan_host(options(lock_wait=60.0), lab.host_settings(), lab.report, deploys_next=True)
    run_script(LabHost(), "lock", "remove", lab.base, person.id)
    leave(LabHost(), lab.base, run, quiet=1000)  # it is dead: the deploy takes it over
    plan_host(options(), lab.host_settings(), lab.report, deploys_next=True)
    assert len(lab.said()) == 2


def test_a_plan_that_fails_closes_its_connection(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    host = LabHost()
    monkeypatch.setattr(Here, "connect", lambda *_arguments: host)
    lab.stages = failing(LabelrigError("no"))
    with pytest.raises(LabelrigError, match=r"^no$"):
        plan_host(options("plan"), lab.host_settings(), lab.report)
    assert not host.alive


def test_in_ci_the_log_says_which_run_it_was(tmp_path: Path) -> None:
    github = {"GITHUB_ACTOR": "ana", "GITHUB_REPOSITORY": "lab/x", "GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "2"}
    for environment, where in ((github, "GitHub run lab/x/77/2"), ({"USER": "alice"}, None)):
        said = options(environment=environment)
        owner = said.owner()
        event = audit_event(said, owner, quiet(), None, "ok", 0.0, None)
        assert event.where == (where or owner.machine.name)
        assert event.who == f"{environment.get('GITHUB_ACTOR') or environment['USER']}@{owner.machine.name}"


def test_each_host_of_a_run_has_an_owner_of_its_own() -> None:
    said = options()
    assert said.owner().id != said.owner().id
    assert (said.owner().command, said.owner().commit, said.owner().kind) == ("./inv deploy", COMMIT.digest, "run")
