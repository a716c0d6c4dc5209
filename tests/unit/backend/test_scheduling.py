"""The model's thread and the line in front of it."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import Busy, DeadlinePassed, ImageError, ModelNotReady, Superseded
from backend.scheduling import ModelQueue, Priority, Ticket

CLICK, OPEN, BATCH = Priority.CLICK, Priority.OPEN, Priority.BATCH
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


def drain(queue: ModelQueue) -> None:
    """Until all that waits now is over."""
    queue.submit(lambda: None, BATCH).result()


def test_result_and_thread(make: Callable[..., ModelQueue]) -> None:
    assert make().submit(lambda: threading.current_thread().name, CLICK).result() == "model"


def test_order_is_priority_then_arrival(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    for name, priority in (("b1", BATCH), ("o1", OPEN), ("c1", CLICK), ("b2", BATCH), ("c2", CLICK), ("o2", OPEN)):
        queue.submit(lambda name=name: ran.append(name), priority)
    assert [queue.depth(priority) for priority in Priority] == [2, 2, 2]
    gate.open()
    drain(queue)
    assert ran == ["c1", "c2", "o1", "o2", "b1", "b2"]


def test_promoted_job_goes_behind_those_that_wait_there(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    opened = queue.submit(lambda: ran.append("opened"), OPEN)
    queue.submit(lambda: ran.append("other"), OPEN)
    queue.submit(lambda: ran.append("click"), CLICK)
    opened.promote(CLICK)
    opened.promote(BATCH)
    queue.submit(lambda: ran.append("later"), CLICK)
    gate.ticket.promote(CLICK)
    gate.open()
    drain(queue)
    opened.promote(CLICK)
    assert ran == ["click", "opened", "later", "other"]


def test_cancelled_job_never_runs_and_wakes_its_waiter(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    ticket = queue.submit(lambda: ran.append("cancelled"), CLICK)
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(ticket.result)
        assert ticket.cancel()
        with pytest.raises(Superseded, match=r"^a newer click replaced this one$"):
            waiter.result(PATIENCE)
    assert not ticket.cancel()
    assert queue.depth(CLICK) == 0
    gate.open()
    drain(queue)
    assert ran == []
    assert (ticket.waited_seconds, ticket.ran_seconds) == (0.0, 0.0)


def test_cancel_of_a_running_job_ends_the_ticket_only(make: Callable[..., ModelQueue]) -> None:
    queue = make()
    gate = Gate(queue)
    other = gate.ticket.share(CLICK)
    assert other is not None
    gate.ticket.cancel()
    with pytest.raises(Superseded):
        gate.ticket.result()
    gate.open()
    assert other.result() == "through"
    assert not other.cancel()


def test_shared_job_runs_once_while_anybody_waits(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    first = queue.submit(lambda: ran.append(1) or len(ran), BATCH)
    second = first.share(CLICK)
    assert second is not None
    assert (queue.depth(BATCH), queue.depth(CLICK)) == (0, 1)
    first.cancel()
    gate.open()
    assert second.result() == 1
    assert second.share(CLICK) is None


def test_job_that_everybody_gave_up_cannot_be_shared(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    first = queue.submit(lambda: ran.append(1), OPEN)
    second = first.share(OPEN)
    assert second is not None
    first.cancel()
    second.cancel()
    assert first.share(OPEN) is None
    gate.open()
    drain(queue)
    assert ran == []


def test_deadline_that_passes_in_the_line(make: Callable[..., ModelQueue]) -> None:
    clock, ran = Clock(), []
    queue = make(clock=clock)
    gate = Gate(queue)
    late = queue.submit(lambda: ran.append("late"), CLICK, deadline=1005.0, name="decode")
    shared = queue.submit(lambda: ran.append("shared"), CLICK, deadline=1005.0)
    patient = shared.share(CLICK, deadline=1100.0)
    assert patient is not None
    clock.now = 1005.0
    gate.open()
    assert patient.result() is None
    assert ran == ["shared"]
    for ticket in (late, shared):
        assert ticket.done
        with pytest.raises(DeadlinePassed, match=r"did not begin in time, other work was before it; try again$"):
            ticket.result()
    assert patient.waited_seconds == 5.0


def test_waiter_goes_at_its_deadline_while_the_job_runs(make: Callable[..., ModelQueue]) -> None:
    queue = make()
    gate = Gate(queue)
    hasty = gate.ticket.share(CLICK, deadline=time.monotonic() + 0.02)
    assert hasty is not None
    with pytest.raises(DeadlinePassed, match=r"^gate took longer than a click may wait; try again$"):
        hasty.result()
    gate.open()
    assert gate.ticket.result() == "through"


def test_waiter_that_goes_takes_its_waiting_job_along(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    ticket = queue.submit(lambda: ran.append(1), CLICK, deadline=time.monotonic() + 0.02)
    with pytest.raises(DeadlinePassed):
        ticket.result()
    assert queue.depth(CLICK) == 0
    gate.open()
    drain(queue)
    assert ran == []


def test_failure_reaches_its_tickets_only(make: Callable[..., ModelQueue], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "backend.scheduling")
    seen: list[tuple[str, Exception | None]] = []
    queue = make(on_finished=lambda name, error: seen.append((name, error)))

    def fail(error: Exception) -> None:
        raise error

    defect, expected = KeyError("x"), ImageError("the image is torn")
    for error, name in ((defect, "encode"), (expected, "")):
        ticket = queue.submit(lambda error=error: fail(error), CLICK, name=name)
        with pytest.raises(type(error)) as raised:
            ticket.result()
        assert raised.value is error
    assert queue.submit(lambda: 5, CLICK, name="decode").result() == 5
    assert seen == [("encode", defect), ("", expected), ("decode", None)]
    assert [(record.levelname, record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        ("ERROR", "model job encode failed unexpectedly", True),
        ("INFO", "model job without a name: the image is torn", False),
    ]


def test_clicks_and_batches_beyond_the_limit_are_refused(make: Callable[..., ModelQueue]) -> None:
    queue = make(limits={CLICK: 2, OPEN: 1, BATCH: 1})
    gate = Gate(queue)
    clicks = [queue.submit(lambda: None, CLICK) for _ in range(2)]
    queue.submit(lambda: None, BATCH)
    with pytest.raises(Busy, match=r"^2 clicks wait for the model already; try again in a moment$"):
        queue.submit(lambda: None, CLICK)
    with pytest.raises(Busy, match=r"^1 batch jobs wait"):
        queue.submit(lambda: None, BATCH)
    opened = queue.submit(lambda: 7, OPEN)
    with pytest.raises(Busy):
        opened.promote(CLICK)
    with pytest.raises(Busy):
        opened.share(CLICK)
    clicks[0].cancel()
    opened.promote(CLICK)
    gate.open()
    assert opened.result() == 7


def test_of_opened_tasks_the_oldest_gives_way(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(limits={CLICK: 1, OPEN: 2, BATCH: 1}), []
    gate = Gate(queue)
    tickets = [queue.submit(lambda name=name: ran.append(name), OPEN) for name in range(4)]
    assert queue.depth(OPEN) == 2
    with pytest.raises(Busy, match=r"^more than 2 opened tasks wait for the model: the oldest gave way$"):
        tickets[0].result()
    assert tickets[1].share(CLICK) is None
    gate.open()
    drain(queue)
    assert ran == [2, 3]


def test_kind_without_room_is_refused(make: Callable[..., ModelQueue]) -> None:
    with pytest.raises(Busy, match=r"^0 opened tasks wait"):
        make(limits={CLICK: 1, OPEN: 0, BATCH: 0}).submit(lambda: None, OPEN)


def test_jobs_that_came_too_late_make_room(make: Callable[..., ModelQueue]) -> None:
    clock = Clock()
    queue = make(limits={CLICK: 1, OPEN: 1, BATCH: 1}, clock=clock)
    gate = Gate(queue)
    late = queue.submit(lambda: None, CLICK, deadline=1001.0)
    clock.now = 1002.0
    fresh = queue.submit(lambda: 3, CLICK)
    assert late.done
    gate.open()
    assert fresh.result() == 3


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
    assert state.waiting == {CLICK: 0, OPEN: 1, BATCH: 1}
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
    tickets = [queue.submit(lambda big=big: id(big), CLICK) for _ in range(2)]
    tickets[1].cancel()
    gate.open()
    tickets[0].result()
    drain(queue)
    del big
    assert used() is None


ACTIONS = st.tuples(
    st.sampled_from(["submit", "submit", "cancel", "promote", "share"]),
    st.sampled_from(list(Priority)),
    st.integers(0, 30),
)


@settings(deadline=None)
@given(actions=st.lists(ACTIONS, max_size=40))
def test_any_history_runs_as_a_plain_list_would(actions: list[tuple[str, Priority, int]]) -> None:
    """Compared with a sorted list of (priority, arrival), for jobs that wait while the thread is held."""
    queue, ran = ModelQueue(), []
    tickets: list[tuple[int, Ticket[None]]] = []  # job and one of its tickets
    expected: dict[int, tuple[Priority, int]] = {}  # job -> its place
    holders: dict[int, int] = {}
    for arrival, (action, priority, pick) in enumerate(actions):
        if action == "submit" or not tickets:
            tickets.append((arrival, queue.submit(lambda job=arrival: ran.append(job), priority)))
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
        elif action == "promote":
            ticket.promote(priority)
        if action in ("promote", "share") and job in expected and priority < expected[job][0]:
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
    queue = make(limits={CLICK: 10_000, OPEN: 50, BATCH: 10_000})
    ran: list[tuple[int, int]] = []  # appended to by the model's thread alone

    def annotator(number: int) -> tuple[list[tuple[tuple[int, int], Ticket[Any]]], set[Any], set[Any], list[Any]]:
        chance = random.Random(number)
        mine: list[tuple[tuple[int, int], Ticket[Any]]] = []
        shared, promoted, cancelled = set(), set(), []
        for step in range(each):
            job = (number, step)
            priority = chance.choice(list(Priority))
            deadline = time.monotonic() + chance.random() / 100 if chance.random() < 0.2 else None
            mine.append((job, queue.submit(lambda job=job: ran.append(job) or job, priority, deadline=deadline)))
            other, ticket = chance.choice(mine[-20:])
            match chance.randrange(6):
                case 0:
                    if ticket.cancel() and ticket.job.started is None:
                        cancelled.append(other)
                case 1:
                    ticket.promote(CLICK)
                    promoted.add(other)
                case 2:
                    one = ticket.share(chance.choice(list(Priority)))
                    shared.add(other)
                    if one is not None:
                        mine.append((other, one))
                case 3:
                    with contextlib.suppress(*ENDS):
                        assert ticket.result() == other
        return mine, shared, promoted, cancelled

    with ThreadPoolExecutor(threads) as pool:
        done = list(pool.map(annotator, range(threads)))
    drain(queue)

    assert len(ran) == len(set(ran))
    order = {job: place for place, job in enumerate(ran)}
    for mine, shared, promoted, cancelled in done:
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
                if ticket.job.priority is priority and job in order and job not in promoted and job not in shared
            ]
            assert places == sorted(places)
    assert queue.state().waiting == dict.fromkeys(Priority, 0)
