"""Two sides, image by image: which images pair, and how far their masks agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from core.errors import LabelrigError
from core.text import some
from dataset.agreement.confusion import ClassMap, Confusion, LabelNumbers
from dataset.agreement.objects import Matches, match_objects
from dataset.agreement.side import ImageMasks, Side
from dataset.image_lookup import Ambiguous, ImageLookup, Place

if TYPE_CHECKING:
    from core.report import Report

Size = tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """One image as the sides call it."""

    in_a: str
    in_b: str


@dataclass(frozen=True)
class ImageAgreement:
    """One image that both have annotated."""

    pair: Pair
    confusion: Confusion


@dataclass
class Agreement:
    """All of it.

    Attributes:
        total: the pixels of all images.
        objects: by label; None where a side does not tell objects.
        only_a, only_b: images that the other side has not annotated.
        problems: what was left out, and why.
    """

    a: str
    b: str
    labels: LabelNumbers = field(default_factory=LabelNumbers)
    images: list[ImageAgreement] = field(default_factory=list)
    total: Confusion = field(default_factory=Confusion)
    objects: dict[str, Matches] | None = None
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def mean_iou_per_image(self) -> float | None:
        """The mean over images of their `mean_iou`; images without a class in A and B have none."""
        values = [value for one in self.images if (value := one.confusion.mean_iou) is not None]
        return sum(values) / len(values) if values else None

    @property
    def worst_first(self) -> list[ImageAgreement]:
        """The images by their `mean_iou`, those without one last."""
        return sorted(
            self.images, key=lambda one: (one.confusion.mean_iou is None, one.confusion.mean_iou, one.pair.in_a)
        )


def compare(a: Side, b: Side, report: Report) -> Agreement:
    """Compare all images that both have annotated.

    Raises:
        LabelrigError: there is none.
        SettingsError: a mask's file cannot be read.
    """
    found = Agreement(a.name, b.name)
    if a.has_objects and b.has_objects:
        found.objects = {}
    pairs = _pairs(a, b, found)
    without: Counter[str] = Counter()
    for count, pair in enumerate(pairs, 1):
        report.progress(f"compared {count} of {len(pairs)} images")
        ours, theirs = a.read(pair.in_a), b.read(pair.in_b)
        for side, masks in (("A", ours), ("B", theirs)):
            without[f"regions of {side} could not be read as masks and do not count"] += masks.unreadable
            without[f"masks of {side} have no label and count as unlabelled"] += sum(
                not one.label for one in masks.drawn
            )
        maps = maps_of(ours, theirs, found.labels)
        if isinstance(maps, str):
            found.problems.append(f"{pair.in_a}: {maps}")
            continue
        confusion = Confusion()
        confusion.add(*maps)
        found.total.merge(confusion)
        found.images.append(ImageAgreement(pair, confusion))
        if found.objects is not None:
            for label, matches in match_objects(ours.drawn, theirs.drawn).items():
                found.objects.setdefault(label, Matches()).add(matches)
    found.notes += [f"{number} {what}" for what, number in without.items() if number]
    found.notes += [f"{name}: {line}" for name, side in (("A", a), ("B", b)) for line in side.notes.lines]
    if not found.images:
        raise LabelrigError(_nothing(a, b, found))
    return found


def maps_of(a: ImageMasks, b: ImageMasks, labels: LabelNumbers) -> tuple[ClassMap, ClassMap] | str:
    """The class maps of an image, where masks drawn later lie above; or why they cannot be compared."""
    sizes = {size for one in (a, b) for size in _sizes(one)}
    if not sizes:
        return "has no mask on either side, and nothing tells its size"
    if len(sizes) > 1:
        return f"has {' and '.join(f'{width}x{height}' for width, height in sorted(sizes))} pixels"
    (size_wh,) = sizes
    return _class_map(a, size_wh, labels), _class_map(b, size_wh, labels)


def _sizes(masks: ImageMasks) -> set[Size]:
    drawn = {(one.mask.shape[1], one.mask.shape[0]) for one in masks.drawn}
    return drawn | ({masks.size_wh} if masks.size_wh is not None else set())


def _class_map(masks: ImageMasks, size_wh: Size, labels: LabelNumbers) -> ClassMap:
    pixels = np.zeros((size_wh[1], size_wh[0]), dtype=np.int32)
    for one in masks.drawn:
        pixels[one.mask] = labels.of(one.label)
    return pixels


def _pairs(a: Side, b: Side, found: Agreement) -> list[Pair]:
    """By the longest end of the paths that both have; `task_1.png` may be `task_1.jpg` where nothing else is."""
    lookup = ImageLookup()
    for number, name in enumerate(a.images):
        lookup.add(name, Place(number, "", None, name))
    partners: dict[str, list[str]] = {}
    for name in b.images:
        try:
            place = lookup.find(name, any_suffix=True)
        except Ambiguous as error:
            found.problems.append(str(error))
            continue
        if place is None:
            found.only_b.append(name)
        else:
            partners.setdefault(place.url, []).append(name)
    pairs = []
    for name in a.images:
        theirs = partners.get(name, [])
        if len(theirs) == 1:
            pairs.append(Pair(name, theirs[0]))
        elif theirs:
            found.problems.append(f"{name}: may be {some(theirs)} of the other side, which is not known")
        else:
            found.only_a.append(name)
    return pairs


def _nothing(a: Side, b: Side, found: Agreement) -> str:
    if found.problems:
        return f"nothing could be compared: {some(found.problems)}"
    return f"no image is annotated on both sides: {a.name} has {some(a.images)}, {b.name} has {some(b.images)}"
