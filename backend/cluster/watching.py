"""Which replicas there are and how they are, asked for every few seconds: `/health` answers from it at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from backend.cluster.figures import Figures
from backend.cluster.hosts import Hosts
from backend.cluster.messages import Report
from backend.cluster.placing import Placement, host_of
from backend.cluster.problems import problems_of
from backend.errors import ModelNotReady
from backend.weights.catalog import ModelFiles

logger = logging.getLogger(__name__)
PERIOD_SECONDS = 2.0
FIRST_PERIOD_SECONDS = 0.2  # until the first is there
KEPT_SECONDS = 60.0  # that reports count when no new ones come
WHY_SECONDS = 10.0


class Watched(Protocol):
    """How replicas are asked: `backend.cluster.calls.Replicas`, over Ray."""

    async def reports(self) -> list[Report]:
        """How all replicas are that answer in time."""

    async def why_missing(self) -> str | None:
        """Why a replica does not start; None where nothing says so."""


class ReplicaWatch:
    """The last reports. Used on the event loop alone."""

    def __init__(
        self, replicas: Watched, wanted: int, files: ModelFiles, figures: Figures, placement: Placement, hosts: Hosts
    ) -> None:
        """
        Args:
            wanted: how many replicas there are to be.
            placement: is told which replicas answer.
        """
        self._replicas = replicas
        self._wanted = wanted
        self._files = files
        self._figures = figures
        self._placement = placement
        self._hosts = hosts
        self._reports: list[Report] = []
        self._heard = -KEPT_SECONDS
        self._problems: list[str] = []
        self._missing: str | None = None
        self._asked_why = -WHY_SECONDS
        figures.wanted.set(wanted)

    @property
    def ready(self) -> list[Report]:
        """Those that answer clicks."""
        return [one for one in self._reports if one.state in ("ready", "degraded")]

    @property
    def wanted(self) -> int:
        """How many there are to be."""
        return self._wanted

    @property
    def remembered_hosts(self) -> frozenset[str]:
        """Hosts whose replicas answer, or did not long ago."""
        return frozenset(map(host_of, self._placement.names))

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
        """How the replicas are now; for a while as they were, where none answers."""
        found = await self._replicas.reports()
        if found or time.monotonic() - self._heard > KEPT_SECONDS:
            self._reports = found
        if found:
            self._heard = time.monotonic()
            self._placement.report(one.replica for one in self.ready)
        self._figures.ready.set(len(self.ready))
        self._note(problems_of(self._reports, time.time()))
        return self._reports

    def state(self) -> tuple[str, str | None]:
        """Of the whole, as `/health` of one process has it."""
        ready = self.ready
        reasons = [f"{host} is drained" for host in sorted(self._hosts.drained)]
        if len(ready) < self._wanted:
            missing = f"{len(ready)} of {self._wanted} replicas answer"
            reasons.insert(0, missing if self._missing is None else f"{missing}: {self._missing}")
        if not ready:
            return "loading", self._missing
        reasons += self._problems
        return ("degraded", "; ".join(reasons)) if reasons else ("ready", None)

    def answer_without(self, ask: str, tasks: int) -> dict[str, Any]:
        """What a page gets while no replica has its model, which is no error."""
        if ask == "opened":
            return {"results": [[] for _ in range(tasks)]}
        found: dict[str, Any] = {"model_version": self._files.version, "score": 0.0, "result": []}
        if ask == "state":
            return {"results": [{**found, "state": {"backend": "loading", "model": self._files.name}}]}
        return {"results": [{**found, "preview": {"outline": []}}]}

    def _note(self, problems: list[str]) -> None:
        for one in problems:
            if one not in self._problems:
                logger.warning("%s", one)
        self._problems = problems

    async def _watch(self) -> None:
        while True:
            before = len(self.ready)
            await self.reports()
            if len(self.ready) != before:
                logger.info("%d of %d replicas answer", len(self.ready), self._wanted)
            await self._ask_why()
            await asyncio.sleep(PERIOD_SECONDS if self.ready else FIRST_PERIOD_SECONDS)

    async def _ask_why(self) -> None:
        """Why replicas are missing, as Ray Serve has it of those that do not start."""
        if len(self.ready) >= self._wanted:
            self._missing = None
        elif time.monotonic() - self._asked_why >= WHY_SECONDS:
            self._asked_why = time.monotonic()
            found = await self._replicas.why_missing()
            if found is not None and found != self._missing:
                logger.warning("replicas are missing: %s", found)
            self._missing = found
