"""Waits that others may end: for a replica that falls silent, or for a run that is cancelled."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from backend.errors import Superseded
from backend.serving.propagating import REPLACED

T = TypeVar("T")


class ReplicaSilent(Exception):
    """The replica leaves questions how it is unanswered; what is waited for may never come."""


class Wait:
    """A wait, or several of a request one after the other. Used on the event loop alone."""

    def __init__(self) -> None:
        self._error: Exception | None = None
        self._limit: asyncio.Timeout | None = None

    async def result(self, begin: Callable[[], Awaitable[T]], deadline: float | None = None) -> T:
        """The result of what is begun here, unless the wait ends before.

        Args:
            deadline: `time.monotonic` value.

        Raises:
            TimeoutError: the deadline passed.
            Exception: what `end` was given, now or before; what was begun is cancelled.
        """
        if self._error is not None:
            raise self._error
        try:
            async with asyncio.timeout(None if deadline is None else max(0.0, deadline - time.monotonic())) as limit:
                self._limit = limit
                return await begin()
        except TimeoutError:
            if self._error is not None:
                raise self._error from None
            raise
        finally:
            self._limit = None

    def end(self, error: Exception) -> None:
        """Raise this where the wait is, or will be."""
        self._error = error
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, in the order of the calls. Where one fails the others are cancelled, and have ended.

    Raises:
        Exception: what the first to fail raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in calls]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [one.result() for one in tasks]


class Silence:
    """The replicas that are silent, and the waits for each. Used on the event loop alone."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._waits: defaultdict[str, set[Wait]] = defaultdict(set)

    @property
    def names(self) -> frozenset[str]:
        """The silent replicas."""
        return self._names

    def report(self, names: Collection[str]) -> None:
        """Take over which replicas are silent now; waits for the others go on."""
        fallen, self._names = frozenset(names) - self._names, frozenset(names)
        for name in fallen:
            for wait in self._waits.get(name, ()):
                wait.end(ReplicaSilent(f"{name} does not answer"))

    @contextmanager
    def wait(self, name: str | None) -> Iterator[Wait]:
        """A wait for a replica, which ends with ReplicaSilent when it falls silent, or is; None is any replica."""
        wait = Wait()
        if name is None:
            yield wait
            return
        if name in self._names:
            wait.end(ReplicaSilent(f"{name} does not answer"))
        self._waits[name].add(wait)
        try:
            yield wait
        finally:
            self._waits[name].discard(wait)
            if not self._waits[name]:
                del self._waits[name]


class Runs:
    """The propagations that go through this ingress, by their callers' keys: ended here, wherever they run.

    A run stays at its replica while its host is drained, and the key leads to another one by then.
    """

    def __init__(self) -> None:
        self._waits: dict[str, Wait] = {}

    @contextmanager
    def running(self, key: str) -> Iterator[Wait]:
        """The waits of a run; one of the same key before it ends."""
        self.cancel(key)
        wait = self._waits[key] = Wait()
        try:
            yield wait
        finally:
            if self._waits.get(key) is wait:
                del self._waits[key]

    def cancel(self, key: str) -> bool:
        """End a run. False where there is none of this key."""
        wait = self._waits.pop(key, None)
        if wait is not None:
            wait.end(Superseded(REPLACED))
        return wait is not None
