"""What becomes of masks on the twin of their picture, with the figures that say which ones a person must look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from core.text import inline, some
from dataset.registration.features import Field
from dataset.registration.transforms import Matrix, Size, scaling
from dataset.transfer.fit import outline_fit
from masks.arrays import Mask
from masks.warp import carried, share_outside

PARTLY = 0.1  # of a mask beyond the twin's border is worth a line
SHOWN_WORST = 5
MOVING_GAIN = 0.15  # of the correlation with the edges: below it a mask of aligned pictures stays


@dataclass(frozen=True)
class RegionFigures:
    """One mask on the twin.

    Attributes:
        region: its id where it came from; empty where it had none.
        area: in pixels of the twin; 0 of a mask that is not there.
        outside: the share of it that lies beyond the twin's border.
        fit: see `outline_fit`; None without the twin's picture, and of a mask that is not there.
        sam2: SAM2's own estimate of its mask's IoU, where that mask is taken; None where it lies as the transform says.
        stayed: it lies where it was drawn, see `carry_or_leave`.
    """

    region: str
    label: str
    area: int
    outside: float
    fit: float | None
    sam2: float | None = None
    stayed: bool = False


@dataclass
class ImageTransfer:
    """One picture. `reason` is why nothing was carried over, in words that follow its name; else empty."""

    name: str
    twin: str = ""
    regions: list[RegionFigures] = field(default_factory=list)
    reason: str = ""


@dataclass
class Transfer:
    """All pictures, and what people must know besides.

    Attributes:
        before: pictures whose masks an earlier run carried over.
        problems: masks that could not be stored, in sentences.
    """

    images: list[ImageTransfer] = field(default_factory=list)
    before: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def done(self) -> list[ImageTransfer]:
        """The pictures whose masks were carried over."""
        return [one for one in self.images if not one.reason]

    @property
    def left_out(self) -> list[ImageTransfer]:
        """The pictures whose masks were not."""
        return [one for one in self.images if one.reason]

    @property
    def is_nothing(self) -> bool:
        """Whether everything was left out, now and before: the command fails."""
        return bool(self.left_out) and not self.done and not self.before

    @property
    def masks(self) -> list[tuple[ImageTransfer, RegionFigures]]:
        """The masks that are on a twin now."""
        return [(image, one) for image in self.done for one in image.regions if one.area]

    def as_facts(self) -> dict[str, Any]:
        """For `--json`."""
        fits = [one.fit for _, one in self.masks if one.fit is not None]
        return {
            "images": len(self.done),
            "masks": len(self.masks),
            "outside": sum(not one.area for image in self.done for one in image.regions),
            "fit": float(np.mean(fits)) if fits else None,
            "sam2": sum(one.sam2 is not None for _, one in self.masks),
            "stayed": sum(one.stayed for _, one in self.masks),
            "left_out": [{"image": one.name, "reason": one.reason} for one in self.left_out],
            "per_image": [
                {"image": one.name, "twin": one.twin, "regions": [vars(each) for each in one.regions]}
                for one in self.done
            ],
            "before": self.before,
            "notes": self.notes,
            "problems": self.problems,
        }

    def lines(self) -> list[str]:
        """For people."""
        facts = self.as_facts()
        found = [f"{facts['masks']} masks of {facts['images']} images were carried over"]
        if facts["fit"] is not None:
            found[0] += f"; their outlines agree with the edges there by {facts['fit']:.2f}"
        if facts["sam2"]:
            found.append(f"  {facts['sam2']} of them are SAM2's, which follow the edges there better")
        if facts["stayed"]:
            found.append(
                f"  {facts['stayed']} of them lie where they were drawn: the edges there do not say that they moved"
            )
        if self.before:
            found.append(f"  {self.before} images had theirs already")
        if facts["outside"]:
            found.append(f"  {facts['outside']} masks lie wholly outside the other picture and are left out")
        partly = [
            f"{inline(image.twin)} {inline(one.label)} {one.outside:.0%}"
            for image, one in self.masks
            if one.outside >= PARTLY
        ]
        if partly:
            found.append(f"  {len(partly)} masks are cut off at its border: {some(partly)}")
        worst = sorted(((one.fit, image, one) for image, one in self.masks if one.fit is not None), key=lambda x: x[0])
        if worst:
            texts = [f"{inline(image.twin)} {inline(one.label)} {fit:.2f}" for fit, image, one in worst[:SHOWN_WORST]]
            found.append(f"  look first at those that agree least: {', '.join(texts)}")
        found += [f"  left out: {inline(one.name)}: {inline(one.reason)}" for one in self.left_out]
        return found + [f"  {inline(one)}" for one in (*self.notes, *self.problems)]


def carry(
    mask: Mask, label: str, region: str, matrix: Matrix, size_wh: Size, field: Field | None
) -> tuple[Mask, RegionFigures]:
    """One mask on the twin, ``(H, W)`` bool of `size_wh`, and its figures.

    Args:
        mask: ``(H, W)`` bool of the first picture.
        matrix: its pixels to those of the twin.
        field: of the twin's picture, see `picture_field`; None where it is not at hand.
    """
    found = carried(mask, matrix, size_wh)
    area = int(found.sum())
    fit = outline_fit(found, field) if field is not None and area else None
    outside = round(share_outside(mask, matrix, size_wh), 4)
    return found, RegionFigures(region, label, area, outside, None if fit is None else round(fit, 4))


def carry_or_leave(
    mask: Mask, label: str, region: str, matrix: Matrix, size_wh: Size, field: Field
) -> tuple[Mask, RegionFigures]:
    """As `carry`, of pictures that lie on each other already: the mask moves where the twin's edges say so, by
    `MOVING_GAIN`, and else stays where it was drawn.

    Args:
        mask, matrix, size_wh: as of `carry`.
        field: of the twin's picture.
    """
    same = scaling((mask.shape[1], mask.shape[0]), size_wh)
    moved, stays = (carry(mask, label, region, each, size_wh, field) for each in (matrix, same))
    fits = moved[1].fit, stays[1].fit
    if fits[1] is None or (fits[0] is not None and fits[0] >= fits[1] + MOVING_GAIN):
        return moved
    return stays[0], replace(stays[1], stayed=True)


def counted(what: Iterable[tuple[int, str]]) -> list[str]:
    """Notes with a number, without those of 0."""
    return [f"{number} {text}" for number, text in what if number]
