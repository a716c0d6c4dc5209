"""Requests to replicas: to the one that holds a key, and again to another where it ended or fell silent."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from typing import Protocol

from backend.cluster.figures import Figures
from backend.cluster.hosts import Hosts
from backend.cluster.messages import Answer, Asked, Began, Behind
from backend.cluster.placing import Placement, host_of, session_of, untried_first
from backend.cluster.waiting import ReplicaSilent, Silence, Wait
from backend.errors import DeadlinePassed, NotFound, ReplicaGone

logger = logging.getLogger(__name__)
ATTEMPTS = 3  # a host that dies may take the replica of a key and the one that took its place
GONE = "the replica that worked on this ended or failed; try again"
LATE = "no replica answered in time; try again"


class ReplicaDied(Exception):
    """The replica ended, or failed, before it answered."""


class Transport(Protocol):
    """How a request reaches a replica: `backend.cluster.calls.Replicas`, over Ray.

    It goes to the first of the session's replicas that is there: their names, divided by blanks, or a key, where no
    replica is known. All methods raise ReplicaDied, and Busy where too many wait for one. Who waits no longer cancels,
    which ends the request.
    """

    async def call(self, session: str, asked: Asked) -> Answer | Behind:
        """The whole answer."""

    def stream(self, session: str, asked: Asked) -> AsyncGenerator[Began | bytes, None]:
        """The beginning of the answer, then its body."""

    async def tag(self, session: str) -> str:
        """Which process it is: another tag than every other replica's, on whatever host."""


class Repeating:
    """`backend.cluster.forwarding.Calls`. What changes nothing is repeated, on another host where there is one.

    Used on the event loop alone.
    """

    def __init__(
        self, transport: Transport, figures: Figures, placement: Placement, hosts: Hosts, silence: Silence, places: int
    ) -> None:
        """
        Args:
            places: calls that a replica works on before others go to the next of their key. Where all have as many,
                they go to the key's own, which says what it takes.
        """
        self._transport = transport
        self._figures = figures
        self._placement = placement
        self._hosts = hosts
        self._silence = silence
        self._places = places
        self._calls: Counter[str | None] = Counter()  # under way, by replica

    async def call(self, key: str, asked: Asked, deadline: float, *, repeat: bool) -> Answer | Behind:
        """The answer of the replica that a key belongs to.

        Args:
            deadline: `time.monotonic` value.
            repeat: whether the request changes nothing, so that another replica may answer when the first one died, or
                is silent, which may be for a moment only.

        Raises:
            DeadlinePassed: no answer in time.
            Busy: too many requests wait for a replica.
            ReplicaGone: it died, and so did those that took its place, or the request is not to be repeated.
        """
        for session, name in self._attempts(key, repeat=repeat, full=self._full):
            with self._hosts.work(), self._call_at(name), self._silence.wait(name if repeat else None) as wait:
                try:
                    answer = await wait.result(partial(self._transport.call, session, asked), deadline)
                except TimeoutError:
                    raise DeadlinePassed(LATE) from None
                except (ReplicaDied, ReplicaSilent) as error:
                    logger.warning("a request of %s was not answered: %s", key, error)
                    continue
            if isinstance(answer, Answer):
                self._figures.answered.labels(answer.replica.partition(" ")[0]).inc()
            return answer
        raise ReplicaGone(GONE)

    @asynccontextmanager
    async def stream(
        self, key: str, asked: Asked, deadline: float | None, *, repeat: bool
    ) -> AsyncIterator[tuple[Began, AsyncGenerator[bytes, None]]]:
        """The beginning of an answer, and its body piece by piece.

        Args:
            deadline: for the beginning, `time.monotonic` value; None waits for it as long as the replica is there.

        Raises:
            DeadlinePassed, Busy, ReplicaGone: as `call`; ReplicaGone also from the body.
        """
        for session, name in self._attempts(key, repeat=repeat):
            with self._hosts.work() as work:
                async with aclosing(self._transport.stream(session, asked)) as pieces:
                    with self._silence.wait(name if repeat else None) as wait:
                        try:
                            began = await wait.result(partial(anext, pieces), deadline)
                        except TimeoutError:
                            raise DeadlinePassed(LATE) from None
                        except (ReplicaDied, ReplicaSilent) as error:
                            logger.warning("a request of %s was not answered: %s", key, error)
                            continue
                    assert isinstance(began, Began)  # noqa: S101 - it comes first
                    answering = began.replica.partition(" ")[0]
                    work.host = host_of(answering)
                    with self._silence.wait(answering) as wait:
                        yield began, _body(pieces, wait)
                    return
        raise ReplicaGone(GONE)

    async def owner(self, key: str, deadline: float) -> str:
        """The tag of the replica that a key belongs to now.

        Raises:
            DeadlinePassed, ReplicaGone: none says so.
        """
        for session, name in self._attempts(key, repeat=True):
            with self._silence.wait(name) as wait:
                try:
                    return await wait.result(partial(self._transport.tag, session), deadline)
                except TimeoutError:
                    raise DeadlinePassed(LATE) from None
                except (ReplicaDied, ReplicaSilent):
                    continue
        raise ReplicaGone(GONE)

    def named(self, replica: str) -> str:
        """The key of what a replica alone is to answer.

        Args:
            replica: its name. Any other text would be placed as a key, and kept for good.

        Raises:
            NotFound: no replica of this name answers, or did not long ago; the message has the names of those that do.
        """
        known = self._placement.names
        if replica not in known:
            raise NotFound(f"no replica {replica!r} answers; there are: {', '.join(sorted(known)) or 'none'}")
        return replica

    @property
    def _full(self) -> frozenset[str]:
        return frozenset(name for name, count in self._calls.items() if name is not None and count >= self._places)

    @contextmanager
    def _call_at(self, name: str | None) -> Iterator[None]:
        self._calls[name] += 1
        try:
            yield
        finally:
            self._calls[name] -= 1
            if not self._calls[name]:
                del self._calls[name]

    def _attempts(self, key: str, *, repeat: bool, full: Collection[str] = ()) -> Iterator[tuple[str, str | None]]:
        """Where to send a request, time after time: a session, and the replica that gets it unless it is gone."""
        tried: set[str] = set()
        for attempt in range(ATTEMPTS if repeat else 1):
            if attempt:
                self._figures.repeated.inc()
            order = untried_first(self._placement.order(key, full), tried)
            tried |= {host_of(name) for name in order[:1]}
            yield session_of(order, key), next(iter(order), None)


async def _body(pieces: AsyncGenerator[Began | bytes, None], wait: Wait) -> AsyncGenerator[bytes, None]:
    while True:
        try:
            piece = await wait.result(partial(anext, pieces, b""))
        except (ReplicaDied, ReplicaSilent):
            raise ReplicaGone(GONE) from None
        if not isinstance(piece, bytes) or not piece:
            return
        yield piece
