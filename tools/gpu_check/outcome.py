"""What a part of the check found, and the file in which it grows: what is killed leaves what it had measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["passed", "failed", "skipped", "out of time"]


@dataclass(frozen=True)
class Row:
    """One figure, the limit it is held to, and whether it holds; None where nothing is asked of it."""

    figure: str
    measured: str
    limit: str = ""
    passed: bool | None = None


@dataclass
class Outcome:
    """Everything about one part.

    Attributes:
        reason: why it failed or was skipped, a sentence.
        seconds: wall time.
        rows: in the order in which they were measured.
        skipped: what of the part was left out, a sentence each.
        tables: Markdown, to be shown as it is.
        data: every single measurement, for the JSON file.
    """

    part: str
    state: State = "passed"
    reason: str = ""
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    tables: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def judged(self) -> Outcome:
        """Failed where a row does not hold, or where a part that was not skipped measured nothing."""
        if self.state == "passed":
            missed = [row.figure for row in self.rows if row.passed is False]
            if missed:
                self.state, self.reason = "failed", f"{len(missed)} of {len(self.rows)} do not hold: {missed[0]}"
            elif not self.rows:
                self.state, self.reason = "failed", "it measured nothing"
        return self


class Kept:
    """A part's outcome on the disk: written anew after each figure.

    Attributes:
        budget_seconds: after which the part is ended.
    """

    def __init__(self, path: Path, outcome: Outcome, budget_seconds: float) -> None:
        self.outcome = outcome
        self.budget_seconds = budget_seconds
        self._path = path
        self.save()

    def row(self, figure: str, measured: str, limit: str = "", passed: bool | None = None) -> None:
        """One more figure."""
        self.outcome.rows.append(Row(figure, measured, limit, passed))
        self.save()

    def skip(self, what: str) -> None:
        """One more thing that is left out, with the reason."""
        self.outcome.skipped.append(what)
        self.save()

    def save(self) -> None:
        """Write the file whole, by a rename."""
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self.outcome)), encoding="utf-8")
        part.replace(self._path)


def read(path: Path, part: str) -> Outcome:
    """What a part left; an empty outcome where it left nothing."""
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Outcome(part)
    return Outcome(**{**found, "rows": [Row(**row) for row in found["rows"]]})
