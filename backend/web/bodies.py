"""Bodies of requests: read as far as they are small enough, parsed in threads, and counted while they are in memory.

JSON takes far more memory as objects than as text, most where it is brackets: `[],[],[],...` takes a hundred times as
much. So what it will take is estimated from the text, and counts against a budget until the request is answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request
from pydantic import BaseModel, ValidationError

from backend.budget import MemoryBudget
from backend.errors import BadRequest, Busy, TooLarge

Body = TypeVar("Body", bound=BaseModel)
MEGABYTE = 1 << 20
SHOWN_PROBLEMS = 3
# Bytes of an object or list, and of any other value, while they are parsed (measured with `[]` and `0`).
BRACKET_BYTES, VALUE_BYTES = 240, 40
# Most lists and objects, an object counting as five lists, and most values for each megabyte that a request may have:
# with 8 MB each takes a tenth of a second to parse. A task with a thousand polygons has some 100 000 lists, one with a
# hundred ragged masks a million values.
LISTS_OF_MEGABYTE, LISTS_OF_OBJECT, VALUES_OF_MEGABYTE = 31_250, 5, 312_500
UNCOUNTED_BYTES = MEGABYTE  # so much each request may take
RECEIVING = 8  # bodies of the largest size that may be arriving at once
BUDGET = 32  # times the largest body: for what is parsed
ARRIVAL_SECONDS = 60.0
DISCARDED_BYTES = 512 * MEGABYTE  # of a refused body, so that its sender reads the answer and no broken connection


class Bodies:
    """What all routes share. Used on the event loop alone."""

    def __init__(self, limit_bytes: int) -> None:
        """
        Args:
            limit_bytes: of the largest body.
        """
        self._limit = limit_bytes
        self._arriving = 0
        self._parsed = MemoryBudget(BUDGET * limit_bytes, "the memory for large requests (REQUEST_LIMIT_MB)")
        # Pydantic does not let other threads run, `/health` among them, for as long as it parses.
        self._small: CapacityLimiter | None = None
        self._large: CapacityLimiter | None = None

    @asynccontextmanager
    async def parsed(
        self,
        request: Request,
        kind: type[Body],
        format_name: str = "Label Studio's format",
        limit_bytes: int | None = None,
    ) -> AsyncIterator[Body]:
        """The body as what it must be, for as long as the request is worked on.

        Args:
            limit_bytes: where the route takes larger bodies than others.

        Raises:
            TooLarge: it has more bytes, or a list in it more entries, than may be sent.
            BadRequest: it is something else, or does not arrive.
            Busy: other large requests are worked on.
        """
        async with self._parsed_text(request, kind, format_name, limit_bytes, keep=False) as (body, _):
            yield body

    @asynccontextmanager
    async def with_text(
        self,
        request: Request,
        kind: type[Body],
        format_name: str = "Label Studio's format",
        limit_bytes: int | None = None,
    ) -> AsyncIterator[tuple[Body, bytes]]:
        """As `parsed`, and the text itself, for whoever hands the request on.

        Raises:
            TooLarge, BadRequest, Busy: as `parsed`.
        """
        async with self._parsed_text(request, kind, format_name, limit_bytes, keep=True) as found:
            yield found

    @asynccontextmanager
    async def _parsed_text(
        self, request: Request, kind: type[Body], format_name: str, limit_bytes: int | None, *, keep: bool
    ) -> AsyncIterator[tuple[Body, bytes]]:
        self._small, self._large = self._small or CapacityLimiter(2), self._large or CapacityLimiter(1)
        text = await self._received(request, limit_bytes or self._limit)
        if limit_bytes is None and self._is_dense(text):
            raise TooLarge("the request holds far more lists, objects or values than any task has; is it one?")
        cost = memory_of(text)
        if cost <= UNCOUNTED_BYTES:
            yield await run_sync(parse_body, kind, text, format_name, limiter=self._small), text
            return
        async with self._parsed.hold_async(cost):
            body = await run_sync(parse_body, kind, text, format_name, limiter=self._large)
            if not keep:
                text = b""
            yield body, text

    def _is_dense(self, text: bytes) -> bool:
        """Whether parsing would take far longer than for any task of that many bytes."""
        megabytes = self._limit / MEGABYTE
        return lists_in(text) > LISTS_OF_MEGABYTE * megabytes or text.count(b",") > VALUES_OF_MEGABYTE * megabytes

    async def _received(self, request: Request, limit: int) -> bytes:
        told = request.headers.get("Content-Length", "")
        parts: list[bytes] = []
        size = counted = 0
        problem: TooLarge | Busy | None = None
        if told.isdecimal() and (len(told) > 18 or int(told) > limit):
            problem = _too_large(limit)
        try:
            with anyio.fail_after(ARRIVAL_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    if problem is None and size > limit:
                        problem = _too_large(limit)
                    elif problem is None and self._arriving + len(part) > RECEIVING * self._limit + limit:
                        problem = Busy("too many large requests arrive at once; try again in a moment")
                    if problem is None:
                        self._arriving += len(part)
                        counted += len(part)
                        parts.append(part)
                        continue
                    parts.clear()
                    if size > DISCARDED_BYTES:
                        break
        except TimeoutError:
            raise problem or BadRequest(f"the request's body did not arrive in {ARRIVAL_SECONDS:g} s") from None
        finally:
            self._arriving -= counted
        if problem is not None:
            raise problem
        return b"".join(parts)


def lists_in(text: bytes) -> int:
    """How many lists a JSON text has at most, an object counting as five; brackets in strings count too."""
    return text.count(b"[") + LISTS_OF_OBJECT * text.count(b"{")


def memory_of(text: bytes) -> int:
    """About the most that a JSON text takes while it is parsed, in bytes; brackets and commas in strings count too."""
    brackets = text.count(b"[") + text.count(b"{")
    return len(text) + BRACKET_BYTES * brackets + VALUE_BYTES * text.count(b",")


def parse_body(kind: type[Body], body: bytes, format_name: str = "Label Studio's format") -> Body:
    """A body as what it must be.

    Raises:
        TooLarge: a list in it has more entries than may be sent.
        BadRequest: it is something else; says what is wrong without repeating any of it.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
    for one in problems:
        if one["type"] == "too_long":
            where, most = ".".join(map(str, one["loc"])), one["ctx"]["max_length"]
            raise TooLarge(f"the request holds more than it may: {where} has more than {most} entries")
    lines = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in problems[:SHOWN_PROBLEMS]]
    more = f" (and {len(problems) - SHOWN_PROBLEMS} more)" if len(problems) > SHOWN_PROBLEMS else ""
    raise BadRequest(f"the request does not follow {format_name}: {'; '.join(lines)}{more}")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the request's body has more than {limit // MEGABYTE} MB (REQUEST_LIMIT_MB): Label Studio sends a task with "
        "all of its masks, unless labelrig's own script clicks (companion)"
    )
