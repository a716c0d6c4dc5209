"""Answers that go on as they are made, also while one line of them takes minutes.

A connection on which nothing comes for minutes counts as dead for who waits at its other end (`backend.ask`). So an
empty line, which readers of NDJSON pass over, comes every `BEAT_SECONDS` while a line is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AsyncExitStack

from anyio import CancelScope
from anyio.to_thread import run_sync
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from backend.errors import RequestError

BEAT_SECONDS = 15.0
BEAT = "\n"


class Streamed(StreamingResponse):
    """A body that goes on as it comes. Also when the client goes, before the first piece too, its work is ended."""

    def __init__(
        self, body: AsyncIterator[bytes] | AsyncIterator[str], until_done: AsyncExitStack, status: int = 200,
        media_type: str | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            until_done: left when the body is over, or the client has gone.
        """
        super().__init__(body, status_code=status, media_type=media_type)
        self._until_done = until_done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._until_done:
            await super().__call__(scope, receive, send)


class SlowLines:
    """Lines that a thread makes, one at a time. Used on the event loop alone."""

    def __init__(self, lines: Generator[str, None, None]) -> None:
        """
        Args:
            lines: each with its line break; closed by `close`.
        """
        self._lines = lines
        self._line: asyncio.Task[str | None] | None = None

    async def begin(self) -> None:
        """Make the first line. Where that takes longer than a beat, it goes on while the answer begins.

        Raises:
            Exception: what making it raised, where it did so in that time.
        """
        self._line = self._next()
        if await _is_over(self._line):
            self._line.result()

    async def passed(self, last: Callable[[RequestError], str]) -> AsyncIterator[str]:
        """All lines, after `begin`, and the beats between them.

        Args:
            last: the line in place of one whose making raised; none comes after it.
        """
        line = self._line or self._next()
        while True:
            while not await _is_over(line):
                yield BEAT
            try:
                made = line.result()
            except RequestError as error:
                yield last(error)
                return
            if made is None:
                return
            yield made
            self._line = line = self._next()

    async def close(self) -> None:
        """End it. Waits for the line that is in work, which who calls has given up."""
        if self._line is not None:
            with CancelScope(shield=True):
                await asyncio.wait({self._line})
            if not self._line.cancelled():
                self._line.exception()  # its reader has gone, which is no fault
        self._lines.close()

    def _next(self) -> asyncio.Task[str | None]:
        return asyncio.create_task(run_sync(next, self._lines, None))


async def _is_over(line: asyncio.Task[str | None]) -> bool:
    """Whether a line is made, or failed, before the next beat is due."""
    done, _ = await asyncio.wait({line}, timeout=BEAT_SECONDS)
    return bool(done)
