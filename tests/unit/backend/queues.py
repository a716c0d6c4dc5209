"""Queues that run, a clock that stands, and a job that holds the model's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.queue.scheduling import ModelQueue, Priority

CLICK, OPEN, PREVIEW, BATCH = Priority
PATIENCE = 30.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Gate:
    """A job that holds the model's thread until it is opened."""

    def __init__(self, queue: ModelQueue) -> None:
        self._began, self._open = threading.Event(), threading.Event()
        self.ticket = queue.submit(self._wait, CLICK, name="gate")
        assert self._began.wait(PATIENCE)

    def _wait(self) -> str:
        self._began.set()
        assert self._open.wait(PATIENCE)
        return "through"

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def make() -> Iterator[Callable[..., ModelQueue]]:
    """Makes queues that run, and closes them."""
    queues = []

    def build(**arguments: Any) -> ModelQueue:
        queue = ModelQueue(**arguments)
        queue.start()
        queues.append(queue)
        return queue

    yield build
    for queue in queues:
        queue.close()


def depth(queue: ModelQueue, priority: Priority) -> int:
    """How many jobs of a priority wait."""
    return queue.state().waiting[priority]


def drain(queue: ModelQueue) -> None:
    """Until all that waits now is over."""
    queue.submit(lambda: None, BATCH).result()
