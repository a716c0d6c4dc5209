"""Runs the parts one after the other, each a process of its own: one that fails or hangs takes no other with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.gpu_check.outcome import Outcome, read
from tools.gpu_check.plan import Part, Plan

LAST_LINES = 3
LEAST_SECONDS = 5.0  # with less no part is begun
REPOSITORY = Path(__file__).resolve().parents[2]
Command = Callable[[Part, Path], tuple[str, ...]]


def command_of(plan: Plan) -> Command:
    """What runs a part that is to leave its outcome in a file."""
    dry = ("--dry-run",) if plan.dry_run else ()

    def command(part: Part, out: Path) -> tuple[str, ...]:
        seconds = f"{part.seconds * plan.share:g}"
        return (sys.executable, "-m", "tools.gpu_check.part", part.name, str(out), seconds, *dry)

    return command


def run_parts(
    plan: Plan, environment: Mapping[str, str], command: Command, say: Callable[[str], None], began: float | None = None
) -> list[Outcome]:
    """Every part, whatever becomes of the others; what the time does not reach is told as skipped.

    Args:
        environment: of the parts' processes.
        command: runs one part.
        say: shows one line.
        began: `time.monotonic` value from which the whole run is counted; None is now.
    """
    ends = (time.monotonic() if began is None else began) + plan.deadline_seconds
    outcomes = []
    for part in plan.parts:
        budget = part.seconds * plan.share
        seconds = min(budget, ends - time.monotonic())
        if seconds < min(LEAST_SECONDS, budget):
            outcomes.append(Outcome(part.name, "skipped", f"the run's {plan.deadline_seconds:g} s were over"))
        else:
            say(f"{part.name}: at most {seconds:.0f} s")
            outcomes.append(_run(part, seconds, plan.out, environment, command))
        last = outcomes[-1]
        say(f"{part.name}: {last.state}, {last.seconds:.0f} s" + (f": {last.reason}" if last.reason else ""))
    return outcomes


def _run(part: Part, seconds: float, out: Path, environment: Mapping[str, str], command: Command) -> Outcome:
    result, log = out / f"{part.name}.json", out / f"{part.name}.log"
    result.unlink(missing_ok=True)
    began = time.monotonic()
    with log.open("wb") as file:
        # A session of its own: what the part started ends with it, also where the part is killed.
        process = subprocess.Popen(
            command(part, result), cwd=REPOSITORY, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file,
            stderr=file, start_new_session=True,
        )  # fmt: skip
        late = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    outcome = read(result, part.name)
    outcome.seconds = time.monotonic() - began
    if late:
        outcome.state, outcome.reason = "out of time", f"it was ended after {seconds:.0f} s"
        return outcome
    if process.returncode:
        words = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        said = " | ".join(words[-LAST_LINES:]) or "it wrote nothing"
        outcome.state, outcome.reason = "failed", f"it ended with code {process.returncode}: {said}"
        return outcome
    return outcome.judged()
