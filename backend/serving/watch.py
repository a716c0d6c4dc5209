"""Is the backend well? Loading, ready, degraded with the reason, or failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from backend.errors import OutOfMemory, RequestError
from backend.queue.scheduling import Priority, QueueState

Health = Literal["loading", "ready", "degraded", "failed"]
LoadState = Literal["loading", "ready", "failed"]


@dataclass(frozen=True)
class _Failure:
    reason: str
    at: float


class Watch:
    """Collects what is wrong now. Safe to use from many threads; `state` is cheap enough for every `/health`."""

    def __init__(
        self,
        load: Callable[[], tuple[LoadState, str | None]],
        queue: Callable[[], QueueState],
        problems: Callable[[], Iterable[str]] = tuple,
        *,
        failure_seconds: float = 600.0,
        stuck_seconds: float = 100.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            load: where the load of the model is, and why it failed.
            queue: the queue at this moment.
            problems: what else is wrong at this moment, such as a cache on disk that cannot be used; a sentence each.
            failure_seconds: how long a failure counts when nothing of its kind succeeds after it.
            stuck_seconds: a job that runs for longer blocks all others (Label Studio waits 100 s for an answer).
            clock: seconds, monotonic.
        """
        self._load = load
        self._queue = queue
        self._problems = problems
        self._failure_seconds = failure_seconds
        self._stuck_seconds = stuck_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, _Failure] = {}

    def report_success(self, stage: str) -> None:
        """A stage of the model (`encode`, `decode`) worked: its last failure is over."""
        with self._lock:
            self._failures.pop(stage, None)

    def report_failure(self, stage: str, error: Exception) -> None:
        """A stage of the model failed. Errors that are the request's own fault say nothing about the backend."""
        if isinstance(error, RequestError) and not isinstance(error, OutOfMemory):
            return
        what = str(error) if isinstance(error, OutOfMemory) else f"unexpected {type(error).__name__}, see the log"
        now = self._clock()
        with self._lock:
            self._failures = {one: it for one, it in self._failures.items() if now - it.at <= self._failure_seconds}
            self._failures[stage] = _Failure(f"the last {stage or 'job'} failed: {what}", now)

    def report_finished(self, stage: str, error: Exception | None) -> None:
        """Either of the two, for `ModelQueue(on_finished=...)`."""
        if error is None:
            self.report_success(stage)
        else:
            self.report_failure(stage, error)

    def state(self) -> tuple[Health, str | None]:
        """How it is, and why when it is not well."""
        load, error = self._load()
        if load != "ready":
            return load, error
        reasons = self._queue_reasons(self._queue())
        now = self._clock()
        with self._lock:
            reasons += [one.reason for one in self._failures.values() if now - one.at <= self._failure_seconds]
        reasons += self._problems()
        return ("degraded", "; ".join(reasons)) if reasons else ("ready", None)

    def _queue_reasons(self, queue: QueueState) -> list[str]:
        reasons = []
        if queue.closed:
            reasons.append("the model's thread has ended, restart the backend")
        if queue.running is not None and queue.running.seconds > self._stuck_seconds:
            name = queue.running.name or "a job"
            reasons.append(f"{name} has been running for {queue.running.seconds:.0f} s and holds up all others")
        waiting = queue.waiting[Priority.CLICK]
        if waiting >= queue.limits[Priority.CLICK]:
            reasons.append(f"{waiting} clicks wait for the model, new ones are refused")
        return reasons
