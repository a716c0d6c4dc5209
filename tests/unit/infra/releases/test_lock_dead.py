"""Whose lock is taken over, and whose never. Only `host` and `base` say which host."""

from __future__ import annotations

import io
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import LockHeld
from core.report import Report
from hosts.base import Host
from hosts.local import LocalHost
from infra.releases.lock import HostLock
from infra.releases.lock_owner import Machine, process_started, this_machine
from infra.releases.scripts import run_script
from tests.unit.infra.releases.lock_bench import LAPTOP, alice, bob, ended_process, entries, leave, lock


@pytest.fixture
def host() -> Host:
    return LocalHost()


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "srv" / "rig")


@pytest.fixture
def living() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("changes", "quiet", "reason"),
    [
        ({"machine": LAPTOP}, 301, r"it has shown no sign of life for 30\d s"),
        ({"process_started": 1}, 0, r"process \d+ of this machine has ended"),
        (
            {"machine": this_machine().model_copy(update={"machine_id": "m", "boot_id": "before"})},
            61,
            "was started again since then",
        ),
    ],
)
def test_it_is_taken_over(host: Host, base: str, changes: dict[str, object], quiet: int, reason: str) -> None:
    dead = alice(**changes)
    leave(host, base, dead, quiet=quiet)
    report = Report(io.StringIO())
    here = this_machine().model_copy(update={"machine_id": "m"})
    with HostLock(host, base, alice(), report, machine=here).held():
        info = lock(host, base).status()
        assert info is not None
        assert info.owner is not None
        assert info.owner.broke == (dead.id,)
    assert len(report.notices) == 1
    assert report.notices[0].startswith(f"{host.name}: took over a dead lock (")
    assert re.search(reason, report.notices[0])
    assert entries(host, base) == []


def test_who_died_is_told(host: Host, base: str) -> None:
    """Of a lock that is taken over, or released in its run's place; not of a person's."""
    told: list[tuple[str, str]] = []
    mine = HostLock(host, base, alice(), Report(io.StringIO()), died=lambda owner, why: told.append((owner.id, why)))
    leave(host, base, alice(id="killed", pid=ended_process()))
    with mine.held():
        pass
    leave(host, base, bob(id="silent"), quiet=10)
    mine.release(force=True)
    leave(host, base, alice(id="in person", kind="person"))
    mine.release(force=True)
    assert [(run, why.split(" ")[0]) for run, why in told] == [("killed", "process"), ("silent", "alice@desk")]


def test_the_chain_of_dead_runs_is_kept(host: Host, base: str) -> None:
    leave(host, base, alice(id="third", pid=ended_process(), broke=("first", "second")))
    with lock(host, base).held():
        info = lock(host, base).status()
    assert info is not None
    assert info.owner is not None
    assert info.owner.broke == ("third", "first", "second")


def test_the_process_is_gone(host: Host, base: str) -> None:
    leave(host, base, alice(pid=ended_process()))
    with lock(host, base).held():
        pass


def test_a_process_that_ended_and_was_not_collected_is_dead(host: Host, base: str) -> None:
    process = subprocess.Popen(["sleep", "60"])
    leave(host, base, alice(pid=process.pid, process_started=process_started(process.pid)))
    with pytest.raises(LockHeld), lock(host, base).held():
        pytest.fail("its owner lives")
    process.kill()
    deadline = time.monotonic() + 10
    while process_started(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    with lock(host, base).held():
        pass
    process.wait()


def test_never_judges_processes_of_another_container(host: Host, base: str) -> None:
    """The processes of another container are not ours to judge."""
    other = this_machine().model_copy(update={"pid_namespace": "pid:[2]"})
    leave(host, base, alice(pid=ended_process(), machine=other), quiet=200)
    with pytest.raises(LockHeld), lock(host, base).held():
        pytest.fail("its owner may live")


def test_a_living_process_keeps_it_however_silent(host: Host, base: str, living: subprocess.Popen[bytes]) -> None:
    owner = alice(pid=living.pid, process_started=process_started(living.pid))
    leave(host, base, owner, quiet=4000)
    with pytest.raises(LockHeld), lock(host, base).held():
        pytest.fail("its owner lives")


@pytest.mark.parametrize(
    ("machine", "quiet"),
    [
        (LAPTOP, 270),
        (this_machine().model_copy(update={"machine_id": "m", "boot_id": "before"}), 30),
        (this_machine().model_copy(update={"machine_id": "", "boot_id": "before"}), 270),
        (this_machine().model_copy(update={"name": "copy", "machine_id": "m", "boot_id": "before"}), 270),
    ],
)
def test_who_may_be_alive_is_left_alone(host: Host, base: str, machine: Machine, quiet: int) -> None:
    leave(host, base, alice(machine=machine), quiet=quiet)
    here = this_machine().model_copy(update={"machine_id": "m"})
    mine = HostLock(host, base, alice(), Report(io.StringIO()), machine=here)
    with pytest.raises(LockHeld), mine.held():
        pytest.fail("its owner may live")


def test_a_sign_of_life_between_the_look_and_the_break_saves_it(host: Host, base: str) -> None:
    late = bob()
    leave(host, base, late, quiet=400)
    seen = lock(host, base).status()
    assert seen is not None
    run_script(host, "lock", "beat", base, late.id)
    breaker = alice()
    answer = run_script(
        host, "lock", "take", base, breaker.id, breaker.model_dump_json(), "0", seen.id, seen.beat
    ).stdout
    assert answer.startswith(f"state held\nid {late.id}\n")


def test_a_folder_without_an_owner_is_stale_after_a_minute(host: Host, base: str) -> None:
    host.run("mkdir", "-p", f"{base}/lock", as_root=True)
    with (
        pytest.raises(LockHeld, match=r"held by someone unknown \(the lock folder has no owner\.json and is \d s old"),
        lock(host, base).held(),
    ):
        pytest.fail("it may be taken this moment")
    host.run("touch", "-d", "70 seconds ago", f"{base}/lock", as_root=True)
    with lock(host, base).held():
        pass


def test_an_owner_that_cannot_be_read_proves_nothing(host: Host, base: str) -> None:
    leave(host, base, bob(), quiet=9000)
    host.run("truncate", "-s", "20", f"{base}/lock/owner.json", as_root=True)
    host.run("touch", "-d", "9000 seconds ago", f"{base}/lock", as_root=True)
    with pytest.raises(LockHeld, match=r"has an owner\.json that cannot be read"), lock(host, base).held():
        pytest.fail("it may be a person's, written by a newer version")
    assert lock(host, base).release(force=True) is not None
