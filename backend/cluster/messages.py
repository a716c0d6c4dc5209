"""What the ingress and the replicas send each other: requests and answers of HTTP, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.web.grants import Grant

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
    """

    replica: str
    tag: str
    state: str
    reason: str | None
    device: str
    engine: str
    metrics: bytes
