"""Memory in work at once: whose turn it is, and who is refused."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.budget import MemoryBudget
from backend.errors import Busy
from tests.unit.backend.caching import WAIT, eventually, soon, together


def test_the_sum_stays_within_the_limit() -> None:
    budget = MemoryBudget(100, "the memory")
    seen, lock = [], threading.Lock()

    def work(number: int) -> None:
        with budget.hold(10 + number % 40, soon()), lock:
            seen.append(budget.held)

    assert together(40, work) == [None] * 40
    assert max(seen) <= 100
    assert (budget.held, budget.waiting) == (0, 0)


def test_who_gets_no_turn_in_time_is_told_so() -> None:
    budget = MemoryBudget(100, "the memory for pictures (WORK_MEMORY_MB=1)")
    with budget.hold(60, soon()):
        began = time.monotonic()
        message = r"^the memory for pictures \(WORK_MEMORY_MB=1\) is taken by other work; try again in a moment$"
        with pytest.raises(Busy, match=message), budget.hold(50, time.monotonic() + 0.05):
            pass
        assert time.monotonic() - began < WAIT / 2
    with budget.hold(100, time.monotonic()):
        assert budget.held == 100
    assert (budget.held, budget.waiting) == (0, 0)


def test_small_work_passes_large_work_that_waits() -> None:
    """The turns of large ones are those of arrival."""
    budget, order = MemoryBudget(100, "the memory"), []

    def large(number: int) -> None:
        with budget.hold(90, soon()):
            order.append(number)

    with ThreadPoolExecutor(2) as threads:
        with budget.hold(50, soon()):
            first = threads.submit(large, 1)
            eventually(lambda: budget.waiting == 1)
            second = threads.submit(large, 2)
            eventually(lambda: budget.waiting == 2)
            with budget.hold(12, time.monotonic()):  # at once
                assert budget.held == 62
            with pytest.raises(Busy), budget.hold(13, time.monotonic()):  # not small: it would keep them waiting
                pass
        first.result(WAIT)
        second.result(WAIT)
    assert order == [1, 2]


def test_work_above_the_limit_runs_alone() -> None:
    budget = MemoryBudget(100, "the memory")
    with budget.hold(1000, soon()), pytest.raises(Busy), budget.hold(1, time.monotonic()):
        pass
    assert budget.held == 0


def test_waiting_on_the_event_loop_blocks_no_one_else() -> None:
    budget = MemoryBudget(100, "the memory")

    async def work() -> list[str]:
        done: list[str] = []

        async def large() -> None:
            async with budget.hold_async(80, soon()):
                done.append("large")

        async with budget.hold_async(50, soon()):
            waits = asyncio.create_task(large())
            while budget.waiting != 1:
                await asyncio.sleep(0)
            with pytest.raises(Busy):
                async with budget.hold_async(80, time.monotonic()):
                    pass
            gone = asyncio.create_task(large())
            while budget.waiting != 2:
                await asyncio.sleep(0)
            gone.cancel()  # as when a client is gone
            with pytest.raises(asyncio.CancelledError):
                await gone
            done.append("small")
        await waits
        return done

    assert asyncio.run(work()) == ["small", "large"]
    assert (budget.held, budget.waiting) == (0, 0)
