"""Proposals are made for as long as a page asks, once for all pages, and kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from backend.errors import Busy, DeadlinePassed
from backend.geometry.proposals import Proposal
from backend.serving.everything import Told
from backend.serving.proposal_jobs import AT_ONCE, MOST_WAITING, PATIENCE_SECONDS, ProposalJobs, Proposals
from tests.unit.backend.caching import WAIT, eventually

FOUND = (Proposal(np.ones((4, 4), np.float16), 0.9),)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """Goes on by a step each time that it is let."""

    def __init__(self) -> None:
        self.steps = threading.Semaphore(0)
        self.began = 0
        self.ended = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, told: Told) -> Proposals:
        self.began += 1
        try:
            for share in (0.5, 1.0):
                assert self.steps.acquire(timeout=WAIT)
                if self.error is not None:
                    raise self.error
                told(share)
            return FOUND
        finally:
            self.ended.release()

    def let(self, steps: int) -> None:
        for _ in range(steps):
            self.steps.release()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(clock: Clock) -> Iterator[ProposalJobs]:
    one = ProposalJobs(1 << 20, clock)
    yield one
    one.close()


def test_all_who_ask_get_what_was_made_once(jobs: ProposalJobs) -> None:
    work = Work()
    assert jobs.ask("a", work).share == 0.0
    work.let(1)
    eventually(lambda: jobs.ask("a", work).share == 0.5)
    work.let(1)
    eventually(lambda: jobs.ask("a", work).proposals == FOUND)
    assert work.began == 1
    assert jobs.known("a") == FOUND
    assert jobs.known("b") is None


def test_work_that_nobody_asks_after_ends(jobs: ProposalJobs, clock: Clock) -> None:
    """Cancelling is asking no more: a page that was closed cancels too."""
    work = Work()
    jobs.ask("a", work)
    eventually(lambda: work.began == 1)
    clock.now = PATIENCE_SECONDS + 1
    work.let(1)
    assert work.ended.acquire(timeout=WAIT)
    eventually(lambda: jobs.ask("a", work).share == 0.0)
    eventually(lambda: work.began == 2)
    work.let(2)
    eventually(lambda: jobs.ask("a", work).proposals == FOUND)


def test_a_failure_is_told_once(jobs: ProposalJobs) -> None:
    work = Work()
    work.error = DeadlinePassed("clicks kept the model busy")
    jobs.ask("a", work)
    work.let(1)
    assert work.ended.acquire(timeout=WAIT)
    with pytest.raises(DeadlinePassed, match="clicks kept"):
        eventually(lambda: jobs.ask("a", work).proposals is not None)
    work.error = None
    jobs.ask("a", work)
    work.let(2)
    eventually(lambda: jobs.ask("a", work).proposals == FOUND)


def test_more_images_than_may_wait_are_refused(jobs: ProposalJobs) -> None:
    work = Work()
    for number in range(AT_ONCE + MOST_WAITING):
        jobs.ask(str(number), work)
    with pytest.raises(Busy):
        jobs.ask("one more", work)
    work.let(2 * (AT_ONCE + MOST_WAITING))
