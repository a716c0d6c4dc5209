"""Several threads need the same thing at once: one does the work, the others get its outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Generic, TypeVar

from backend.errors import DeadlinePassed

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """De-duplicates work that runs in the thread of the first caller. Safe to call from threads.

    Nothing is kept: a call after the work has ended starts it anew, unless a cache answers before. So the work
    itself must put its outcome into the cache.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[K, Future[V]] = {}

    def run(self, key: K, work: Callable[[], V], deadline: float, name: str) -> V:
        """The outcome of the work: of this call's own, or of the one that is under way.

        Args:
            deadline: `time.monotonic` value at which a waiting call gives up; the work itself goes on.
            name: what it is, for the message.

        Raises:
            DeadlinePassed: another call's work took too long.
            Exception: whatever the work raised, in everyone who waits for it.
        """
        with self._lock:
            future = self._running.get(key)
            mine = future is None
            if future is None:
                future = self._running[key] = Future()
        if mine:
            return self._lead(key, work, future)
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except FutureTimeoutError:
            if future.done():  # just now, or the work itself ended with a TimeoutError
                return future.result()
            raise DeadlinePassed(f"{name} did not come in time; click again in a moment") from None

    def _lead(self, key: K, work: Callable[[], V], future: Future[V]) -> V:
        try:
            outcome = work()
        except BaseException as error:
            self._forget(key)
            future.set_exception(error)
            raise
        self._forget(key)
        future.set_result(outcome)
        return outcome

    def _forget(self, key: K) -> None:
        with self._lock:
            del self._running[key]
