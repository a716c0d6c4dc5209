"""What a page's propagation holds between two steps, and what comes of a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backend.labelstudio.protocol import RegionResult
from backend.labelstudio.tracked_regions import Given
from backend.serving.in_flight import Token
from backend.serving.propagating import Propagation

ENDED = "the page ended this"


@dataclass
class PageRun:
    """One run.

    Attributes:
        token: ends what waits for the model.
        to_name: the image tag, of all its images.
        origin: the name of the nearest anchor's file.
        nearest: its place.
        given: the objects on the nearest anchor, by track.
        digests: of all masks of a track that were given, with how far behind the nearest anchor they are.
    """

    token: Token = field(default_factory=lambda: Token(ENDED))
    propagation: Propagation | None = None
    to_name: str = ""
    origin: str = ""
    nearest: int = 0
    given: dict[str, Given] = field(default_factory=dict)
    digests: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def close(self) -> None:
        """End it."""
        self.token.supersede()
        if self.propagation is not None:
            self.propagation.close()


@dataclass(frozen=True)
class Step:
    """What came of a step: the results of a prediction, and what a page must know of them."""

    results: list[RegionResult] = field(default_factory=list)
    score: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)
