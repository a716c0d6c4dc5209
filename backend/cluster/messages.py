"""What the ingress and the replicas send each other: requests and answers of HTTP, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.web.grants import Grant

NAME = "name"  # in what a replica tells Ray Serve of itself
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class ProjectState:
    """What a project's owner said to the ingress, and every replica has to know: options, and pairs' transforms."""

    options: Mapping[str, Any]
    alignment: bytes | None


@dataclass(frozen=True)
class Asked:
    """A request, let in by the ingress.

    Attributes:
        path: as `scope["path"]`: decoded.
        query: as it came.
        grant: of a picture, checked by the ingress.
        project: whose state counts, with `stamp` as the ingress has it; None where none does.
        state: sent to a replica that does not know it yet.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    grant: Grant | None = None
    project: str | None = None
    stamp: str | None = None
    state: ProjectState | None = None


@dataclass(frozen=True)
class Behind:
    """The replica does not know the project's state: the same request with it, please."""


@dataclass(frozen=True)
class Began:
    """Status and headers of an answer, and which replica gives it."""

    status: int
    headers: Headers
    replica: str


@dataclass(frozen=True)
class Answer(Began):
    """A whole answer."""

    body: bytes


@dataclass(frozen=True)
class Report:
    """How a replica is.

    Attributes:
        replica: its name, of its host and its place there: the same after a restart.
        tag: of this very process: its number on its host.
        state, reason: as its `/health` has them.
        metrics: the body of its `/metrics`.
        version: of labelrig; another one than the ingress's while hosts are upgraded.
        requests: that it works on.
        waiting: jobs that wait for its model.
        jobs: of `/embed`, that wait or run.
        hits, misses: look-ups of embeddings in its memory, since it began.
        clock: its wall clock, seconds.
        gpu: which of its host it has; empty without one.
        shared: hits, misses and errors at the folder that hosts share; None without one.

    What came later has a default: while hosts are upgraded one after the other, a replica of the version before
    reports without it.
    """

    replica: str
    tag: str
    state: str
    reason: str | None
    device: str
    engine: str
    metrics: bytes
    version: str = ""
    requests: int = 0
    waiting: int = 0
    jobs: int = 0
    hits: int = 0
    misses: int = 0
    clock: float = 0.0
    gpu: str = ""
    shared: tuple[int, int, int] | None = None

    @property
    def hit_ratio(self) -> float | None:
        """Share of embeddings that it found in its memory, 0 to 1; None before the first look-up."""
        total = self.hits + self.misses
        return self.hits / total if total else None
