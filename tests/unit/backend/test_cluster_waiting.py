"""Waits that others end."""

from __future__ import annotations

import asyncio
import time

import pytest

from backend.cluster.waiting import ReplicaSilent, Runs, Silence, Wait, together
from backend.errors import Busy, Superseded


async def never() -> None:
    await asyncio.Event().wait()


async def begun(wait: Wait, deadline: float | None = None) -> asyncio.Task[None]:
    """A task that waits for what never comes, and waits already."""
    began = asyncio.Event()

    async def result() -> None:
        began.set()
        await never()

    task = asyncio.create_task(wait.result(result, deadline))
    await began.wait()
    return task


def test_wait_ends_with_what_it_is_ended_with() -> None:
    async def body() -> None:
        wait = Wait()
        task = await begun(wait)
        wait.end(Superseded("newer"))
        with pytest.raises(Superseded, match="newer"):
            await task
        with pytest.raises(Superseded, match="newer"):  # and so does the next of the same request
            await wait.result(never)

    asyncio.run(body())


def test_result_and_its_own_errors_come_through() -> None:
    async def fails() -> None:
        raise OSError("broken")

    async def body() -> None:
        assert await Wait().result(lambda: asyncio.sleep(0, 7)) == 7
        with pytest.raises(OSError, match="broken"):
            await Wait().result(fails)
        with pytest.raises(TimeoutError):
            await Wait().result(never, time.monotonic() - 1)

    asyncio.run(body())


def test_outer_wait_ends_the_inner_one() -> None:
    async def body() -> None:
        outer, inner = Wait(), Wait()
        began = asyncio.Event()

        async def result() -> None:
            began.set()
            await never()

        task = asyncio.create_task(outer.result(lambda: inner.result(result)))
        await began.wait()
        outer.end(Superseded("cancelled"))
        with pytest.raises(Superseded):
            await task

    asyncio.run(body())


def test_waits_for_a_silent_replica_alone_end() -> None:
    async def body() -> None:
        silence = Silence()
        with silence.wait("a/0") as there, silence.wait("b/0") as here, silence.wait(None) as anywhere:
            tasks = [await begun(one) for one in (there, here, anywhere)]
            silence.report({"b/0"})
            with pytest.raises(ReplicaSilent, match="b/0 does not answer"):
                await tasks[1]
            assert not tasks[0].done()
            assert not tasks[2].done()
            with silence.wait("b/0") as later, pytest.raises(ReplicaSilent):
                await later.result(never)
            silence.report(())
            with silence.wait("b/0") as again:
                assert await again.result(lambda: asyncio.sleep(0, "back")) == "back"
            for task in (tasks[0], tasks[2]):
                task.cancel()

    asyncio.run(body())


def test_run_is_cancelled_once() -> None:
    async def body() -> None:
        runs = Runs()
        with runs.running("p") as wait:
            task = await begun(wait)
            assert runs.cancel("p")
            assert not runs.cancel("p")
            with pytest.raises(Superseded):
                await task
        with runs.running("p"):
            pass
        assert not runs.cancel("p")

    asyncio.run(body())


def test_newer_run_of_a_key_ends_the_older() -> None:
    async def body() -> None:
        runs = Runs()
        with runs.running("p") as older:
            task = await begun(older)
            with runs.running("p") as newer:
                with pytest.raises(Superseded):
                    await task
                assert await newer.result(lambda: asyncio.sleep(0, 1)) == 1
        assert not runs.cancel("p")

    asyncio.run(body())


def test_of_calls_together_none_goes_on_when_one_fails() -> None:
    ended: list[str] = []

    async def held() -> int:
        try:
            await never()
        finally:
            ended.append("held")
        return 1

    async def refused() -> int:
        await asyncio.sleep(0)
        raise Busy("full")

    async def number(value: int) -> int:
        return value

    async def body() -> None:
        assert await together(number(value) for value in (3, 1, 2)) == [3, 1, 2]
        with pytest.raises(Busy, match="full"):
            await together([held(), refused()])
        assert ended == ["held"]

    asyncio.run(body())
