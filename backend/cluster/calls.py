"""Calls to replicas: to the one that holds a key, once more where it died, or to all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from ray.exceptions import ObjectLostError, RayActorError, RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from backend.cluster.figures import Figures
from backend.cluster.messages import Answer, Asked, Began, Behind, Report
from backend.errors import Busy, DeadlinePassed, ReplicaGone

logger = logging.getLogger(__name__)
REPORT_SECONDS = 10.0
# A replica ended, or its host with the answer on it.
DEATHS = (RayActorError, ObjectLostError, RayServeException)
FULL = "all replicas have as many requests as they take; try again in a moment"
GONE = "the replica that worked on this ended; try again"


class Replicas:
    """The replicas of a deployment, behind Ray Serve's consistent hashing: a session is a key."""

    def __init__(self, handle: DeploymentHandle, figures: Figures) -> None:
        self._handle = handle
        self._figures = figures
        self._streaming = handle.options(stream=True)

    async def call(self, key: str, asked: Asked, deadline: float, *, repeat: bool) -> Answer | Behind:
        """The answer of the replica that holds a key.

        Args:
            deadline: `time.monotonic` value.
            repeat: whether the request changes nothing, so that another replica may answer when the first one died.

        Raises:
            DeadlinePassed: no answer in time.
            Busy: all replicas of the key are full.
            ReplicaGone: it died, and so did the next one, or the request is not to be repeated.
        """
        for attempt in range(2 if repeat else 1):
            if attempt:
                self._figures.repeated.inc()
            waited = self._handle.options(session_id=key).call.remote(asked)
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    answer: Answer | Behind = await waited
            except TimeoutError:
                waited.cancel()
                raise DeadlinePassed("no replica answered in time; try again") from None
            except BackPressureError:
                raise Busy(FULL) from None
            except DEATHS as error:
                logger.warning("a replica of %s died: %s", key, type(error).__name__)
                continue
            if isinstance(answer, Answer):
                self._figures.answered.labels(answer.replica.partition(" ")[0]).inc()
            return answer
        raise ReplicaGone(GONE)

    @asynccontextmanager
    async def stream(
        self, key: str, asked: Asked, *, repeat: bool
    ) -> AsyncIterator[tuple[Began, AsyncGenerator[bytes, None]]]:
        """The beginning of an answer, and its body piece by piece.

        Raises:
            Busy, ReplicaGone: as `call`; ReplicaGone also from the body.
        """
        for attempt in range(2 if repeat else 1):
            if attempt:
                self._figures.repeated.inc()
            pieces = self._streaming.options(session_id=key).stream.remote(asked)
            try:
                began = await anext(pieces)
            except BackPressureError:
                raise Busy(FULL) from None
            except DEATHS:
                continue
            try:
                yield began, _body(pieces)
            finally:
                pieces.cancel()
            return
        raise ReplicaGone(GONE)

    async def owner(self, key: str, deadline: float) -> str:
        """The tag of the replica that holds a key now.

        Raises:
            DeadlinePassed, ReplicaGone: none says so.
        """
        for _ in range(2):
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    return str(await self._handle.options(session_id=key).tag.remote())
            except TimeoutError:
                raise DeadlinePassed("no replica answered in time; try again") from None
            except DEATHS:
                continue
        raise ReplicaGone(GONE)

    async def reports(self) -> list[Report]:
        """How all replicas are that answer."""
        try:
            found = await self._handle.broadcast("report").results_async(
                timeout_s=REPORT_SECONDS, return_exceptions=True
            )
        except (TimeoutError, RayError, RayServeException):
            return []
        return sorted((one for one in found if isinstance(one, Report)), key=lambda one: one.replica)


async def _body(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in pieces:
            yield piece
    except DEATHS:
        raise ReplicaGone(GONE) from None
