"""A request as it goes to a replica, and the answer as it goes to the client."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import replace
from functools import partial
from typing import Protocol

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders

from backend.cluster.messages import Answer, Asked, Began, Behind
from backend.cluster.projects import Projects
from backend.cluster.waiting import Wait
from backend.errors import ReplicaGone, RequestError
from backend.web.grants import Grant
from backend.web.middleware import REQUEST_ID_HEADER, take_request_id
from backend.web.picture_routes import GRANT
from backend.web.streaming import Streamed

REPLICA_HEADER = "X-Labelrig-Replica"  # of an answer; of a request, whom it is for whatever its image is
# The replica has a body in one piece, and needs no password of ours.
NOT_FORWARDED = frozenset({b"authorization", b"content-length", b"transfer-encoding", b"connection", b"x-request-id"})


class Calls(Protocol):
    """How replicas are reached by keys: `backend.cluster.repeating.Repeating`."""

    async def call(self, key: str, asked: Asked, deadline: float, *, repeat: bool) -> Answer | Behind:
        """The answer of the replica that holds a key."""

    def stream(
        self, key: str, asked: Asked, deadline: float | None, *, repeat: bool
    ) -> AbstractAsyncContextManager[tuple[Began, AsyncGenerator[bytes, None]]]:
        """The beginning of an answer, and its body piece by piece."""

    async def owner(self, key: str, deadline: float) -> str:
        """The tag of the replica that holds a key now."""

    def named(self, replica: str) -> str:
        """The key of what a replica alone is to answer, by its name; NotFound where it is not known."""


class Forwarder:
    """Hands requests to replicas."""

    def __init__(self, replicas: Calls, projects: Projects) -> None:
        self._replicas = replicas
        self._projects = projects

    async def answer(
        self, request: Request, key: str, body: bytes, seconds: float, *, project: str | None = None,
        repeat: bool = True,
    ) -> Answer:  # fmt: skip
        """The answer of the replica that holds a key.

        Raises:
            NotFound: the request names a replica that is not known.
            RequestError: as `backend.cluster.repeating.Repeating.call`.
        """
        deadline = time.monotonic() + seconds
        named = request.headers.get(REPLICA_HEADER)
        key = key if named is None else self._replicas.named(named)
        asked = await self._asked(request, body, project)
        answer = await self._replicas.call(key, asked, deadline, repeat=repeat)
        # Once more for another replica, where the first one died in between.
        for _ in range(2):
            if isinstance(answer, Answer):
                return answer
            full = await self._projects.with_state(asked)
            answer = await self._replicas.call(key, full, deadline, repeat=repeat)
        raise ReplicaGone("the replica does not take over the project's options; try again")

    async def response(
        self, request: Request, key: str, body: bytes, seconds: float, *, project: str | None = None,
        repeat: bool = True,
    ) -> Response:  # fmt: skip
        """The same, for the client."""
        answer = await self.answer(request, key, body, seconds, project=project, repeat=repeat)
        return response_of(request, answer, answer.body)

    async def to(self, request: Request, replica: str, path: str, seconds: float, *, repeat: bool) -> Answer:
        """The answer of a replica, by its name, to another path, without a body.

        Raises:
            NotFound: it is not known.
            RequestError: as `backend.cluster.repeating.Repeating.call`.
        """
        key = self._replicas.named(replica)
        asked = replace(await self._asked(request, b"", None), path=path)
        answer = await self._replicas.call(key, asked, time.monotonic() + seconds, repeat=repeat)
        assert isinstance(answer, Answer)  # noqa: S101 - without a project no replica is behind
        return answer

    async def owner(self, key: str, deadline: float) -> str:
        """See `Calls`."""
        return await self._replicas.owner(key, deadline)

    async def streamed(
        self, request: Request, key: str, body: bytes, seconds: float | None, *, repeat: bool,
        run: AbstractContextManager[Wait] | None = None, last: Callable[[RequestError], bytes] | None = None,
    ) -> Response:  # fmt: skip
        """An answer whose body goes on as it comes.

        Args:
            seconds: that its beginning may take; None waits for it as long as the replica is there.
            run: left when the body is over; ends the body early.
            last: what the body ends with when its replica dies, or the run ends; without it the body breaks off.

        Raises:
            RequestError: as `backend.cluster.repeating.Repeating.stream`, or the run ended before the first piece.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        asked = await self._asked(request, body, None)
        async with AsyncExitStack() as stack:
            wait = stack.enter_context(run or nullcontext(Wait()))
            context = self._replicas.stream(key, asked, deadline, repeat=repeat)
            began, pieces = await wait.result(partial(stack.enter_async_context, context))
            rest = stack.pop_all()

        async def passed() -> AsyncIterator[bytes]:
            try:
                while piece := await wait.result(partial(anext, pieces, b"")):
                    yield piece
            except RequestError as error:
                if last is None:
                    raise
                yield last(error)

        return _with_headers(request, Streamed(passed(), rest, began.status), began)

    async def _asked(self, request: Request, body: bytes, project: str | None) -> Asked:
        headers = tuple(one for one in request.headers.raw if one[0] not in NOT_FORWARDED)
        headers += ((b"content-length", str(len(body)).encode()), (b"x-request-id", request.state.request_id.encode()))
        grant = getattr(request.state, GRANT, None)
        asked = Asked(
            request.method, request.url.path, request.scope["query_string"], headers, body,
            grant if isinstance(grant, Grant) else None,
        )  # fmt: skip
        if project is None:
            return asked
        return replace(asked, project=project, stamp=await self._projects.stamp(project))


def response_of(request: Request, answer: Began, body: bytes) -> Response:
    """An answer for the client, with the name of its replica."""
    return _with_headers(request, Response(body, status_code=answer.status), answer)


def _with_headers(request: Request, response: Response, began: Began) -> Response:
    response.raw_headers = [one for one in began.headers if one[0].lower() != REQUEST_ID_HEADER.lower().encode()]
    given = [value for name, value in began.headers if name.lower() == REQUEST_ID_HEADER.lower().encode()]
    if given:  # a page chose it, in the body
        take_request_id(request, given[0].decode("latin-1"))
    MutableHeaders(raw=response.raw_headers)[REPLICA_HEADER] = began.replica
    return response
