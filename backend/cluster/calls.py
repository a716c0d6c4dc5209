"""Calls to replicas over Ray: to the first of a session that is there, or to all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Any

from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError
from ray.serve._private.replica_result import ReplicaResult
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from backend.cluster.deploying import startup_problem
from backend.cluster.messages import Answer, Asked, Began, Behind, Report
from backend.cluster.repeating import GONE, ReplicaDied
from backend.errors import Busy, ReplicaGone
from backend.images.image_store import TaskImage

logger = logging.getLogger(__name__)
REPORT_SECONDS = 10.0
# A replica ended, or its host with the answer on it; or it raised what is no answer of its application.
FAILURES = (RayActorError, ObjectLostError, RayServeException, RayTaskError)
FULL = "too many requests wait for a replica; try again in a moment"


class Replicas:
    """The replicas of a deployment of Ray Serve behind `backend.cluster.routing`.

    `backend.cluster.repeating.Transport`, and `Probed` and `Watched` of `probing` and `watching`.
    """

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def call(self, session: str, asked: Asked) -> Answer | Behind:
        """See `Transport`."""
        waited = self._of(session, method_name="call").remote(asked)
        try:
            answer: Answer | Behind = await waited
        except asyncio.CancelledError:
            waited.cancel()
            raise
        except BackPressureError:
            raise Busy(FULL) from None
        except FAILURES as error:
            raise _died(error) from None
        return answer

    async def stream(self, session: str, asked: Asked) -> AsyncGenerator[Began | bytes, None]:
        """See `Transport`."""
        pieces = self._of(session, method_name="stream", stream=True).remote(asked)
        try:
            async for piece in pieces:
                yield piece
        except BackPressureError:
            raise Busy(FULL) from None
        except FAILURES as error:
            raise _died(error) from None
        finally:
            pieces.cancel()

    async def tag(self, session: str) -> str:
        """See `Transport`."""
        try:
            return str(await self._of(session, method_name="tag").remote())
        except FAILURES as error:
            raise _died(error) from None

    def _of(self, session: str, **options: Any) -> DeploymentHandle:
        return self._handle.options(session_id=session, **options)

    async def following(self, session: str, url: str, count: int) -> list[TaskImage]:
        """See `backend.cluster.ahead.Encoders`."""
        try:
            return list(await self._of(session, method_name="following").remote(url, count))
        except (RayError, RayServeException):  # one of the version before has no such method
            raise ReplicaGone(GONE) from None

    async def encode_ahead(self, replica: str, project: str | None, images: Sequence[TaskImage]) -> None:
        """See `backend.cluster.ahead.Encoders`."""
        try:
            await self._of(replica, method_name="encode_ahead").remote(project, list(images))
        except (RayError, RayServeException):
            raise ReplicaGone(GONE) from None

    async def probe(self) -> Sequence[Awaitable[Report | None]]:
        """See `Probed`; none where Serve does not say which replicas there are."""
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                # The public way waits for all of them, and one that hangs would leave none.
                asked = await self._handle.broadcast("report")._fetch_replica_results_async()
        except (TimeoutError, RayError, RayServeException):
            return []
        return [_in_time(one) for one in asked]

    async def why_missing(self) -> str | None:
        """What Ray Serve says of a replica that does not start; None where it says nothing."""
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                return await asyncio.to_thread(startup_problem)
        except (TimeoutError, RayError, RayServeException):
            return None


def _died(error: Exception) -> ReplicaDied:
    if isinstance(error, RayTaskError):
        logger.error("a replica failed unexpectedly: %s", error)  # with its traceback
        return ReplicaDied(f"it failed, {type(error).__name__}")
    return ReplicaDied(f"it died, {type(error).__name__}")


async def _in_time(asked: ReplicaResult) -> Report | None:
    try:
        async with asyncio.timeout(REPORT_SECONDS):
            found = await asked.get_async()
    except (TimeoutError, RayError, RayServeException):
        return None
    return found if isinstance(found, Report) else None
