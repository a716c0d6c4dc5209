"""The outcomes as one Markdown text and one JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from tools.gpu_check.outcome import Outcome
from tools.gpu_check.plan import PARTS, Plan

HOLDS = {True: "yes", False: "**no**", None: "-"}


def markdown(plan: Plan, outcomes: Sequence[Outcome], seconds: float) -> str:
    """The parts in one table, then the figures of each, then what was left out."""
    kind = "Dry run on the CPU: it shows that the check works, its figures say nothing." if plan.dry_run else "On CUDA."
    titles = {part.name: part.title for part in PARTS}
    lines = [f"{kind} {seconds:.0f} s of {plan.deadline_seconds:.0f}.", ""]
    lines += _table(
        ("part", "outcome", "seconds", "why"),
        [(one.part, one.state, f"{one.seconds:.0f}", one.reason or "-") for one in outcomes],
    )
    for one in outcomes:
        if one.rows:
            rows = [(row.figure, row.measured, row.limit or "-", HOLDS[row.passed]) for row in one.rows]
            lines += ["", f"## {titles[one.part]}", "", *_table(("figure", "measured", "limit", "holds"), rows)]
        if one.tables:
            lines += ["", one.tables.rstrip()]
    left_out = [f"- {one.part}: {what}" for one in outcomes for what in one.skipped]
    left_out += [f"- {one.part}: all of it: {one.reason}" for one in outcomes if one.state == "skipped"]
    if left_out:
        lines += ["", "## Left out", "", *left_out]
    return "\n".join([*lines, ""])


def as_json(plan: Plan, outcomes: Sequence[Outcome], seconds: float) -> str:
    """Every figure and every measurement."""
    run = {"dry_run": plan.dry_run, "seconds": round(seconds, 1), "parts": [asdict(one) for one in outcomes]}
    return json.dumps(run, indent=1) + "\n"


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 where every part passed or was skipped with a reason, else 1."""
    return int(any(one.state in ("failed", "out of time") for one in outcomes))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in cells]
