"""The audit log. Only `host` and `home` say which host: the bodies speak to it alone."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import ConnectionLost
from core.report import Report
from hosts.base import Host, Result
from hosts.local import LocalHost
from infra.releases.audit import AuditEvent, AuditLog

NOW = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)
EVENT = AuditEvent(who="alice", where="desk", command="deploy", commit="607e07e", result="ok", exit_code=0, seconds=9.5)


@pytest.fixture
def host() -> Host:
    return LocalHost()


@pytest.fixture
def home(tmp_path: Path, host: Host) -> str:
    home = str(tmp_path / "rig")
    host.run("mkdir", home, as_root=True)
    return home


@pytest.fixture
def log(host: Host, home: str) -> AuditLog:
    return AuditLog(host, home, Report(io.StringIO()), now=lambda: NOW)


def test_a_run_is_one_line_for_root_only(host: Host, home: str, log: AuditLog) -> None:
    log.append(EVENT)
    failed = {"result": "failed", "exit_code": 1, "release": "r1", "error": 'it said "no\\n"\nsecond line'}
    log.append(EVENT.model_copy(update=failed))
    lines = (host.read(f"{home}/audit.jsonl", as_root=True) or b"").decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "at": "2025-03-01T10:00:00Z",
            "run": "",
            "who": "alice",
            "where": "desk",
            "command": "deploy",
            "commit": "607e07e",
            "dirty": False,
            "release": None,
            "result": "ok",
            "exit_code": 0,
            "seconds": 9.5,
            "changes": 0,
            "error": None,
        },
        json.loads(lines[0]) | failed | {"error": 'it said "no\\n"'},
    ]
    assert host.run("stat", "-c", "%a", f"{home}/audit.jsonl", as_root=True).stdout == "600\n"


def test_the_last_entries_are_read_oldest_first(log: AuditLog) -> None:
    assert log.entries(5) == []
    for number in range(7):
        log.append(EVENT.model_copy(update={"changes": number}))
    assert [event.changes for event in log.entries(3)] == [4, 5, 6]
    assert [event.changes for event in log.entries(100)] == list(range(7))
    assert log.entries(0) == []


def test_a_run_is_listed_once_as_it_stands(log: AuditLog) -> None:
    """What began is replaced by how it ended; one that wrote its end after it was given up for dead did end."""
    for line in ("a began", "b began", "a ok", "b died", "c began", "b failed", " ok", " ok"):
        run, result = line.split(" ")
        log.append(EVENT.model_copy(update={"run": run, "result": result}))
    shown = [(event.run, event.result) for event in log.entries(9)]
    assert shown == [("a", "ok"), ("c", "began"), ("b", "failed"), ("", "ok"), ("", "ok")]
    assert len(log.entries(3)) == 3


def test_a_run_that_ended_did_not_die(log: AuditLog) -> None:
    """Its lock may be taken over between its last line and its end: what it wrote itself counts."""
    for run, result in (("a", "began"), ("a", "ok"), ("a", "died"), ("b", "began"), ("b", "died")):
        log.append(EVENT.model_copy(update={"run": run, "result": result}))
    assert [(event.run, event.result) for event in log.entries(9)] == [("a", "ok"), ("b", "died")]


def test_a_torn_line_costs_only_itself(host: Host, home: str, log: AuditLog) -> None:
    log.append(EVENT)
    log.append(EVENT.model_copy(update={"changes": 1}))
    host.run("truncate", "-s", "-20", f"{home}/audit.jsonl", as_root=True)
    assert [event.changes for event in log.entries(2)] == [0]
    log.append(EVENT.model_copy(update={"changes": 2}))
    assert [event.changes for event in log.entries(2)] == [0, 2]


def test_many_at_once_lose_nothing(log: AuditLog) -> None:
    events = [EVENT.model_copy(update={"changes": number, "error": "x" * 290}) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(log.append, events))
    assert sorted(event.changes for event in log.entries(100)) == list(range(40))


def test_a_refused_run_leaves_no_trace_on_a_host_without_us(host: Host, tmp_path: Path) -> None:
    report = Report(io.StringIO())
    home = str(tmp_path / "bare")
    AuditLog(host, home, report).append(EVENT)
    assert host.run("test", "-e", home, ok=(0, 1), as_root=True).exit_code == 1
    assert report.notices == []
    assert AuditLog(host, home, report).entries(3) == []


def test_a_log_that_cannot_be_written_is_a_notice() -> None:
    class Gone(LocalHost):
        def run(self, *argv: str, **_options: object) -> Result:
            raise ConnectionLost("gone: the machine went away\nmore")

    report = Report(io.StringIO())
    AuditLog(Gone(), "/srv/rig", report).append(EVENT)
    assert report.notices == [
        "this machine: this run is not in the audit log /srv/rig/audit.jsonl: gone: the machine went away"
    ]
