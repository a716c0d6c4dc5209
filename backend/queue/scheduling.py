"""One thread for the model: clicks before opened tasks before previews before batches.

The model computes one thing at a time: several threads on one device only make each answer later, and engines keep
state that must not be shared. So every job goes through `ModelQueue`, in order of priority and then of arrival.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from backend.errors import RequestError
from backend.queue.tickets import Job, Priority, Ticket, Together, WaitingLine

__all__ = ["DEFAULT_LIMITS", "ModelQueue", "Priority", "QueueState", "Running", "Ticket", "Together"]

logger = logging.getLogger(__name__)
T = TypeVar("T")
THREAD_NAME = "model"
DEFAULT_LIMITS: Mapping[Priority, int] = {
    Priority.CLICK: 64,
    Priority.OPEN: 32,
    Priority.PREVIEW: 8,
    Priority.BATCH: 64,
}


@dataclass(frozen=True)
class Running:
    """What the model thread does now: name, priority, and for how many seconds."""

    name: str
    priority: Priority
    seconds: float


@dataclass(frozen=True)
class QueueState:
    """The queue at one moment.

    Attributes:
        waiting: jobs that have not begun, by priority.
        limits: how many may wait, by priority.
        running: what runs now; None when the model thread is idle.
        longest_wait_seconds: how long the oldest waiting job has waited; 0 when none waits.
        closed: nothing will run any more.
    """

    waiting: Mapping[Priority, int]
    limits: Mapping[Priority, int]
    running: Running | None = None
    longest_wait_seconds: float = 0.0
    closed: bool = False


class ModelQueue:
    """The one thread that uses the model, and the bounded line in front of it."""

    def __init__(
        self,
        limits: Mapping[Priority, int] = DEFAULT_LIMITS,
        *,
        on_finished: Callable[[str, Exception | None], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            limits: how many jobs may wait, by priority. Beyond it a job is refused; of the opened
                tasks, whose jobs no request waits for, the oldest gives way.
            on_finished: called in the model thread after each job and before its tickets end, with the job's name
                and what it raised; must not raise.
            clock: seconds, monotonic; deadlines are in its time.
        """
        self._line = WaitingLine(limits, clock)
        self._on_finished = on_finished
        self._clock = clock
        self._running: list[Job[Any]] = []  # more than one where they are done together
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._line.worker = self._thread

    def start(self) -> None:
        """Begin to work; what was submitted before is done now."""
        self._thread.start()

    def close(self, patience_seconds: float = 5.0) -> None:
        """Refuse new jobs, fail those that wait, and give the running one some seconds to end."""
        self._line.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(patience_seconds)
        self._line.close(begun=list(self._running))

    def submit(
        self,
        work: Callable[[], T],
        priority: Priority,
        *,
        deadline: float | None = None,
        name: str = "",
        together: Together | None = None,
    ) -> Ticket[T]:
        """Queue a job; it runs in the context of who submits it, so its log lines carry the request's id.

        Args:
            work: runs in the model thread; must not submit jobs itself.
            priority: who goes first.
            deadline: in the queue's clock; the job is not begun after it, and `Ticket.result` waits no longer.
            name: what it is, for people: `encode`.
            together: lets it be done in one call with others of its kind that wait when its turn comes.

        Raises:
            Busy: too many of its priority wait already; never of opened tasks.
            ModelNotReady: the queue was closed.
            RuntimeError: called from a job, which would wait for the thread that it runs in.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError(f"{name or 'a job'} was submitted from a job: it would wait for the thread it blocks")
        return self._line.put(work, priority, deadline, name, together)

    def state(self) -> QueueState:
        """What waits and what runs."""
        with self._line.changed:
            now, job = self._clock(), next(iter(self._running), None)
            running = None
            if job is not None and job.started is not None:
                running = Running(job.name, job.priority, now - job.started)
            jobs = self._line.waiting.values()
            oldest = min((job.arrived for some in jobs for job in some), default=now)
            waiting = {priority: len(some) for priority, some in self._line.waiting.items()}
            return QueueState(waiting, dict(self._line.limits), running, now - oldest, self._line.closed)

    def _run(self) -> None:
        try:
            while self._run_next():
                pass
        finally:
            # Also when something ends the thread: no request may wait for what never comes.
            if not self._line.closed:
                logger.critical("the model's thread has ended, nothing can be answered: restart the backend")
            self._line.close(begun=list(self._running))

    def _run_next(self) -> bool:
        """Wait for a job and run it, with those that go together with it.

        A call of its own, so that nothing of them is kept while the thread is idle.
        """
        with self._line.changed:
            while (job := self._line.take()) is None:
                if self._line.closed:
                    return False
                self._line.changed.wait()
            self._running = self._line.take_with(job)
        values = _all_at_once(self._running)
        for index, one in enumerate(list(self._running)):
            if values is None:
                self._run_alone(one)
            else:
                self._finish(one, values[index], None)
        return True

    def _run_alone(self, job: Job[Any]) -> None:
        value, error = None, None
        try:
            value = job.context.run(job.work)
        except Exception as raised:  # noqa: BLE001 - it is raised again where a caller waits for the job
            error = raised
            job.context.run(_log, job.name, raised)
        try:
            self._finish(job, value, error)
        finally:
            # The error's traceback holds this frame, and the frames of the work with their arrays.
            del error

    def _finish(self, job: Job[Any], value: Any, error: Exception | None) -> None:
        if self._on_finished is not None:
            self._on_finished(job.name, error)
        with self._line.changed:
            self._running.remove(job)
            self._line.finish(job, value, error)


def _all_at_once(jobs: Sequence[Job[Any]]) -> Sequence[Any] | None:
    """The outcomes of jobs that go together; None where there is one job alone, or where the call failed.

    A call fails for one of them, or because all of them take more memory than one: each has another chance by itself.
    """
    together = [job.together for job in jobs if job.together is not None]
    if len(together) < 2:
        return None
    try:
        values = jobs[0].context.run(together[0].work, [one.item for one in together])
    except Exception as error:  # noqa: BLE001 - what is wrong is found again, and told, by the job that is wrong
        jobs[0].context.run(logger.info, "%d jobs %s one by one: %s", len(jobs), jobs[0].name, error)
        return None
    return values if len(values) == len(jobs) else None


def _log(name: str, error: Exception) -> None:
    """Also for jobs that no caller waits for. An expected error needs no traceback."""
    if isinstance(error, RequestError):
        logger.info("model job %s: %s", name or "without a name", error)
    else:
        logger.error("model job %s failed unexpectedly", name or "without a name", exc_info=error)
