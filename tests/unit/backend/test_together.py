"""Jobs of one kind that wait are done in one call; what is wrong with one of them is that one's alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from backend.errors import ImageError, Superseded
from backend.queue.scheduling import ModelQueue, Priority, Ticket, Together
from tests.unit.backend.queues import BATCH, CLICK, Clock, Gate, drain, make

__all__ = ["make"]  # a fixture


class Doubled:
    """Doubles numbers, several at once; remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.wrong: int | None = None

    def all(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        if self.wrong in numbers:
            raise ImageError(f"{self.wrong} cannot be doubled")
        return [2 * number for number in numbers]

    def submit(
        self, queue: ModelQueue, number: int, priority: Priority = CLICK, kind: str = "double", limit: int = 4
    ) -> Ticket[int]:
        together = Together(kind, number, self.all, limit)
        return queue.submit(lambda: self.all([number])[0], priority, name="double", together=together)


def test_jobs_that_wait_are_one_call(make: Callable[..., ModelQueue]) -> None:
    finished: list[tuple[str, Exception | None]] = []
    queue, doubled = make(on_finished=lambda name, error: finished.append((name, error))), Doubled()
    gate = Gate(queue)
    tickets = [doubled.submit(queue, number) for number in range(6)]
    gate.open()
    assert [ticket.result() for ticket in tickets] == [0, 2, 4, 6, 8, 10]
    assert doubled.calls == [[0, 1, 2, 3], [4, 5]]  # in order, as many as one call takes
    drain(queue)
    assert finished[1:7] == [("double", None)] * 6
    assert queue.state().running is None


def test_only_the_same_kind_and_priority_go_together(make: Callable[..., ModelQueue]) -> None:
    queue, doubled = make(), Doubled()
    gate = Gate(queue)
    plain = queue.submit(lambda: "plain", CLICK)
    tickets = [
        doubled.submit(queue, 1), doubled.submit(queue, 2, BATCH), doubled.submit(queue, 3, kind="other"),
        doubled.submit(queue, 4), doubled.submit(queue, 5, limit=1),
    ]  # fmt: skip
    gate.open()
    assert [ticket.result() for ticket in tickets] == [2, 4, 6, 8, 10]
    assert plain.result() == "plain"
    assert doubled.calls == [[1, 4, 5], [3], [2]]


def test_a_job_whose_limit_is_one_takes_nobody_with_it(make: Callable[..., ModelQueue]) -> None:
    queue, doubled = make(), Doubled()
    gate = Gate(queue)
    tickets = [doubled.submit(queue, number, limit=1) for number in range(3)]
    gate.open()
    assert [ticket.result() for ticket in tickets] == [0, 2, 4]
    assert doubled.calls == [[0], [1], [2]]


def test_a_call_that_fails_is_done_one_by_one(make: Callable[..., ModelQueue]) -> None:
    queue, doubled = make(), Doubled()
    doubled.wrong = 1
    gate = Gate(queue)
    tickets = [doubled.submit(queue, number) for number in range(3)]
    gate.open()
    assert [tickets[0].result(), tickets[2].result()] == [0, 4]
    with pytest.raises(ImageError, match=r"^1 cannot be doubled$"):
        tickets[1].result()
    assert doubled.calls == [[0, 1, 2], [0], [1], [2]]


def test_who_gave_up_or_came_too_late_is_not_done(make: Callable[..., ModelQueue]) -> None:
    clock = Clock()
    queue, doubled = make(clock=clock), Doubled()
    gate = Gate(queue)
    tickets = [doubled.submit(queue, number) for number in range(3)]
    late = queue.submit(lambda: 0, CLICK, deadline=clock.now + 1, together=Together("double", 9, doubled.all, 4))
    assert tickets[1].cancel()
    clock.now += 2
    gate.open()
    assert [tickets[0].result(), tickets[2].result()] == [0, 4]
    with pytest.raises(Superseded):
        tickets[1].result()
    drain(queue)
    assert late.done
    assert doubled.calls == [[0, 2]]
