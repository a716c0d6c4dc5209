"""Operations: read the state, say the changes, and only then apply them.

An operation names one state ("docker engine running"). `plan` reads and returns the changes that
lead there, an empty list when nothing is to do. The same `plan` is asked again after the changes were
applied: a check that does not recognise its own result shows on the first run, not on the hundredth.

The same operations serve two runners: `Applier` brings them about, `Previewer` only shows what would change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from core.errors import CannotKnow, LabelrigError, NotConverged
from core.report import Report, Stage


@dataclass(frozen=True)
class Change:
    """One step. `summary` begins with a verb ("install docker.io"); `diff` is text with secrets masked."""

    summary: str
    apply: Callable[[], None]
    diff: str = ""


class Operation(Protocol):
    """One state of a machine or a service."""

    @property
    def name(self) -> str:
        """The state in words, for people: "docker engine running"."""

    def plan(self) -> Sequence[Change]:
        """Read the present state and return what would have to change. Changes nothing.

        Raises:
            CannotKnow: what must be read is not there before an operation in front of this one was applied.
        """


def converge(operations: Iterable[Operation], report: Report) -> int:
    """Bring operations to their state, one after the other; each sees what those before it made.

    Returns:
        The number of changes that were applied.

    Raises:
        NotConverged: an operation still sees something to change after its changes were applied.
        LabelrigError: whatever a change raises; those before it stay applied.
    """
    applied = 0
    for operation in operations:
        changes = operation.plan()
        for change in changes:
            report.changing(change.summary)
            change.apply()
        if changes:
            left = operation.plan()
            if left:
                still = "; ".join(change.summary for change in left)
                raise NotConverged(f"{operation.name}: applied, and still to do: {still}")
        report.ok(operation.name, [change.summary for change in changes])
        applied += len(changes)
    return applied


class Runner(Protocol):
    """What a list of stages is carried out by: for real, or as a plan."""

    report: Report

    @property
    def applies(self) -> bool:
        """Whether changes are made."""

    @property
    def pending(self) -> bool:
        """Whether something before would change or is unknown: then what comes after cannot be known for sure."""

    def stage(self, name: str) -> AbstractContextManager[Stage]:
        """Group operations under a heading."""

    def run(self, operations: Iterable[Operation]) -> None:
        """Bring operations to their state, or show what would change."""

    def unknown(self, what: str, why: str) -> None:
        """Say that something cannot be known before the changes so far were made. Never called when they are."""


class Applier:
    """Brings operations to their state."""

    applies = True
    pending = False

    def __init__(self, report: Report) -> None:
        self.report = report

    def stage(self, name: str) -> AbstractContextManager[Stage]:
        """See `Runner.stage`."""
        return self.report.stage(name)

    def run(self, operations: Iterable[Operation]) -> None:
        """See `converge`."""
        converge(operations, self.report)

    def unknown(self, what: str, why: str) -> None:
        """See `Runner.unknown`.

        Raises:
            CannotKnow: always; everything in front was applied, so it must be known.
        """
        raise CannotKnow(f"{what}: {why}")


class Previewer:
    """Shows what would change, with diffs, and changes nothing.

    After the first operation with something to do, what a later one cannot read is *unknown*: it may well be there
    once the first one is. Before that an error is an error.
    """

    applies = False

    def __init__(self, report: Report) -> None:
        self.report = report
        report.preview = True
        self.pending = False

    def stage(self, name: str) -> AbstractContextManager[Stage]:
        """See `Runner.stage`."""
        return self.report.stage(name)

    def run(self, operations: Iterable[Operation]) -> None:
        """Ask each operation for its changes and show them.

        Raises:
            LabelrigError: an operation cannot read what it needs, and nothing in front of it would change that.
        """
        for operation in operations:
            try:
                changes = operation.plan()
            except CannotKnow as error:
                self.unknown(operation.name, str(error))
            except LabelrigError as error:
                if not self.pending:
                    raise
                self.unknown(operation.name, str(error).splitlines()[0])
            else:
                for change in changes:
                    self.report.would_change(change.summary, change.diff)
                self.report.ok(operation.name, [change.summary for change in changes])
                self.pending = self.pending or bool(changes)

    def unknown(self, what: str, why: str) -> None:
        """See `Runner.unknown`."""
        self.report.unknown(what, why)
        self.pending = True
