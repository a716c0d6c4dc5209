"""Which replicas answer when they are asked how they are, and which leave that unanswered while others answer.

A host that lost its power, or its network, closes no connection: what waits for it waits until Ray finds out. So every
replica is probed in rounds, whatever it works on: a probe needs neither its model nor its queue. One that leaves the
probes of `SILENT_ROUNDS` rounds unanswered is silent. Rounds are counted, and no clock: where this process itself was
held up, no round was.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Protocol

from backend.cluster.messages import Report
from backend.cluster.placing import Placement
from backend.cluster.waiting import Silence

logger = logging.getLogger(__name__)
ROUND_SECONDS = 2.0  # for the answers of a round; one that comes later counts for the next
SILENT_ROUNDS = 5
KEPT_SECONDS = 60.0  # that reports count when none answers


class Probed(Protocol):
    """How replicas are probed: `backend.cluster.calls.Replicas`, over Ray."""

    async def probe(self) -> Sequence[Awaitable[Report | None]]:
        """Ask all replicas how they are. What each answers; None of one that ended, or took too long."""


class Probes:
    """The last reports. Used on the event loop alone."""

    def __init__(
        self, replicas: Probed, placement: Placement, silence: Silence, round_seconds: float = ROUND_SECONDS
    ) -> None:
        """
        Args:
            placement, silence: are told who answers, and who is silent.
        """
        self._replicas = replicas
        self._placement = placement
        self._silence = silence
        self._round_seconds = round_seconds
        self._last: dict[tuple[str, str], Report] = {}
        self._heard: set[str] = set()  # since the last round that counts
        self._missed: Counter[str] = Counter()
        self._answered = -KEPT_SECONDS
        self._open: set[asyncio.Task[Report | None]] = set()

    @property
    def reports(self) -> list[Report]:
        """Of the replicas that answer."""
        return sorted(self._last.values(), key=lambda one: one.replica)

    @property
    def ready(self) -> list[Report]:
        """Of those that answer clicks."""
        return [one for one in self.reports if one.state in ("ready", "degraded")]

    @property
    def silent(self) -> frozenset[str]:
        """The names of the silent ones."""
        return self._silence.names

    @property
    def names(self) -> frozenset[str]:
        """The replicas that answer, or did not long ago."""
        return self._placement.names

    async def ask(self, *, counts: bool = False) -> None:
        """A round: ask all, and wait until all have answered, but not for long.

        Args:
            counts: whether an answer that does not come speaks against the replica: rounds that follow on each other.
        """
        tasks = {asyncio.create_task(self._taken(one)) for one in await self._replicas.probe()}
        self._open |= tasks
        for task in tasks:
            task.add_done_callback(self._open.discard)
        done, pending = await asyncio.wait(tasks, timeout=self._round_seconds) if tasks else (set(), set())
        found = {(one.replica, one.tag): one for task in done if (one := task.result()) is not None}
        if not self._heard:
            # It may be this process that reaches no one.
            if time.monotonic() - self._answered <= KEPT_SECONDS:
                return
            self._last = {}
            self._missed.clear()
        elif not pending:  # who is not among them has ended
            self._last = found
            self._missed.clear()
        else:
            if counts:
                self._missed.update({one.replica for one in self._last.values()} | set(self._missed))
                for name in self._heard:
                    del self._missed[name]
            names = {name for name, _ in found}
            last = {key: one for key, one in self._last.items() if key[0] not in names} | found
            self._last = {key: one for key, one in last.items() if self._missed[key[0]] < SILENT_ROUNDS}
        if counts:
            self._heard.clear()
        silent = {name for name, count in self._missed.items() if count >= SILENT_ROUNDS}
        answering = {one.replica for one in self.reports}
        for name in sorted(silent - self.silent):
            logger.warning("%s does not answer, and gets no requests until it does", name)
        for name in sorted(self.silent - silent):
            logger.warning("%s %s", name, "answers again" if name in answering else "ended")
        self._placement.report((one.replica for one in self.ready), silent)
        self._silence.report(silent)

    async def close(self) -> None:
        """Wait for no answer any more."""
        for task in (tasks := list(self._open)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _taken(self, answer: Awaitable[Report | None]) -> Report | None:
        report = await answer
        if report is not None:
            self._answered = time.monotonic()
            self._heard.add(report.replica)
            self._missed.pop(report.replica, None)
            self._last[report.replica, report.tag] = report
        return report
