from __future__ import annotations

import getpass
import os
import subprocess
from datetime import UTC, datetime

import pytest

from infra.releases import lock_owner
from infra.releases.lock_owner import ci_run, parse_owner, process_lives, process_started, this_machine, this_run, who
from tests.unit.infra.releases.lock_bench import LAPTOP, alice, bob

GITHUB = {"GITHUB_REPOSITORY": "lab/rig", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_ACTOR": "ana"}
GITLAB = {"CI_PROJECT_PATH": "lab/rig", "CI_PIPELINE_ID": "8", "CI_JOB_ID": "9", "GITLAB_USER_LOGIN": "eva"}


def test_this_run_is_this_process() -> None:
    owner = this_run("deploy", "abc", environment=GITHUB, now=lambda: datetime(2025, 3, 1, tzinfo=UTC))
    assert owner.machine == this_machine()
    assert (owner.pid, owner.process_started) == (os.getpid(), process_started(os.getpid()))
    assert (owner.who, owner.ci_run) == (f"ana@{owner.machine.name}", "GitHub run lab/rig/7/2")
    assert owner.taken_at == "2025-03-01T00:00:00Z"
    assert parse_owner(owner.model_dump_json()) == owner


@pytest.mark.parametrize(
    ("environment", "person", "run"),
    [
        (GITHUB | {"USER": "runner"}, "ana@desk", "GitHub run lab/rig/7/2"),
        (GITLAB | {"USER": "runner"}, "eva@desk", "GitLab pipeline lab/rig/8/9"),
        ({"LOGNAME": "bob", "USER": "bob"}, "bob@desk", None),
        ({}, f"{getpass.getuser()}@desk", None),
    ],
)
def test_who_and_which_run(environment: dict[str, str], person: str, run: str | None) -> None:
    assert (who(environment, "desk"), ci_run(environment)) == (person, run)


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a number of its own."""
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert who({}, "desk") == "uid 54321@desk"


def test_own_is_same_person_and_machine_or_same_ci_run() -> None:
    """Own is the same person on the same machine or the same ci run."""
    assert alice().is_own(alice())
    assert not alice().is_own(alice(machine=LAPTOP))
    assert not alice().is_own(bob())
    assert alice(ci_run="GitHub run 1").is_own(bob(ci_run="GitHub run 1"))
    assert not alice(ci_run="GitHub run 1").is_own(alice(ci_run="GitHub run 2"))
    assert not alice(ci_run="GitHub run 1").is_own(alice())


def test_reused_process_number_is_another_process() -> None:
    """A process number that was given again is another process."""
    started = process_started(os.getpid())
    assert started is not None
    assert process_lives(os.getpid(), started) is True
    assert process_lives(os.getpid(), started - 1) is False
    assert process_lives(os.getpid(), None) is None


def test_a_program_name_with_brackets_and_spaces_is_read_over() -> None:
    with subprocess.Popen(
        ["/bin/bash", "-c", "printf ') Z 1 (' >/proc/self/comm; echo; read -r _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        started = process_started(process.pid)
        assert started is not None
        assert process_lives(process.pid, started) is True
        process.kill()


def test_a_process_that_we_are_not_let_see_is_not_called_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(lock_owner, "_text", lambda _path: "")  # /proc mounted with hidepid
    monkeypatch.setattr(os, "kill", refuse)
    assert process_lives(1, 5) is None


def test_an_owner_file_of_another_version_is_not_read() -> None:
    assert parse_owner("") is None
    assert parse_owner('{"id": "x"') is None
    assert parse_owner('{"id": "x", "kind": "robot"}') is None
