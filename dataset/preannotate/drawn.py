"""Boxes that people or models have drawn in Label Studio itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from core.strict_json import shown
from dataset.export.regions import region_of
from dataset.export.results import regions_in, with_ids
from dataset.preannotate.boxes import Box


class Drawn(NamedTuple):
    """The labelled boxes of an annotation or prediction, and a sentence for each that cannot be read."""

    boxes: list[Box]
    broken: list[str]


def boxes_in(results: Sequence[Mapping[str, Any]], image: str | None = None) -> Drawn:
    """The labelled rectangles of an annotation or prediction, one for each region.

    With a shared palette a region is two results with one id: the rectangle's, and its label's.

    Args:
        image: only what is on this image tag.
    """
    found = Drawn([], [])
    given = [dict(one) for one in results if isinstance(one, Mapping)] if isinstance(results, list | tuple) else []
    for one in regions_in(with_ids(given)):
        if one.kind != "rectangle" or not one.labels:
            continue
        region = region_of(one)
        if image not in (None, region.to_name):
            continue
        try:
            x, y, width, height, rotation = region.shape_percent().values()
        except ValueError as error:
            found.broken.append(f"region {shown(region.id)} ({region.label}): {error}")
        else:
            found.boxes.append(Box(region.label, x, y, width, height, rotation, region.to_name or None))
    return found


def newest(rows: Iterable[Mapping[str, Any]], image: str | None = None) -> Drawn:
    """The boxes of the newest annotation or prediction that has any; with `image`, any on this image tag."""
    for row in sorted(rows, key=lambda one: int(one.get("id") or 0), reverse=True):
        found = boxes_in(row.get("result") or (), image)
        if any(found) and not row.get("was_cancelled"):
            return found
    return Drawn([], [])
