"""What a dead run left running on the host, and how the next run meets it."""

from __future__ import annotations

import io
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.report import Report
from hosts.base import Host
from hosts.local import LocalHost
from infra.releases.leftovers import wait_for_leftovers

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def host() -> Host:
    return LocalHost()


@pytest.fixture
def run_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def start(run_id: str) -> Iterator[Start]:
    """Start a command as the run `run_id` would have."""
    started: list[subprocess.Popen[bytes]] = []

    def command(*argv: str, executable: str | None = None) -> subprocess.Popen[bytes]:
        environment = {"LABELRIG_RUN": run_id, "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(argv, env=environment, executable=executable, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield command
    for process in started:
        process.kill()
        process.communicate()


def test_none_is_the_usual_case(host: Host, run_id: str) -> None:
    report = Report(io.StringIO())
    wait_for_leftovers(host, run_id, report)
    assert report.notices == []


def test_a_command_that_ends_is_waited_for_and_shown(host: Host, run_id: str, start: Start) -> None:
    process = start("sleep", "1.3")
    report = Report(io.StringIO())
    wait_for_leftovers(host, run_id, report, deadline=30)
    assert process.poll() == 0
    assert len(report.notices) == 1
    assert f"  {process.pid} sleep 1.3" in report.notices[0]


def test_a_command_that_does_not_end_is_ended(host: Host, run_id: str, start: Start) -> None:
    stubborn = start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == b"ready\n"
    polite = start("sleep", "60")
    report = Report(io.StringIO())
    wait_for_leftovers(host, run_id, report, deadline=0, grace=1)
    assert (polite.wait(5), stubborn.wait(5)) == (-15, -9)
    (terminated,) = [one for one in report.notices if "sending TERM to" in one]
    (killed,) = [one for one in report.notices if "sending KILL to" in one]
    assert f"{polite.pid} sleep 60" in terminated
    # What the shell just waits for stands there too, before or behind it.
    assert f"{stubborn.pid} sh -c" in killed
    assert f"{polite.pid} " not in killed


def test_other_runs_and_commands_are_left_alone(host: Host, run_id: str, start: Start) -> None:
    start("sleep", "60")
    report = Report(io.StringIO())
    wait_for_leftovers(host, run_id[:-1], report, deadline=0, grace=0)
    wait_for_leftovers(host, f"{run_id}0", report, deadline=0, grace=0)
    assert report.notices == []


def test_a_docker_engine_that_the_run_started_is_left_alone(
    host: Host, run_id: str, start: Start, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine = tmp_path_factory.mktemp("bin") / "dockerd"
    engine.write_bytes(Path("/bin/sleep").read_bytes())
    engine.chmod(0o755)
    process = start(str(engine), "60")
    time.sleep(0.1)
    wait_for_leftovers(host, run_id, Report(io.StringIO()), deadline=0, grace=0)
    assert process.poll() is None


def test_the_question_does_not_find_itself(host: Host, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELRIG_RUN", run_id)  # LocalHost hands its environment on
    report = Report(io.StringIO())
    wait_for_leftovers(host, run_id, report, deadline=0, grace=0)
    assert report.notices == []
