"""What a check found, and what all of them together mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property

MARKS = {"ok": "✓", "warning": "!", "broken": "✗", "skipped": "-"}
INDENT = " " * 6


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What one check saw, and the command or step that repairs it where something is wrong."""

    result: Verdict
    seen: str
    fix: str = ""


def ok(seen: str) -> Finding:
    """The link holds."""
    return Finding(Verdict.OK, seen)


def warning(seen: str, fix: str) -> Finding:
    """The link holds, and something about it is not as it should be."""
    return Finding(Verdict.WARNING, seen, fix)


def broken(seen: str, fix: str) -> Finding:
    """The link does not hold."""
    return Finding(Verdict.BROKEN, seen, fix)


def skipped(because: str) -> Finding:
    """The link could not be looked at."""
    return Finding(Verdict.SKIPPED, f"because {because}")


@dataclass(frozen=True)
class Check:
    """One link of the chain.

    Attributes:
        id: stable, for programs: `ls-to-sam2`.
        title: the link in words.
        result: how it is.
        seen: what was seen; its first line stands for all of it.
        fix: what to do, empty where all is well.
        seconds: wall time.
    """

    id: str
    title: str
    result: Verdict
    seen: str
    fix: str
    seconds: float

    def line(self) -> str:
        """One line for people; what else was seen, and the fix, stand below it."""
        first, *more = self.seen.splitlines() or [""]
        word = "" if self.result is Verdict.OK else f"{self.result}: "
        if self.result is Verdict.SKIPPED:
            word, first = "skipped ", f"({first})"
        lines = [f"  {MARKS[self.result]} {self.id:<12} {word}{first}", *(f"{INDENT}{line}" for line in more)]
        return "\n".join([*lines, f"{INDENT}fix: {self.fix}"] if self.fix else lines)


@dataclass(frozen=True)
class Diagnosis:
    """All checks of one stack, in the order of the chain. `code_if_broken`: of its own for an unreachable host."""

    host: str
    checks: tuple[Check, ...]
    code_if_broken: int = 1

    @cached_property
    def first_broken(self) -> Check | None:
        """The link to repair first: those behind it may hold once it does."""
        return self._first(Verdict.BROKEN)

    @property
    def exit_code(self) -> int:
        """0: all holds. 1: something is broken. 2: warnings only. 6: the host cannot be reached."""
        if self.first_broken is not None:
            return self.code_if_broken
        return 2 if self._first(Verdict.WARNING) is not None else 0

    @property
    def verdict(self) -> str:
        """The one sentence that a person needs."""
        if (worst := self.first_broken) is not None:
            return f"first broken link: {worst.id}: {_first_line(worst.seen)} — fix: {worst.fix}"
        if (worst := self._first(Verdict.WARNING)) is not None:
            count = sum(check.result is Verdict.WARNING for check in self.checks)
            noun = "warning" if count == 1 else f"{count} warnings, the first"
            return f"no broken link; {noun}: {worst.id}: {_first_line(worst.seen)} — fix: {worst.fix}"
        seconds = sum(check.seconds for check in self.checks)
        return f"every link holds ({len(self.checks)} checks, {seconds:.1f} s)"

    def text(self) -> str:
        """For people: one line a check, then the verdict."""
        return "\n".join([f"{self.host}:", *(check.line() for check in self.checks), "", self.verdict])

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "host": self.host,
            "checks": [{**asdict(check), "seconds": round(check.seconds, 3)} for check in self.checks],
            "verdict": self.verdict,
            "first_broken": None if self.first_broken is None else self.first_broken.id,
            "exit_code": self.exit_code,
        }

    def _first(self, result: Verdict) -> Check | None:
        return first_with(self.checks, result)


def first_with(checks: Sequence[Check], result: Verdict) -> Check | None:
    """The first check that ended so."""
    return next((check for check in checks if check.result is result), None)


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0].rstrip(":")
