"""The model's thread: its end, its failures, what it tells, and what it keeps."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import random
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Busy, DeadlinePassed, ImageError, ModelNotReady, Superseded
from backend.queue.scheduling import ModelQueue, Priority, Ticket
from tests.unit.backend.queues import BATCH, CLICK, OPEN, PATIENCE, PREVIEW, Clock, Gate, drain, make

__all__ = ["make"]  # a fixture


def test_close_fails_who_waits_and_lets_the_running_job_end(make: Callable[..., ModelQueue]) -> None:
    queue = make()
    gate = Gate(queue)
    waiting = [queue.submit(lambda: None, priority) for priority in Priority]
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(queue.close, PATIENCE)
        for ticket in waiting:
            with pytest.raises(ModelNotReady, match=r"^the backend is stopping; try again in a moment$"):
                ticket.result()
        gate.open()
        closing.result(PATIENCE)
    assert gate.ticket.result() == "through"
    assert queue.state().closed
    with pytest.raises(ModelNotReady, match="stopping"):
        queue.submit(lambda: None, CLICK)
    queue.close()


def test_close_does_not_wait_for_ever(make: Callable[..., ModelQueue]) -> None:
    queue = make()
    gate = Gate(queue)
    queue.close(patience_seconds=0)
    with pytest.raises(ModelNotReady, match="stopping"):
        gate.ticket.result()
    gate.open()


def test_close_before_start() -> None:
    queue = ModelQueue()
    ticket = queue.submit(lambda: None, CLICK)
    queue.close()
    with pytest.raises(ModelNotReady):
        ticket.result()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_end_of_the_thread_fails_everybody(make: Callable[..., ModelQueue], caplog: pytest.LogCaptureFixture) -> None:
    queue = make()
    gate = Gate(queue)

    def leave() -> None:
        raise SystemExit(1)

    tickets = [queue.submit(leave, CLICK), queue.submit(lambda: None, BATCH)]
    gate.open()
    for ticket in tickets:
        with pytest.raises(ModelNotReady):
            ticket.result()
    with pytest.raises(ModelNotReady):
        queue.submit(lambda: None, CLICK)
    assert caplog.messages == ["the model's thread has ended, nothing can be answered: restart the backend"]


def test_job_can_neither_submit_nor_wait(make: Callable[..., ModelQueue]) -> None:
    queue = make()
    gate = Gate(queue)
    submitting = queue.submit(lambda: queue.submit(lambda: None, CLICK, name="decode"), CLICK)
    behind: list[Ticket[int]] = []
    waiting = queue.submit(lambda: behind[0].result(), CLICK)
    behind.append(queue.submit(lambda: 1, BATCH, name="encode"))
    gate.open()
    with pytest.raises(
        RuntimeError, match=r"^decode was submitted from a job: it would wait for the thread it blocks$"
    ):
        submitting.result()
    with pytest.raises(RuntimeError, match=r"^a job waits for encode, which waits for its thread$"):
        waiting.result()
    assert behind[0].result() == 1
    assert queue.submit(behind[0].result, CLICK).result() == 1


def test_job_runs_in_the_context_of_who_submits_it(make: Callable[..., ModelQueue]) -> None:
    request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")
    queue = make()
    contexts = [contextvars.copy_context() for _ in range(2)]
    for name, context in zip("ab", contexts, strict=True):
        context.run(request_id.set, name)
    assert [context.run(queue.submit, request_id.get, CLICK).result() for context in contexts] == ["a", "b"]
    assert queue.submit(request_id.get, CLICK).result() == "-"


def test_state_tells_what_waits_and_runs(make: Callable[..., ModelQueue]) -> None:
    clock = Clock()
    queue = make(clock=clock)
    assert queue.state().running is None
    gate = Gate(queue)
    clock.now += 2
    queue.submit(lambda: None, OPEN)
    clock.now += 3
    last = queue.submit(lambda: None, BATCH)
    clock.now += 0.5
    state = queue.state()
    assert state.running is not None
    assert (state.running.name, state.running.priority, state.running.seconds) == ("gate", CLICK, 5.5)
    assert state.waiting == {CLICK: 0, OPEN: 1, PREVIEW: 0, BATCH: 1}
    assert state.longest_wait_seconds == 3.5
    assert not state.closed
    gate.open()
    last.result()
    assert queue.state().longest_wait_seconds == 0
    assert gate.ticket.ran_seconds == 5.5
    assert last.waited_seconds == 0.5


class Big:
    """Something that must not be kept."""


def test_idle_thread_keeps_neither_result_nor_error(make: Callable[..., ModelQueue]) -> None:
    queue = make()
    gc.disable()  # a reference cycle would keep a device's memory until some later collection
    try:
        result = weakref.ref(queue.submit(Big, CLICK).result())
        work_of_failure: list[weakref.ref[Big]] = []

        def fail() -> None:
            big = Big()
            work_of_failure.append(weakref.ref(big))
            raise ImageError("torn")

        queue.submit(fail, OPEN)
        drain(queue)
        drain(queue)
        assert result() is None
        assert work_of_failure[0]() is None
    finally:
        gc.enable()


def test_ticket_keeps_nothing_that_the_work_used(make: Callable[..., ModelQueue]) -> None:
    queue, big = make(), Big()
    used = weakref.ref(big)
    gate = Gate(queue)
    tickets = [queue.submit(lambda big=big: id(big), CLICK) for _ in range(2)]  # type: ignore[misc]
    tickets[1].cancel()
    gate.open()
    tickets[0].result()
    drain(queue)
    del big
    assert used() is None


ACTIONS = st.tuples(
    st.sampled_from(["submit", "submit", "cancel", "share"]),
    st.sampled_from(list(Priority)),
    st.integers(0, 30),
)


@given(actions=st.lists(ACTIONS, max_size=40))
def test_any_history_runs_as_a_plain_list_would(actions: list[tuple[str, Priority, int]]) -> None:
    """Compared with a sorted list of (priority, arrival), for jobs that wait while the thread is held."""
    queue, ran = ModelQueue(), []
    tickets: list[tuple[int, Ticket[None]]] = []  # job and one of its tickets
    expected: dict[int, tuple[Priority, int]] = {}  # job -> its place
    holders: dict[int, int] = {}
    for arrival, (action, priority, pick) in enumerate(actions):
        if action == "submit" or not tickets:
            tickets.append((arrival, queue.submit(lambda job=arrival: ran.append(job), priority)))  # type: ignore[misc]
            expected[arrival], holders[arrival] = (priority, arrival), 1
            continue
        job, ticket = tickets[pick % len(tickets)]
        if action == "cancel" and ticket.cancel():
            holders[job] -= 1
            if not holders[job]:
                del expected[job]
        elif action == "share":
            other = ticket.share(priority)
            assert (other is None) == (job not in expected)
            if other is not None:
                tickets.append((job, other))
                holders[job] += 1
        if action == "share" and job in expected and priority < expected[job][0]:
            expected[job] = (priority, arrival)
    queue.start()
    drain(queue)
    assert ran == sorted(expected, key=lambda job: expected[job])
    assert all(ticket.done for _, ticket in tickets)
    queue.close()


ENDS = (Superseded, Busy, DeadlinePassed)


def test_thousands_of_jobs_from_many_threads(make: Callable[..., ModelQueue]) -> None:
    """Every ticket ends once, with its own job's value; no job runs twice, or after its only ticket was cancelled."""
    threads, each = 6, 1000
    queue = make(limits={CLICK: 10_000, OPEN: 50, PREVIEW: 10_000, BATCH: 10_000})
    ran: list[tuple[int, int]] = []  # appended to by the model's thread alone

    def annotator(number: int) -> tuple[list[tuple[tuple[int, int], Ticket[Any]]], set[Any], list[Any]]:
        chance = random.Random(number)
        mine: list[tuple[tuple[int, int], Ticket[Any]]] = []
        shared, cancelled = set(), []
        for step in range(each):
            job = (number, step)
            priority = chance.choice(list(Priority))
            deadline = time.monotonic() + chance.random() / 100 if chance.random() < 0.2 else None
            mine.append((job, queue.submit(lambda job=job: ran.append(job) or job, priority, deadline=deadline)))  # type: ignore[misc]
            other, ticket = chance.choice(mine[-20:])
            match chance.randrange(5):
                case 0:
                    if ticket.cancel() and ticket.job.started is None:
                        cancelled.append(other)
                case 1:
                    one = ticket.share(chance.choice(list(Priority)))
                    shared.add(other)
                    if one is not None:
                        mine.append((other, one))
                case 2:
                    with contextlib.suppress(*ENDS):
                        assert ticket.result() == other
        return mine, shared, cancelled

    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(annotator, range(threads)))
    drain(queue)

    assert len(ran) == len(set(ran))
    order = {job: place for place, job in enumerate(ran)}
    for mine, shared, cancelled in done:
        for job, ticket in mine:
            assert ticket.done
            error = ticket.outcome.exception()
            assert isinstance(error, ENDS) or ticket.result() == job
            assert error is not None or job in order
        assert cancelled
        assert not [job for job in cancelled if job in order and job not in shared]
        for priority in Priority:
            places = [
                order[job]
                for job, ticket in mine
                if ticket.job.priority is priority and job in order and job not in shared
            ]
            assert places == sorted(places)
    assert queue.state().waiting == dict.fromkeys(Priority, 0)
