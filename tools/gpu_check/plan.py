"""What a run does, from its command line: the parts and how many seconds each may take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DEADLINE_SECONDS = 480.0  # of the whole run


@dataclass(frozen=True)
class Part:
    """One part. `seconds` is its budget of 480: what takes longer is ended, and what it had measured counts."""

    name: str
    title: str
    seconds: float


PARTS = (
    Part("machine", "The machine", 20.0),
    Part("engines", "Masks of each engine against float32 on the CPU", 140.0),
    Part("memory", "Out of memory on purpose, twice", 60.0),
    Part("clicks", "Clicks over HTTP, beside the stock predictor", 200.0),
    Part("propagate", "Masks through a sequence", 60.0),
)


@dataclass(frozen=True)
class Plan:
    """The options of one run.

    Attributes:
        parts: those that are run, in their order.
        dry_run: small, on the CPU: shows that every line of the check works, measures nothing of worth.
        deadline_seconds: of the whole run.
        wheels: a folder of wheels that this Python lacks; None takes what is installed.
        out: the folder for the report and the logs.
    """

    parts: tuple[Part, ...]
    dry_run: bool
    deadline_seconds: float
    wheels: Path | None
    out: Path

    @property
    def share(self) -> float:
        """What a part's budget is multiplied by where the whole run has another deadline."""
        return self.deadline_seconds / DEADLINE_SECONDS


def parse(arguments: Sequence[str] | None, default_out: Path) -> Plan:
    """Read the command line; `SystemExit` where it is wrong."""
    names = tuple(part.name for part in PARTS)
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_check", description="Check labelrig on this GPU.")
    parser.add_argument("--wheels", type=Path, help="folder that tools.gpu_check.gather filled; else what is installed")
    parser.add_argument("--parts", default=",".join(names), help=f"of {', '.join(names)}, by commas")
    parser.add_argument("--out", type=Path, default=default_out, help="folder for gpu.md, gpu.json and logs")
    parser.add_argument(
        "--seconds", type=float, default=DEADLINE_SECONDS, help="for the whole run (480); the parts' share it"
    )
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, small: shows that the check itself works")
    options = parser.parse_args(arguments)
    chosen = {name.strip() for name in options.parts.split(",")}
    if unknown := chosen - set(names):
        parser.error(f"--parts: {sorted(unknown)[0]!r} is none of {', '.join(names)}")
    if options.seconds <= 0:
        parser.error(f"--seconds: expected more than 0, got {options.seconds:g}")
    if options.wheels is not None and not any(options.wheels.glob("*.whl")):
        parser.error(f"--wheels: no wheel lies in {options.wheels}; python -m tools.gpu_check.gather fills it")
    parts = tuple(part for part in PARTS if part.name in chosen)
    return Plan(parts, options.dry_run, options.seconds, options.wheels, options.out)
