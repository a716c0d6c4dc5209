from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from backend.caching.single_flight import SingleFlight
from backend.errors import DeadlinePassed


class EndsAtTheDeadline(Future[int]):
    """Work of another thread that ends between the time-out and the look at it."""

    def __init__(self, outcome: int | Exception) -> None:
        super().__init__()
        self._ends_with = outcome

    def result(self, timeout: float | None = None) -> int:
        if self.done():
            return super().result(timeout)
        if isinstance(self._ends_with, Exception):
            self.set_exception(self._ends_with)
        else:
            self.set_result(self._ends_with)
        raise TimeoutError


def run(future: Future[int]) -> int:
    flight: SingleFlight[str, int] = SingleFlight()
    flight._running["key"] = future
    return flight.run("key", lambda: 0, time.monotonic(), "the image")


def test_outcome_that_comes_at_the_deadline_is_taken() -> None:
    assert run(EndsAtTheDeadline(7)) == 7


def test_time_out_of_the_work_itself_is_raised() -> None:
    with pytest.raises(TimeoutError, match="slow disk"):
        run(EndsAtTheDeadline(TimeoutError("slow disk")))


def test_work_that_goes_on_is_not_waited_for() -> None:
    with pytest.raises(DeadlinePassed, match="the image did not come in time"):
        run(Future())
