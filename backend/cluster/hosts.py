"""Hosts that are taken out of service, and what is under way at them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.cluster.placing import Placement

logger = logging.getLogger(__name__)
FILE = "drained-hosts.json"


@dataclass(eq=False)
class Work:
    """A request at a replica, of which host is known once it begins to answer."""

    number: int
    host: str | None = None


class Hosts:
    """Which hosts are drained. Kept in a file, so that a new ingress does not send clicks to a host under repair.

    Used on the event loop alone.
    """

    def __init__(self, placement: Placement, file: Path | None) -> None:
        """
        Args:
            file: None keeps nothing.
        """
        self._placement = placement
        self._file = file
        self._count = 0
        self._under_way: set[Work] = set()
        self._drained: dict[str, int] = dict.fromkeys(_read(file), 0)  # and how many requests had begun before
        placement.take_out(self._drained)

    @property
    def drained(self) -> frozenset[str]:
        """Hosts whose replicas get no requests."""
        return frozenset(self._drained)

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Count a request for as long as the context lasts."""
        self._count += 1
        work = Work(self._count)
        self._under_way.add(work)
        try:
            yield work
        finally:
            self._under_way.discard(work)

    def requests_at(self, host: str) -> int:
        """Requests that are at a host, or may be: of those that have not answered, all from before it was drained."""
        drained = self._drained.get(host)
        return sum(
            work.host == host or (work.host is None and drained is not None and work.number <= drained)
            for work in self._under_way
        )

    def drain(self, host: str) -> None:
        """Send nothing more to a host."""
        if host not in self._drained:
            self._change({**self._drained, host: self._count})
            logger.warning("host %s is drained: its replicas get no more requests", host)

    def resume(self, host: str) -> None:
        """Send requests to a host again."""
        if host in self._drained:
            self._change({name: count for name, count in self._drained.items() if name != host})
            logger.warning("host %s gets requests again", host)

    def _change(self, drained: dict[str, int]) -> None:
        self._drained = drained
        self._placement.take_out(drained)
        if self._file is None:
            return
        written = self._file.with_suffix(".new")
        try:
            written.write_text(json.dumps(sorted(drained)), encoding="utf-8")
            os.replace(written, self._file)
        except OSError as error:
            logger.error("%s cannot be written, and a restart forgets which hosts are drained: %s", self._file, error)


def _read(file: Path | None) -> list[str]:
    try:
        found = [] if file is None else json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        logger.error("%s cannot be read, and no host counts as drained: %s", file, error)
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
