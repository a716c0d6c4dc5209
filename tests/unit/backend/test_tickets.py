"""Who waits for the model, in which order, and for how long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.errors import Busy, DeadlinePassed, ImageError, Superseded
from backend.queue.scheduling import ModelQueue, Priority
from tests.unit.backend.queues import BATCH, CLICK, OPEN, PATIENCE, PREVIEW, Clock, Gate, depth, drain, make

__all__ = ["make"]  # a fixture


def test_result_and_thread(make: Callable[..., ModelQueue]) -> None:
    assert make().submit(lambda: threading.current_thread().name, CLICK).result() == "model"


def test_order_is_priority_then_arrival(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    coming = (
        ("b1", BATCH),
        ("p1", PREVIEW),
        ("o1", OPEN),
        ("c1", CLICK),
        ("b2", BATCH),
        ("c2", CLICK),
        ("p2", PREVIEW),
    )
    for name, priority in (*coming, ("o2", OPEN)):
        queue.submit(lambda name=name: ran.append(name), priority)  # type: ignore[misc]
    assert [depth(queue, priority) for priority in Priority] == [2, 2, 2, 2]
    gate.open()
    drain(queue)
    assert ran == ["c1", "c2", "o1", "o2", "p1", "p2", "b1", "b2"]


def test_promoted_job_goes_behind_those_that_wait_there(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(), []
    gate = Gate(queue)
    opened = queue.submit(lambda: ran.append("opened"), OPEN)
    queue.submit(lambda: ran.append("other"), OPEN)
    queue.submit(lambda: ran.append("click"), CLICK)
    opened.share(CLICK)
    opened.share(BATCH)
    queue.submit(lambda: ran.append("later"), CLICK)
    gate.ticket.share(CLICK)
    gate.open()
    drain(queue)
    opened.share(CLICK)
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
    assert depth(queue, CLICK) == 0
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
    assert (depth(queue, BATCH), depth(queue, CLICK)) == (0, 1)
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
    assert depth(queue, CLICK) == 0
    gate.open()
    drain(queue)
    assert ran == []


def test_failure_reaches_its_tickets_only(make: Callable[..., ModelQueue], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "backend.queue.scheduling")
    seen: list[tuple[str, Exception | None]] = []
    queue = make(on_finished=lambda name, error: seen.append((name, error)))

    def fail(error: Exception) -> None:
        raise error

    defect, expected = KeyError("x"), ImageError("the image is torn")
    for error, name in ((defect, "encode"), (expected, "")):
        ticket = queue.submit(lambda error=error: fail(error), CLICK, name=name)  # type: ignore[misc]
        with pytest.raises(type(error)) as raised:
            ticket.result()
        assert raised.value is error
    assert queue.submit(lambda: 5, CLICK, name="decode").result() == 5
    assert seen == [("encode", defect), ("", expected), ("decode", None)]
    assert [(record.levelname, record.getMessage(), bool(record.exc_info)) for record in caplog.records] == [
        ("ERROR", "model job encode failed unexpectedly", True),
        ("INFO", "model job without a name: the image is torn", False),
    ]


def test_all_but_opened_tasks_are_refused_beyond_the_limit(make: Callable[..., ModelQueue]) -> None:
    queue = make(limits={CLICK: 2, OPEN: 1, PREVIEW: 1, BATCH: 1})
    gate = Gate(queue)
    clicks = [queue.submit(lambda: None, CLICK) for _ in range(2)]
    queue.submit(lambda: None, BATCH)
    with pytest.raises(Busy, match=r"^2 clicks wait for the model already; try again in a moment$"):
        queue.submit(lambda: None, CLICK)
    with pytest.raises(Busy, match=r"^1 batch jobs wait"):
        queue.submit(lambda: None, BATCH)
    queue.submit(lambda: None, PREVIEW)
    with pytest.raises(Busy, match=r"^1 previews wait"):
        queue.submit(lambda: None, PREVIEW)
    opened = queue.submit(lambda: 7, OPEN)
    with pytest.raises(Busy):
        opened.share(CLICK)
    clicks[0].cancel()
    opened.share(CLICK)
    gate.open()
    assert opened.result() == 7


def test_of_opened_tasks_the_oldest_gives_way(make: Callable[..., ModelQueue]) -> None:
    queue, ran = make(limits={CLICK: 1, OPEN: 2, PREVIEW: 0, BATCH: 1}), []
    gate = Gate(queue)
    tickets = [queue.submit(lambda name=name: ran.append(name), OPEN) for name in range(4)]  # type: ignore[misc]
    assert depth(queue, OPEN) == 2
    with pytest.raises(Busy, match=r"^more than 2 opened tasks wait for the model: the oldest gave way$"):
        tickets[0].result()
    assert tickets[1].share(CLICK) is None
    gate.open()
    drain(queue)
    assert ran == [2, 3]


def test_kind_without_room_is_refused(make: Callable[..., ModelQueue]) -> None:
    with pytest.raises(Busy, match=r"^0 opened tasks wait"):
        make(limits={CLICK: 1, OPEN: 0, PREVIEW: 0, BATCH: 0}).submit(lambda: None, OPEN)


def test_jobs_that_came_too_late_make_room(make: Callable[..., ModelQueue]) -> None:
    clock = Clock()
    queue = make(limits={CLICK: 1, OPEN: 1, PREVIEW: 0, BATCH: 1}, clock=clock)
    gate = Gate(queue)
    late = queue.submit(lambda: None, CLICK, deadline=1001.0)
    clock.now = 1002.0
    fresh = queue.submit(lambda: 3, CLICK)
    assert late.done
    gate.open()
    assert fresh.result() == 3
