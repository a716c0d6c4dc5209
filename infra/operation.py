"""Operations: read the state, say the changes, and only then apply them.

An operation names one state ("docker engine running"). `plan` reads and returns the changes that
lead there, an empty list when nothing is to do. The same `plan` is asked again after the changes were
applied: a check that does not recognise its own result shows on the first run, not on the hundredth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.errors import NotConverged
from infra.report import Report


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
        ...

    def plan(self) -> Sequence[Change]:
        """Read the present state and return what would have to change. Changes nothing."""
        ...


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
        report.settled(operation.name, [change.summary for change in changes])
        applied += len(changes)
    return applied
