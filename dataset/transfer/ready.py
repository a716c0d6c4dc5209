"""One image whose masks lie on its twin, before SAM2 has looked and before anything is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset.export.regions import Region
from dataset.pair_sides import Twin
from dataset.registration.features import Field
from dataset.registration.transforms import Matrix
from dataset.transfer.refine import Offer, Question, better
from dataset.transfer.regions import ImageTransfer, RegionFigures
from masks.arrays import Mask


@dataclass
class Carried:
    """A region, its mask on the twin (``(H, W)`` bool), and that mask's figures."""

    region: Region
    mask: Mask
    figures: RegionFigures


@dataclass
class Ready:
    """One image.

    Attributes:
        source: the annotation that the masks come from.
        person: who made it, as an e-mail address.
        kept: results of that annotation which are stored again beside the masks.
        edges: of the twin's picture.
        matrix: pixels of the image to pixels of the twin.
    """

    image: ImageTransfer
    twin: Twin
    source: int
    person: str
    kept: list[dict[str, Any]]
    edges: Field
    matrix: Matrix
    carried: list[Carried] = field(default_factory=list)

    @property
    def seen(self) -> list[Carried]:
        """Those that are on the twin."""
        return [one for one in self.carried if one.figures.area]

    def question(self) -> Question:
        """What SAM2 is asked; there is a mask on the twin."""
        height, width = self.seen[0].mask.shape
        return Question(self.twin.task, self.twin.url, (width, height), [one.mask for one in self.seen])

    def choose(self, offers: Sequence[Offer | None]) -> None:
        """Take what SAM2 offers, in the order of the question, where it is better."""
        for one, offer in zip(self.seen, offers, strict=True):
            one.mask, one.figures = better(one.mask, one.figures, offer, self.edges)
