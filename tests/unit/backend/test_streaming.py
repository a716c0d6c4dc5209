"""Answers whose lines take long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

import pytest

from backend.errors import Busy, RequestError
from backend.web import streaming
from backend.web.streaming import BEAT, SlowLines
from tests.unit.backend.caching import WAIT


@pytest.fixture(autouse=True)
def _short_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "BEAT_SECONDS", 0.02)


def last(error: RequestError) -> str:
    return f"{error}\n"


def test_empty_lines_come_while_a_line_is_made() -> None:
    go = threading.Event()

    def held() -> Generator[str, None, None]:
        for number in range(2):
            assert go.wait(WAIT)
            go.clear()
            yield f"{number}\n"

    async def read() -> list[str]:
        lines = SlowLines(held())
        await lines.begin()
        passed, came = lines.passed(last), list[str]()
        for _ in range(2):
            came += [await anext(passed), await anext(passed)]
            go.set()
            while came[-1] == BEAT:
                came.append(await anext(passed))
        assert [one async for one in passed] == []
        await lines.close()
        return came

    came = asyncio.run(read())
    assert came[:2] == [BEAT, BEAT]
    assert [one for one in came if one != BEAT] == ["0\n", "1\n"]
    assert came[came.index("0\n") + 1] == BEAT


@pytest.mark.parametrize("is_late", [False, True])
def test_first_line_that_fails_late_ends_the_answer(is_late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that fails in time is raised, for the status of the answer."""
    go = threading.Event()
    if not is_late:
        go.set()
        monkeypatch.setattr(streaming, "BEAT_SECONDS", WAIT)

    def failing() -> Generator[str, None, None]:
        if go.wait(WAIT):
            raise Busy("full")
        yield "never\n"

    async def read() -> list[str]:
        lines = SlowLines(failing())
        await lines.begin()
        go.set()
        return [one async for one in lines.passed(last) if one != BEAT]

    if is_late:
        assert asyncio.run(read()) == ["full\n"]
        return
    with pytest.raises(Busy, match=r"^full$"):
        asyncio.run(read())


def test_close_waits_for_the_line_that_is_in_work() -> None:
    """Then the lines are closed, by whom nothing of theirs is in use any more."""
    go, done = threading.Event(), list[str]()

    def held() -> Generator[str, None, None]:
        try:
            assert go.wait(WAIT)
            done.append("made")
            yield "0\n"
        finally:
            done.append("closed")

    async def leave() -> None:
        lines = SlowLines(held())
        await lines.begin()
        closing = asyncio.create_task(lines.close())
        await asyncio.sleep(0.05)
        assert done == []
        go.set()
        await closing

    asyncio.run(leave())
    assert done == ["made", "closed"]
