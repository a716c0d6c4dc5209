"""Which replicas there are and how they are, asked for every few seconds: `/health` answers from it at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from backend.cluster.figures import Figures
from backend.cluster.messages import Report
from backend.errors import ModelNotReady
from backend.weights.catalog import ModelFiles

logger = logging.getLogger(__name__)
PERIOD_SECONDS = 2.0
FIRST_PERIOD_SECONDS = 0.2  # until the first is there
KEPT_SECONDS = 60.0  # that reports count when no new ones come


class ReplicaWatch:
    """The last reports. Used on the event loop alone."""

    def __init__(
        self, ask: Callable[[], Awaitable[list[Report]]], wanted: int, files: ModelFiles, figures: Figures
    ) -> None:
        """
        Args:
            ask: for reports of all replicas.
            wanted: how many there are to be.
        """
        self._ask = ask
        self._wanted = wanted
        self._files = files
        self._figures = figures
        self._reports: list[Report] = []
        self._heard = -KEPT_SECONDS
        figures.wanted.set(wanted)

    @property
    def ready(self) -> list[Report]:
        """Those that answer clicks."""
        return [one for one in self._reports if one.state in ("ready", "degraded")]

    @property
    def wanted(self) -> int:
        """How many there are to be."""
        return self._wanted

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask for as long as the context lasts."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def some(self, wait_seconds: float) -> None:
        """Wait until a replica answers clicks.

        Raises:
            ModelNotReady: none does in time.
        """
        try:
            async with asyncio.timeout(wait_seconds):
                while not self.ready:
                    await asyncio.sleep(FIRST_PERIOD_SECONDS)
        except TimeoutError:
            raise ModelNotReady(f"no replica has its model after {wait_seconds:g} s; try again in a moment") from None

    async def reports(self) -> list[Report]:
        """How the replicas are now; for a while as they were, where one that hangs keeps all from being asked."""
        found = await self._ask()
        if found or time.monotonic() - self._heard > KEPT_SECONDS:
            self._reports = found
        if found:
            self._heard = time.monotonic()
        self._figures.ready.set(len(self.ready))
        return self._reports

    def state(self) -> tuple[str, str | None]:
        """Of the whole, as `/health` of one process has it."""
        ready = self.ready
        if not ready:
            return "loading", None
        reasons = [f"{one.replica}: {one.reason}" for one in ready if one.reason is not None]
        if len(ready) < self._wanted:
            reasons.insert(0, f"{len(ready)} of {self._wanted} replicas answer")
        return ("degraded", "; ".join(reasons)) if reasons else ("ready", None)

    def answer_without(self, ask: str, tasks: int) -> dict[str, Any]:
        """What a page gets while no replica has its model, which is no error."""
        if ask == "opened":
            return {"results": [[] for _ in range(tasks)]}
        found: dict[str, Any] = {"model_version": self._files.version, "score": 0.0, "result": []}
        if ask == "state":
            return {"results": [{**found, "state": {"backend": "loading", "model": self._files.name}}]}
        return {"results": [{**found, "preview": {"outline": []}}]}

    async def _watch(self) -> None:
        while True:
            before = len(self.ready)
            await self.reports()
            if len(self.ready) != before:
                logger.info("%d of %d replicas answer", len(self.ready), self._wanted)
            await asyncio.sleep(PERIOD_SECONDS if self.ready else FIRST_PERIOD_SECONDS)
