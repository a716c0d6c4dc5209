"""The line in front of the model: jobs in order of priority and arrival, and the tickets of those who wait for them.

Several tickets may belong to one job (ten clicks on one image need one encoder run). A job whose every ticket was
cancelled or came too late leaves the line. No threads here: `backend.queue.scheduling` takes the jobs and runs them.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar

from backend.errors import Busy, DeadlinePassed, ModelNotReady, Superseded

T = TypeVar("T")


class Priority(IntEnum):
    """Who goes first; the smaller number does."""

    CLICK = 0
    OPEN = 1
    PREVIEW = 2
    BATCH = 3


PLURALS = {
    Priority.CLICK: "clicks",
    Priority.OPEN: "opened tasks",
    Priority.PREVIEW: "previews",
    Priority.BATCH: "batch jobs",
}


@dataclass(frozen=True)
class Together:
    """Jobs of one kind that wait at the same priority may be done in one call.

    Attributes:
        kind: the same for all that go together.
        item: what this job adds to the call.
        work: the call: outcomes in the order of the items. Where it fails, each job is done by itself.
        limit: how many items one call takes.
    """

    kind: str
    item: Any
    work: Callable[[Sequence[Any]], Sequence[Any]]
    limit: int


@dataclass(eq=False)
class Job(Generic[T]):
    """One piece of work. Changed only under the line's lock."""

    work: Callable[[], T]
    priority: Priority
    name: str
    context: contextvars.Context
    arrived: float
    together: Together | None = None
    tickets: list[Ticket[T]] = field(default_factory=list)
    started: float | None = None
    seconds: float | None = None
    over: bool = False  # ran, or never will


class Ticket(Generic[T]):
    """A claim on the outcome of a job; ends exactly once. Safe to use from many threads."""

    def __init__(self, line: WaitingLine, job: Job[T], deadline: float | None, since: float) -> None:
        self.job = job
        self.deadline = deadline
        self.outcome: Future[T] = Future()
        self._line = line
        self._since = since

    def result(self) -> T:
        """Wait for the outcome; without a deadline, until the job ended or the queue was closed.

        Raises:
            DeadlinePassed: the ticket's deadline came first; a job that runs goes on for others.
            Superseded: the ticket was cancelled.
            Busy: the job gave way to newer ones of its kind.
            ModelNotReady: the queue was closed.
            Exception: what the job itself raised.
        """
        self._line.wait_for(self)
        return self.outcome.result()

    def cancel(self, reason: str = "a newer click replaced this one") -> bool:
        """Give up the claim and wake who waits for it; a job without claims is not begun.

        Returns:
            False when the ticket had ended already.
        """
        return self._line.end(self, Superseded(reason))

    def share(self, priority: Priority, deadline: float | None = None) -> Ticket[T] | None:
        """Another ticket for the same job, which moves up to `priority` when it waits below it.

        Returns:
            None when the job is over (it ended, was given up, or was dropped): submit it again.

        Raises:
            Busy: too many wait at the better priority.
        """
        return self._line.share(self.job, priority, deadline)

    @property
    def done(self) -> bool:
        """Whether `result` would answer at once."""
        return self.outcome.done()

    @property
    def waited_seconds(self) -> float:
        """From the ticket to the begin of the job; 0 when the job had begun before, or never began."""
        return 0.0 if self.job.started is None else max(0.0, self.job.started - self._since)

    @property
    def ran_seconds(self) -> float:
        """How long the job itself took; 0 before it ended."""
        return self.job.seconds or 0.0


class WaitingLine:
    """Bounded; every method may be called from any thread, `take` with the lock `changed` held."""

    def __init__(self, limits: Mapping[Priority, int], clock: Callable[[], float]) -> None:
        """
        Args:
            limits: how many jobs may wait, by priority. Beyond it a job is refused; of the opened
                tasks, whose jobs no request waits for, the oldest gives way.
            clock: seconds, monotonic; deadlines are in its time.
        """
        self.limits = {priority: limits[priority] for priority in Priority}
        self.changed = threading.Condition()  # its lock may be taken again by the thread that holds it
        self.closed = False
        self.worker: threading.Thread | None = None
        # A dict for its order: first in, first out, and any job can leave at once.
        self.waiting: dict[Priority, dict[Job[Any], None]] = {priority: {} for priority in Priority}
        self._clock = clock

    def put(
        self,
        work: Callable[[], T],
        priority: Priority,
        deadline: float | None,
        name: str,
        together: Together | None = None,
    ) -> Ticket[T]:
        """Let a job wait; it keeps the context variables of its caller.

        Raises:
            Busy: the limit is reached.
            ModelNotReady: the line was closed.
        """
        with self.changed:
            if self.closed:
                raise _stopping()
            self._make_room(priority)
            now = self._clock()
            job = Job(work, priority, name, contextvars.copy_context(), now, together)
            ticket = Ticket(self, job, deadline, now)
            job.tickets.append(ticket)
            self.waiting[priority][job] = None
            self.changed.notify_all()
        return ticket

    def take(self) -> Job[Any] | None:
        """The job whose turn it is, begun; None when none waits."""
        for jobs in self.waiting.values():
            while jobs:
                job = next(iter(jobs))
                if self._alive(job):
                    del jobs[job]
                    job.started = self._clock()
                    return job
                self._drop(job)
        return None

    def take_with(self, first: Job[Any]) -> list[Job[Any]]:
        """The job that was taken and those that may be done in one call with it, begun, in their order."""
        taken = [first]
        if first.together is not None:
            for job in list(self.waiting[first.priority]):
                if len(taken) >= first.together.limit:
                    break
                if job.together is not None and job.together.kind == first.together.kind and self._alive(job):
                    del self.waiting[first.priority][job]
                    job.started = first.started
                    taken.append(job)
        return taken

    def finish(self, job: Job[Any], value: Any = None, error: BaseException | None = None) -> None:
        """End all tickets that a job has left."""
        with self.changed:
            job.over = True
            job.work, job.together = _nothing, None  # a ticket that lives on must not keep the arrays of the work
            if job.started is not None:
                job.seconds = self._clock() - job.started
            tickets, job.tickets = job.tickets, []
            for ticket in tickets:
                if error is not None:
                    ticket.outcome.set_exception(error)
                else:
                    ticket.outcome.set_result(value)

    def close(self, begun: Sequence[Job[Any]] = ()) -> None:
        """Close the queue: reject new jobs, and fail the tickets of waiting jobs and of those that will not end."""
        with self.changed:
            self.closed = True
            for jobs in self.waiting.values():
                for job in list(jobs):
                    self._drop(job, _stopping())
            for job in begun:
                self.finish(job, error=_stopping())
            self.changed.notify_all()

    def wait_for(self, ticket: Ticket[Any]) -> None:
        """Until the ticket ended, which it does at its deadline."""
        if not ticket.done and threading.current_thread() is self.worker:
            raise RuntimeError(f"a job waits for {ticket.job.name or 'another job'}, which waits for its thread")
        try:
            left = None if ticket.deadline is None else max(0.0, ticket.deadline - self._clock())
            ticket.outcome.exception(left)
        except TimeoutError:
            self.end(ticket, _too_late(ticket.job))

    def end(self, ticket: Ticket[Any], error: BaseException) -> bool:
        """End one ticket early, once. Its job leaves the line when it was the last."""
        with self.changed:
            if ticket.done:
                return False
            ticket.outcome.set_exception(error)
            job = ticket.job
            job.tickets.remove(ticket)
            if not job.tickets and job.started is None:
                self._drop(job)
            return True

    def share(self, job: Job[T], priority: Priority, deadline: float | None) -> Ticket[T] | None:
        """One more ticket; None when the job is over."""
        with self.changed:
            if job.over:
                return None
            if job in self.waiting[job.priority] and priority < job.priority:
                # It arrives anew: what waits at the better priority has waited for it longer.
                self._make_room(priority)
                del self.waiting[job.priority][job]
                job.priority = priority
                self.waiting[priority][job] = None
            ticket = Ticket(self, job, deadline, self._clock())
            job.tickets.append(ticket)
            return ticket

    def _make_room(self, priority: Priority) -> None:
        jobs, limit = self.waiting[priority], self.limits[priority]
        if len(jobs) < limit:
            return
        for job in [one for one in jobs if not self._alive(one)]:
            self._drop(job)
        if len(jobs) < limit:
            return
        if priority is not Priority.OPEN or not jobs:
            raise Busy(f"{len(jobs)} {PLURALS[priority]} wait for the model already; try again in a moment")
        self._drop(next(iter(jobs)), Busy(f"more than {limit} opened tasks wait for the model: the oldest gave way"))

    def _alive(self, job: Job[Any]) -> bool:
        """End the tickets whose deadline has passed; is one left?"""
        now = self._clock()
        for ticket in [one for one in job.tickets if one.deadline is not None and one.deadline <= now]:
            ticket.outcome.set_exception(_too_late(job))
            job.tickets.remove(ticket)
        return bool(job.tickets)

    def _drop(self, job: Job[Any], error: BaseException | None = None) -> None:
        """Take a waiting job out for good; `error` goes to the tickets it has left."""
        del self.waiting[job.priority][job]
        self.finish(job, error=error)


def _nothing() -> None:
    """The work of a job that is over."""


def _stopping() -> ModelNotReady:
    return ModelNotReady("the backend is stopping; try again in a moment")


def _too_late(job: Job[Any]) -> DeadlinePassed:
    what = job.name or "the model"
    if job.started is None:
        return DeadlinePassed(f"{what} did not begin in time, other work was before it; try again")
    return DeadlinePassed(f"{what} took longer than a click may wait; try again")
