"""Calls to replicas: to the one that holds a key, once more where it died, or to all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ray.exceptions import ObjectLostError, RayActorError, RayError
from ray.serve._private.replica_result import ReplicaResult
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from backend.cluster.deploying import startup_problem
from backend.cluster.figures import Figures
from backend.cluster.hosts import Hosts
from backend.cluster.messages import Answer, Asked, Began, Behind, Report
from backend.cluster.placing import Placement, host_of, other_hosts_first
from backend.errors import Busy, DeadlinePassed, ReplicaGone
from backend.images.image_store import TaskImage

logger = logging.getLogger(__name__)
REPORT_SECONDS = 10.0
ATTEMPTS = 3  # a host that dies may take the replica of a key and the one that took its place
# A replica ended, or its host with the answer on it.
DEATHS = (RayActorError, ObjectLostError, RayServeException)
FULL = "all replicas have as many requests as they take; try again in a moment"
GONE = "the replica that worked on this ended; try again"


class Replicas:
    """The replicas of a deployment of Ray Serve, behind `backend.cluster.routing`: a session is an order of names."""

    def __init__(self, handle: DeploymentHandle, figures: Figures, placement: Placement, hosts: Hosts) -> None:
        self._handle = handle
        self._figures = figures
        self._placement = placement
        self._hosts = hosts

    async def call(self, key: str, asked: Asked, deadline: float, *, repeat: bool) -> Answer | Behind:
        """The answer of the replica that a key belongs to.

        Args:
            deadline: `time.monotonic` value.
            repeat: whether the request changes nothing, so that another replica may answer when the first one died.

        Raises:
            DeadlinePassed: no answer in time.
            Busy: all replicas of the key are full.
            ReplicaGone: it died, and so did those that took its place, or the request is not to be repeated.
        """
        for attempt in range(ATTEMPTS if repeat else 1):
            if attempt:
                self._figures.repeated.inc()
            waited = self._of(key, attempt, method_name="call").remote(asked)
            with self._hosts.work():
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
        for attempt in range(ATTEMPTS if repeat else 1):
            if attempt:
                self._figures.repeated.inc()
            with self._hosts.work() as work:
                pieces = self._of(key, attempt, method_name="stream", stream=True).remote(asked)
                try:
                    began = await anext(pieces)
                except BackPressureError:
                    raise Busy(FULL) from None
                except DEATHS as error:
                    logger.warning("a replica of %s died: %s", key, type(error).__name__)
                    continue
                work.host = host_of(began.replica.partition(" ")[0])
                try:
                    yield began, _body(pieces)
                finally:
                    pieces.cancel()
                return
        raise ReplicaGone(GONE)

    def _of(self, key: str, attempt: int, **options: Any) -> DeploymentHandle:
        """The replicas of a key; when repeated, those of the hosts that were tried before come last."""
        order = self._placement.order(key)
        for _ in range(attempt):
            order = other_hosts_first(order)
        return self._handle.options(session_id=" ".join(order) or key, **options)

    async def owner(self, key: str, deadline: float) -> str:
        """The tag of the replica that a key belongs to now.

        Raises:
            DeadlinePassed, ReplicaGone: none says so.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    return str(await self._of(key, attempt, method_name="tag").remote())
            except TimeoutError:
                raise DeadlinePassed("no replica answered in time; try again") from None
            except DEATHS:
                continue
        raise ReplicaGone(GONE)

    async def following(self, key: str, url: str, count: int) -> list[TaskImage]:
        """The images that lie after one, as the replica of a key sees the folder.

        Raises:
            ReplicaGone: it does not say.
        """
        try:
            return list(await self._of(key, 0, method_name="following").remote(url, count))
        except (RayError, RayServeException):  # one of the version before has no such method
            raise ReplicaGone(GONE) from None

    async def encode_ahead(self, replica: str, project: str | None, images: Sequence[TaskImage]) -> None:
        """Have a replica encode images ahead; see `AppHost.encode_ahead`.

        Raises:
            ReplicaGone: it does not.
        """
        try:
            await self._of(replica, 0, method_name="encode_ahead").remote(project, list(images))
        except (RayError, RayServeException):
            raise ReplicaGone(GONE) from None

    async def reports(self) -> list[Report]:
        """How all replicas are that answer in time."""
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                # The public way waits for all of them, and one that hangs would leave none.
                asked = await self._handle.broadcast("report")._fetch_replica_results_async()
        except (TimeoutError, RayError, RayServeException):
            return []
        found = await asyncio.gather(*map(_in_time, asked))
        return sorted((one for one in found if one is not None), key=lambda one: one.replica)

    async def why_missing(self) -> str | None:
        """What Ray Serve says of a replica that does not start; None where it says nothing."""
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                return await asyncio.to_thread(startup_problem)
        except (TimeoutError, RayError, RayServeException):
            return None


async def _in_time(asked: ReplicaResult) -> Report | None:
    try:
        async with asyncio.timeout(REPORT_SECONDS):
            found = await asked.get_async()
    except (TimeoutError, RayError, RayServeException):
        return None
    return found if isinstance(found, Report) else None


async def _body(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in pieces:
            yield piece
    except DEATHS:
        raise ReplicaGone(GONE) from None
