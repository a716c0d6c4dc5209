"""What a person sees of an embed job, and what the job itself remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from backend.images.image_store import TaskImage
from backend.queue.scheduling import Ticket
from backend.segmenter import Embedding

JobState = Literal["waiting", "running", "done", "cancelled", "failed"]
SHOWN_FAILURES = 20


@dataclass(frozen=True)
class Failure:
    """An image that could not be encoded, and why, in a sentence."""

    image: str
    reason: str


@dataclass(frozen=True)
class EmbedProgress:
    """Where a job is.

    Attributes:
        encoded, skipped, failed: images so far; `skipped` were on the disk already.
        failures: the first `SHOWN_FAILURES` of them.
        images_per_second: encoded ones, since the job began; 0 before the first.
        eta_seconds: None before the first image is encoded, and after the end.
        problem: why it failed, or what keeps the result from lasting; None when all is well.
    """

    id: str
    key: str
    state: JobState
    total: int
    encoded: int
    skipped: int
    failed: int
    failures: tuple[Failure, ...]
    seconds: float
    images_per_second: float
    eta_seconds: float | None
    problem: str | None


@dataclass(eq=False)
class EmbedJob:
    """A job as `EmbedJobs` keeps it; changed under its lock alone. Times are seconds of its clock."""

    id: str
    key: str
    images: Sequence[TaskImage]  # given up at the end
    total: int
    batch_size: int
    state: JobState = "waiting"
    encoded: int = 0
    skipped: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    problem: str | None = None
    began: float | None = None
    ended: float | None = None
    cancelled: bool = False
    tickets: list[Ticket[list[Embedding]]] = field(default_factory=list)

    def cancel_tickets(self) -> None:
        """Leave what waits at the model."""
        for ticket in self.tickets:
            ticket.cancel("the embed job has ended")
        self.tickets.clear()

    def progress(self, now: float) -> EmbedProgress:
        """Where it is."""
        end = now if self.ended is None else self.ended
        seconds = 0.0 if self.began is None else end - self.began
        rate = self.encoded / seconds if seconds > 0 else 0.0
        left = self.total - self.encoded - self.skipped - self.failed
        return EmbedProgress(
            self.id, self.key, self.state, self.total, self.encoded, self.skipped, self.failed, tuple(self.failures),
            seconds, rate, left / rate if rate and self.ended is None else None, self.problem,
        )  # fmt: skip

    def fail(self, name: str, reason: str) -> None:
        """Count an image that could not be encoded."""
        self.failed += 1
        if len(self.failures) < SHOWN_FAILURES:
            self.failures.append(Failure(name, reason))
