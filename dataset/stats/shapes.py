"""The regions of an annotation as masks, whatever tool made them; each once, however many results it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset.export.regions import region_of
from dataset.export.results import regions_in, with_ids
from labeling.config import MASK_SHAPES
from masks.arrays import Mask

ImagePlace = tuple[str, int]  # an image tag, and which one of a list of images


@dataclass(frozen=True)
class Shape:
    """One region that covers pixels. `mask` is ``(H, W)`` bool, `place` the image of the task, `region` its id."""

    label: str
    mask: Mask
    place: ImagePlace = ("", 0)
    region: str = ""


def shapes_in(results: Sequence[Mapping[str, Any]]) -> tuple[list[Shape], int]:
    """The masks of some results, and how many regions could not be read.

    Points and boxes are prompts and no masks. A region is what an export takes for one: with the label of its own tag,
    not a ghost's.
    """
    given = [dict(one) for one in results if isinstance(one, Mapping)] if isinstance(results, list | tuple) else []
    found: list[Shape] = []
    unreadable = 0
    for one in regions_in(with_ids(given)):
        if one.kind not in MASK_SHAPES and (one.kind != "keypoint" or one.is_a_point):
            continue
        region = region_of(one)
        try:
            mask = region.mask()
        except ValueError:
            unreadable += 1
            continue
        place = (region.to_name, region.item_index or 0)
        found.append(Shape(region.labels[0] if region.labels else "", mask, place, region.id))
    return found, unreadable
