"""How much of each annotated image has no label: what a class map, with one class a pixel, leaves to `ignore`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from core.text import inline
from dataset.stats.shapes import Shape

COMPLETE = 0.001  # of the pixels without a label at most: between two masks a few always stay
SHOWN = 5


@dataclass(frozen=True)
class Unlabelled:
    """One annotated image. `share` is that of its pixels without a label, in ``[0, 1]``."""

    task: int
    image: str
    share: float

    @property
    def is_complete(self) -> bool:
        """Whether next to every pixel has a label."""
        return self.share <= COMPLETE


@dataclass
class Coverage:
    """The annotated images of a project.

    Attributes:
        images: each once, by the annotation that leaves least.
        is_wanted: the project asks for complete maps.
    """

    images: list[Unlabelled] = field(default_factory=list)
    is_wanted: bool = False

    def add(self, task: int, image: str, annotations: Iterable[Sequence[Shape]]) -> None:
        """Take one annotated image.

        Args:
            annotations: of each one, its shapes on this image; those without a label count as none.
        """
        self.images.append(Unlabelled(task, image, min(map(unlabelled_share, annotations), default=1.0)))

    @property
    def median(self) -> float | None:
        """The share of the image in the middle; None without an annotated image."""
        return median(one.share for one in self.images) if self.images else None

    @property
    def complete(self) -> int:
        """How many images are complete."""
        return sum(one.is_complete for one in self.images)

    def worst(self, count: int = SHOWN) -> list[Unlabelled]:
        """Those that are not complete, the largest share first."""
        found = [one for one in self.images if not one.is_complete]
        return sorted(found, key=lambda one: (-one.share, one.task, one.image))[:count]

    def lines(self) -> list[str]:
        """For people; none without an annotated image."""
        if self.median is None:
            return []
        text = f"{percent(self.median)} of an image's pixels have no label (median)"
        head = f"{text}; {self.complete} of {len(self.images)} annotated images are complete"
        if not self.is_wanted or not self.worst():
            return [head]
        named = "; ".join(f"task {one.task}, {inline(one.image)}: {percent(one.share)}" for one in self.worst())
        more = len(self.images) - self.complete - len(self.worst())
        return [head, f"The project asks for complete maps, and these are not: {named}{f'; {more} more' * bool(more)}"]

    def as_facts(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "wanted": self.is_wanted,
            "median_percent": None if self.median is None else round(100 * self.median, 3),
            "complete": self.complete,
            "incomplete": [
                {"task": one.task, "image": one.image, "percent": round(100 * one.share, 3)}
                for one in self.worst(len(self.images))
            ],
        }


def unlabelled_share(shapes: Sequence[Shape]) -> float:
    """The share of an image's pixels that no labelled shape covers, in ``[0, 1]``; 1 without a shape."""
    masks = [one.mask for one in shapes if one.label]
    if not masks:
        return 1.0
    covered = np.zeros(masks[0].shape, bool)
    for mask in masks:
        if mask.shape == covered.shape:
            covered |= mask
    return 1 - float(covered.mean())


def percent(share: float) -> str:
    """A share for people; what is not quite none never reads as none."""
    return f"{100 * share:.1f} %" if share == 0 or share >= 0.0005 else "<0.1 %"
