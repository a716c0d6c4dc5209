"""Which replicas there are and how they are, asked for every few seconds: `/health` answers from it at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from backend.cluster.figures import Figures
from backend.cluster.hosts import Hosts
from backend.cluster.messages import Report
from backend.cluster.placing import host_of
from backend.cluster.probing import Probes
from backend.cluster.problems import problems_of
from backend.errors import ModelNotReady
from backend.weights.catalog import ModelFiles

logger = logging.getLogger(__name__)
PERIOD_SECONDS = 2.0
FIRST_PERIOD_SECONDS = 0.2  # until the first is there
WHY_SECONDS = 10.0


class Watched(Protocol):
    """Who knows more of replicas than they say: `backend.cluster.calls.Replicas`, over Ray."""

    async def why_missing(self) -> str | None:
        """Why a replica does not start; None where nothing says so."""


class ReplicaWatch:
    """How the whole is. Used on the event loop alone."""

    def __init__(
        self, replicas: Watched, probes: Probes, wanted: int, files: ModelFiles, figures: Figures, hosts: Hosts
    ) -> None:
        """
        Args:
            wanted: how many replicas there are to be.
        """
        self._replicas = replicas
        self._probes = probes
        self._wanted = wanted
        self._files = files
        self._figures = figures
        self._hosts = hosts
        self._problems: list[str] = []
        self._missing: str | None = None
        self._asked_why = -WHY_SECONDS
        figures.wanted.set(wanted)

    @property
    def ready(self) -> list[Report]:
        """Those that answer clicks."""
        return self._probes.ready

    @property
    def wanted(self) -> int:
        """How many there are to be."""
        return self._wanted

    @property
    def remembered_hosts(self) -> frozenset[str]:
        """Hosts whose replicas answer, or did not long ago."""
        return frozenset(map(host_of, self._probes.names))

    @property
    def silent(self) -> frozenset[str]:
        """Replicas that do not answer any more, and get no requests."""
        return self._probes.silent

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask for as long as the context lasts."""
        tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._watch_missing())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._probes.close()

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
        return await self._asked(counts=False)

    def state(self) -> tuple[str, str | None]:
        """Of the whole, as `/health` of one process has it."""
        ready = self.ready
        reasons = [f"{host} is drained" for host in sorted(self._hosts.drained)]
        if len(ready) < self._wanted:
            missing = f"{len(ready)} of {self._wanted} replicas answer"
            reasons.insert(0, missing if self._missing is None else f"{missing}: {self._missing}")
        reasons += [f"{name} does not answer, and gets no requests" for name in sorted(self.silent)]
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

    async def _asked(self, *, counts: bool) -> list[Report]:
        await self._probes.ask(counts=counts)
        reports = self._probes.reports
        self._figures.ready.set(len(self.ready))
        self._note(problems_of(reports, time.time()))
        return reports

    def _note(self, problems: list[str]) -> None:
        for one in problems:
            if one not in self._problems:
                logger.warning("%s", one)
        self._problems = problems

    async def _watch(self) -> None:
        while True:
            before, began = len(self.ready), time.monotonic()
            await self._asked(counts=True)
            if len(self.ready) != before:
                logger.info("%d of %d replicas answer", len(self.ready), self._wanted)
            period = PERIOD_SECONDS if self.ready else FIRST_PERIOD_SECONDS
            await asyncio.sleep(max(0.0, period - (time.monotonic() - began)))

    async def _watch_missing(self) -> None:
        """Why replicas are missing, as Ray Serve has it of those that do not start; it may be long in answering."""
        while True:
            if len(self.ready) >= self._wanted:
                self._missing = None
            elif time.monotonic() - self._asked_why >= WHY_SECONDS:
                self._asked_why = time.monotonic()
                found = await self._replicas.why_missing()
                if found is not None and found != self._missing:
                    logger.warning("replicas are missing: %s", found)
                self._missing = found
            await asyncio.sleep(PERIOD_SECONDS)
