"""Many processes want the lock of one host at once: never two hold it, and each gets its turn."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.repository import REPOSITORY

# Processes that start one another on a busy machine.
pytestmark = pytest.mark.timeout(300)

WORKER = Path(__file__).with_name("lock_worker.py")
DEADLINE = 240.0
KILLED = -9


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    (tmp_path / "counter").write_text("0")
    return tmp_path


def race(arena: Path, deaths: Sequence[int], takes: int) -> list[int]:
    """Start one process for each entry of `deaths` (see the worker) and return how they ended."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(arena / "srv" / "rig"), str(arena), str(takes), str(die_every)],
            env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        )
        for die_every in deaths
    ]
    try:
        return [process.wait(DEADLINE) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def turns(arena: Path) -> list[tuple[int, float, float]]:
    """Process, when it asked, when it got the lock; in the order of getting."""
    lines = (arena / "log").read_text().splitlines()
    return [(int(pid), float(asked), float(got)) for pid, asked, got in (line.split() for line in lines)]


def test_eight_processes_take_turns(arena: Path) -> None:
    assert race(arena, [0] * 8, takes=6) == [0] * 8
    assert (arena / "counter").read_text() == "48"
    took = turns(arena)
    # Nobody starves: while one waits in line no other comes twice. The few above that are for the way into the line.
    for pid, asked, got in took:
        between = [other for other, _asked, other_got in took if asked < other_got < got and other != pid]
        assert max((between.count(other) for other in between), default=0) <= 5


def test_the_lock_of_a_killed_process_goes_to_one_other(arena: Path) -> None:
    ended = race(arena, [0, 0, 0, 3, 4, 5], takes=6)
    assert ended == [0, 0, 0, KILLED, KILLED, KILLED]
    assert (arena / "counter").read_text() == str(6 + 6 + 6 + 3 + 4 + 5)
    assert sorted(path.name for path in (arena / "srv" / "rig").iterdir()) == [".lock-queue"]
