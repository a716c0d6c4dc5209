"""Memory in work at once, bounded in bytes: who would go beyond it waits for its turn, and is refused after a while.

Every piece of work says what it needs before it takes it. The turns are those of arrival, but small pieces of work
need not wait behind a large one that does not fit yet: one photo of a hundred megapixels holds up no click on a
usual one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import asynccontextmanager, contextmanager

from backend.errors import Busy

WAIT_SECONDS = 30.0
SMALL = 1 / 8  # of the limit: what may go before larger work


class MemoryBudget:
    """Safe to use from many threads, and from the event loop with `hold_async`."""

    def __init__(self, limit_bytes: int, what: str) -> None:
        """
        Args:
            limit_bytes: largest sum of all that is held at once.
            what: names it in the error: "the memory for pictures (WORK_MEMORY_MB=512)".
        """
        if limit_bytes < 1:
            raise ValueError(f"limit_bytes: expected 1 or more, got {limit_bytes}")
        self._limit = limit_bytes
        self._what = what
        self._lock = threading.Lock()
        self._held = 0
        self._waiting: deque[tuple[int, Future[None]]] = deque()

    @property
    def limit(self) -> int:
        """The largest sum, in bytes."""
        return self._limit

    @property
    def held(self) -> int:
        """What is in work now, in bytes."""
        with self._lock:
            return self._held

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        with self._lock:
            return len(self._waiting)

    @contextmanager
    def hold(self, size: int, until: float | None = None) -> Iterator[None]:
        """Take bytes for as long as the context lasts. Work that needs all of the budget or more runs alone.

        Args:
            size: in bytes. Check it against `limit` first where it must never be exceeded.
            until: `time.monotonic` value up to which to wait for a turn; default half a minute.

        Raises:
            Busy: there was no turn in time.
        """
        size = min(size, self._limit)
        turn = self._enter(size)
        try:
            turn.result(_left(until))
        except FutureTimeoutError:
            self._give_up(turn)
        try:
            yield
        finally:
            self._leave(size)

    @asynccontextmanager
    async def hold_async(self, size: int, until: float | None = None) -> AsyncIterator[None]:
        """As `hold`, without blocking the event loop."""
        size = min(size, self._limit)
        turn = self._enter(size)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(turn)), _left(until))
        except TimeoutError:
            self._give_up(turn)
        except asyncio.CancelledError:
            if not self._withdraw(turn):
                self._leave(size)
            raise
        try:
            yield
        finally:
            self._leave(size)

    def _enter(self, size: int) -> Future[None]:
        turn: Future[None] = Future()
        with self._lock:
            self._waiting.append((size, turn))
            self._grant()
        return turn

    def _grant(self) -> None:
        """Under the lock: whose turn it is."""
        passed: deque[tuple[int, Future[None]]] = deque()
        while self._waiting:
            size, turn = self._waiting.popleft()
            if self._held + size <= self._limit and (not passed or size <= self._limit * SMALL):
                self._held += size
                turn.set_result(None)
            else:
                passed.append((size, turn))
        self._waiting = passed

    def _give_up(self, turn: Future[None]) -> None:
        """
        Raises:
            Busy: unless the turn came at the last moment.
        """
        if self._withdraw(turn):
            raise Busy(f"{self._what} is taken by other work; try again in a moment")

    def _withdraw(self, turn: Future[None]) -> bool:
        """Leave the line; False when the turn had come."""
        with self._lock:
            if turn.done():
                return False
            self._waiting = deque(one for one in self._waiting if one[1] is not turn)
            self._grant()
            return True

    def _leave(self, size: int) -> None:
        with self._lock:
            self._held -= size
            self._grant()


def _left(until: float | None) -> float:
    return WAIT_SECONDS if until is None else max(0.0, until - time.monotonic())
