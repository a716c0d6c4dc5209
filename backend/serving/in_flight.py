"""The active clicks: a newer click on the same object replaces the older one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar
from weakref import WeakSet

from backend.errors import Busy, Superseded

REASON = "a newer click on the same object came"


class Cancellable(Protocol):
    """A `backend.queue.scheduling.Ticket`, as far as it matters here."""

    def cancel(self, reason: str) -> bool:
        """Wake who waits, with Superseded for this reason."""


C = TypeVar("C", bound=Cancellable)


class Token:
    """The right of a click, or of a run, to go on. Used by the thread that works on it; superseded by any other."""

    def __init__(self, reason: str = REASON) -> None:
        """
        Args:
            reason: why it is superseded, should it be.
        """
        self._reason = reason
        self._lock = threading.Lock()
        # A ticket that neither its queue nor who waits for it holds any more is over; it would keep its outcome alive.
        self._tickets: WeakSet[Cancellable] = WeakSet()
        self._superseded = False

    def check(self) -> None:
        """Between two stages.

        Raises:
            Superseded: a newer click came; this answer would not be shown.
        """
        if self._superseded:
            raise Superseded(self._reason)

    def attach(self, ticket: C) -> C:
        """Tie a ticket to the click: it is cancelled with it. Returns the ticket, which is not kept.

        Raises:
            Superseded: a newer click came before; the ticket is cancelled.
        """
        with self._lock:
            if not self._superseded:
                self._tickets.add(ticket)
                return ticket
        ticket.cancel(self._reason)
        raise Superseded(self._reason)

    def supersede(self) -> None:
        """Cancel the click's tickets, and those that it will create."""
        with self._lock:
            self._superseded = True
            tickets, self._tickets = list(self._tickets), WeakSet()
        for ticket in tickets:
            ticket.cancel(self._reason)


class InFlight:
    """All clicks that are worked on. Safe to use from many threads."""

    def __init__(self, limit: int) -> None:
        """
        Args:
            limit: maximum number of active clicks, waiting ones included.
        """
        self._limit = limit
        self._lock = threading.Lock()
        self._clicks: dict[Token, tuple[str, frozenset[str]]] = {}

    def __len__(self) -> int:
        """How many clicks are active."""
        with self._lock:
            return len(self._clicks)

    @contextmanager
    def enter(self, task_id: str, region_ids: frozenset[str]) -> Iterator[Token]:
        """Hold a place while a click is worked on, and supersede the older clicks that it continues.

        Args:
            task_id: clicks on other tasks never matter.
            region_ids: ids of the click's prompts. The editor gives each prompt an id of its own and sends them all
                again with every further one, so a shared id means the same object of the same annotator, and two
                annotators share none.

        Raises:
            Busy: `limit` clicks are here already; nothing is superseded then.
        """
        token = Token()
        with self._lock:
            if len(self._clicks) >= self._limit:
                raise Busy(f"{len(self._clicks)} clicks are being answered or wait already; try again in a moment")
            older = [
                other
                for other, (task, ids) in self._clicks.items()
                if task == task_id and not ids.isdisjoint(region_ids)
            ]
            self._clicks[token] = (task_id, region_ids)
        for other in older:
            other.supersede()
        try:
            yield token
        finally:
            with self._lock:
                del self._clicks[token]
