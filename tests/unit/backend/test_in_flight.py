"""A newer click on the same object replaces the older one, and no other."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import Busy, Superseded
from backend.queue.scheduling import ModelQueue, Priority
from backend.serving.in_flight import InFlight, Token
from tests.unit.backend.queues import depth

MESSAGE = r"^a newer click on the same object came$"
IDS = st.frozensets(st.sampled_from("abcd"))


class Cancellable:
    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self, reason: str) -> bool:
        self.cancelled += 1
        return True


def is_superseded(token: Token) -> bool:
    try:
        token.check()
    except Superseded:
        return True
    return False


@pytest.fixture
def queue() -> Iterator[ModelQueue]:
    """One whose thread does not run, so that everything in it waits."""
    queue = ModelQueue()
    yield queue
    queue.close()


@pytest.mark.parametrize(
    ("task", "ids", "superseded"),
    [
        ("1", {"a", "b"}, True),  # a further prompt
        ("1", {"a"}, True),  # the same again
        ("1", {"b"}, False),  # another annotator, or another object
        ("1", set(), False),
        ("2", {"a"}, False),
    ],
)
def test_older_click_of_the_same_object_is_superseded(task: str, ids: set[str], superseded: bool) -> None:
    clicks = InFlight(limit=8)
    with clicks.enter("1", frozenset("a")) as older, clicks.enter(task, frozenset(ids)) as newer:
        assert is_superseded(older) is superseded
        assert not is_superseded(newer)
        newer.check()
        if superseded:
            with pytest.raises(Superseded, match=MESSAGE):
                older.check()
        else:
            older.check()


@given(history=st.lists(st.tuples(st.sampled_from("12"), IDS), max_size=12))
def test_superseded_are_those_with_a_common_id(history: list[tuple[str, frozenset[str]]]) -> None:
    clicks = InFlight(limit=len(history) + 1)
    entered = [clicks.enter(task, ids) for task, ids in history]
    tokens = [one.__enter__() for one in entered]
    for place, ((task, ids), token) in enumerate(zip(history, tokens, strict=True)):
        later = history[place + 1 :]
        assert is_superseded(token) is any(task == other and ids & shared for other, shared in later)
    for one in entered:
        one.__exit__(None, None, None)
    assert len(clicks) == 0


def test_superseding_cancels_tickets_and_wakes_who_waits(queue: ModelQueue) -> None:
    clicks = InFlight(limit=8)
    ran: list[int] = []
    attached = threading.Event()

    def older() -> None:
        with clicks.enter("1", frozenset("a")) as token:
            ticket = token.attach(queue.submit(lambda: ran.append(1), Priority.CLICK))
            attached.set()
            ticket.result()

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(older)
        assert attached.wait(30)
        with clicks.enter("1", frozenset("ab")):
            with pytest.raises(Superseded):
                answer.result(30)
            assert len(clicks) == 1
    assert depth(queue, Priority.CLICK) == 0
    queue.start()
    queue.submit(lambda: None, Priority.BATCH).result()
    assert ran == []


def test_ticket_that_comes_too_late_is_cancelled_at_once() -> None:
    clicks, ticket = InFlight(limit=8), Cancellable()
    with (
        clicks.enter("1", frozenset("a")) as older,
        clicks.enter("1", frozenset("a")),
        pytest.raises(Superseded, match=MESSAGE),
    ):
        older.attach(ticket)
    assert ticket.cancelled == 1


def test_click_that_left_is_not_touched() -> None:
    clicks, ticket = InFlight(limit=8), Cancellable()
    tokens = []

    def failing() -> None:
        with clicks.enter("1", frozenset("a")) as token:
            tokens.append(token)
            token.attach(ticket)
            raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        failing()
    with clicks.enter("1", frozenset("a")):
        assert not is_superseded(tokens[0])
    assert ticket.cancelled == 0


def test_refuses_clicks_beyond_the_limit() -> None:
    clicks = InFlight(limit=2)
    with clicks.enter("1", frozenset("a")) as first, clicks.enter("2", frozenset("b")):
        refused = clicks.enter("1", frozenset("a"))
        with pytest.raises(Busy, match=r"^2 clicks are being answered or wait already; try again in a moment$"):
            refused.__enter__()
        assert not is_superseded(first)
        assert len(clicks) == 2
    with clicks.enter("1", frozenset("a")):
        assert len(clicks) == 1


def test_many_annotators_at_once() -> None:
    """Each continues its own object: nobody cancels anybody else, and each last click gets through."""
    clicks, threads = InFlight(limit=100), 8

    def annotator(number: int) -> int:
        chance, superseded = random.Random(number), 0
        for step in range(300):
            ids = frozenset(f"{number}-{step}-{prompt}" for prompt in range(chance.randint(1, 3)))
            with clicks.enter("1", ids) as token:
                token.check()
                if chance.random() < 0.5:
                    with clicks.enter("1", ids) as newer:
                        superseded += is_superseded(token)
                        newer.check()
        return superseded

    with ThreadPoolExecutor(threads) as pool:
        counts = list(pool.map(annotator, range(threads)))
    assert all(counts)
    assert len(clicks) == 0
