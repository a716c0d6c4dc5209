"""Runs the lanes of `./inv test` side by side: each a process of its own with its log, its lines shown as they come.

Every lane runs to its end, also where another one fails. Ctrl-C interrupts the children first, so that tests remove
what they started, and kills what is left after a while.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from core.report import Report

INTERRUPT_GRACE_SECONDS = 60.0
LAST_LINES = 50
# Names the lane to its commands, for what two lanes must not share.
LANE_VARIABLE = "TEST_LANE"
# A run starts a thousand Pythons. Each would compile all that it imports: more than half of what `./inv` takes.
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
# From here on pytest repeats itself: shown at the end, when all lanes are done.
DETAILS = re.compile(r"=+ (FAILURES|ERRORS|warnings summary|short test summary info) =+$")
SHORT_SUMMARY = re.compile(r"=+ short test summary info =+$")

State = Literal["ok", "failed", "not run"]


@dataclass(frozen=True)
class Lane:
    """Commands that run one after the other, all of them.

    Attributes:
        after: lanes that must have passed before.
        alone: no lane runs beside it.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    after: tuple[str, ...] = ()
    alone: bool = False


@dataclass
class Outcome:
    """How a lane ended. `details` are the lines that were not shown while it ran; `seconds` is wall time."""

    name: str
    state: State
    seconds: float = 0.0
    details: list[str] = field(default_factory=list)
    last_line: str = ""

    def closing(self) -> list[str]:
        """What to show at the end: all details of a failure, else what was skipped."""
        if self.state == "failed":
            return self.details
        starts = [number for number, line in enumerate(self.details) if SHORT_SUMMARY.match(line)]
        return self.details[starts[-1] : -1] if starts else []


class Lanes:
    """Runs lanes, at most `at_once` at a time, in their order as soon as what they come after has passed."""

    def __init__(self, report: Report, logs: Path, at_once: int) -> None:
        """Args: logs: an existing folder, which gets `NAME.log` of each lane."""
        self._report = report
        self._logs = logs
        self._at_once = at_once
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._width = 0

    def run(self, lanes: Sequence[Lane]) -> list[Outcome]:
        """Run them all; the outcomes are in the order of `lanes`."""
        self._width = max(len(lane.name) for lane in lanes)
        waiting = list(lanes)
        running: dict[str, Lane] = {}
        done: dict[str, Outcome] = {}
        ended: queue.Queue[Outcome] = queue.Queue()
        threads: list[threading.Thread] = []
        with _terminated_as_interrupted():
            try:
                while len(done) < len(lanes):
                    for lane in _startable(waiting, running, done, self._at_once):
                        waiting.remove(lane)
                        if _blocked(lane, done):
                            done[lane.name] = Outcome(lane.name, "not run")
                            self._say(lane.name, f"not run: needs {', '.join(lane.after)}")
                            continue
                        running[lane.name] = lane
                        thread = threading.Thread(target=lambda one=lane: ended.put(self._run(one)), daemon=True)
                        thread.start()
                        threads.append(thread)
                    if running:
                        outcome = ended.get()
                        del running[outcome.name]
                        done[outcome.name] = outcome
                        self._say(outcome.name, f"{outcome.state}, {outcome.seconds:.0f} s")
            except BaseException:
                self._interrupt()
                raise
        for thread in threads:
            thread.join()
        return [done[lane.name] for lane in lanes]

    def _run(self, lane: Lane) -> Outcome:
        began = time.monotonic()
        outcome = Outcome(lane.name, "ok")
        with (self._logs / f"{lane.name}.log").open("w", encoding="utf-8") as log:
            for command in lane.commands:
                try:
                    code = self._command(lane.name, command, log, outcome)
                except OSError as error:
                    outcome.details.append(f"{command[0]}: {error.strerror}")
                    code = 127
                if code != 0:
                    outcome.state = "failed"
        outcome.seconds = time.monotonic() - began
        return outcome

    def _command(self, name: str, command: tuple[str, ...], log: IO[str], outcome: Outcome) -> int:
        with self._lock:
            if self._stopping:
                return 1
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=_environment(name),
                start_new_session=True,
            )
            self._processes[name] = process
        lines: list[str] = []
        details = len(outcome.details)
        with process:
            for raw in process.stdout or ():
                line = raw.rstrip()
                log.write(line + "\n")
                log.flush()
                if line:
                    lines.append(line)
                if DETAILS.match(line) or len(outcome.details) > details:
                    outcome.details.append(line)
                elif line:
                    self._say(name, line)
        with self._lock:
            del self._processes[name]
        code = process.returncode
        outcome.last_line = lines[-1] if lines else ""
        if code and len(outcome.details) == details:  # not pytest, or it did not get to its summary
            outcome.details.extend(lines[-LAST_LINES:])
        return code

    def _say(self, name: str, text: str) -> None:
        self._report.info(f"{name:<{self._width}} | {text}")

    def _interrupt(self) -> None:
        with self._lock:
            self._stopping = True
            processes = list(self._processes.values())
        try:
            _signal(processes, signal.SIGINT)
            deadline = time.monotonic() + INTERRUPT_GRACE_SECONDS
            for process in processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            _signal(processes, signal.SIGKILL)


def _startable(
    waiting: Sequence[Lane], running: Mapping[str, Lane], done: dict[str, Outcome], at_once: int
) -> Iterator[Lane]:
    """Those that may start now, also those that can never run because what they need failed."""
    free = 0 if any(lane.alone for lane in running.values()) else at_once - len(running)
    is_idle = not running
    for lane in list(waiting):
        if not all(name in done for name in lane.after):
            continue
        if _blocked(lane, done):
            yield lane
        elif free > 0 and (is_idle or not lane.alone):
            free = 0 if lane.alone else free - 1
            is_idle = False
            yield lane


def _blocked(lane: Lane, done: dict[str, Outcome]) -> bool:
    return any(done[name].state != "ok" for name in lane.after)


def _environment(lane: str) -> dict[str, str]:
    """The caller's; unbuffered, so that each result shows when it is known, and not with the last one."""
    callers = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    return callers | {"PYTHONUNBUFFERED": "1", LANE_VARIABLE: lane}


def _signal(processes: Sequence[subprocess.Popen[str]], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A CI that cancels a job sends SIGTERM: children in sessions of their own would outlive it.

    Children inherit an ignored SIGINT, as of a shell's background job; a handler of ours gives them the default.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
