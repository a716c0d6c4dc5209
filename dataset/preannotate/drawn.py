"""Boxes that people or models have drawn in Label Studio itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataset.preannotate.boxes import Box

KINDS = ("rectanglelabels", "rectangle")


def boxes_in(results: Sequence[Mapping[str, Any]]) -> list[Box]:
    """The labelled rectangles of an annotation or prediction, one for each region.

    With a shared palette a region is two results with one id: the rectangle's, and its label's.
    """
    labels: dict[str, str] = {}
    for one in results:
        value = one.get("value") or {}
        for kind in ("rectanglelabels", "labels"):
            for label in value.get(kind) or ():
                labels.setdefault(str(one.get("id")), str(label))
    found: dict[str, Box] = {}
    for one in results:
        region, value = str(one.get("id")), one.get("value") or {}
        if one.get("type") not in KINDS or region not in labels:
            continue
        sides = [value.get(name) for name in ("x", "y", "width", "height")]
        if all(isinstance(side, int | float) for side in sides):
            x, y, width, height = map(float, sides)  # type: ignore[arg-type]
            image = str(one["to_name"]) if one.get("to_name") else None
            found[region] = Box(labels[region], x, y, width, height, float(value.get("rotation") or 0.0), image)
    return list(found.values())


def newest(rows: Iterable[Mapping[str, Any]], image: str | None = None) -> list[Box]:
    """The boxes of the newest annotation or prediction that has any; with `image`, any on this image tag."""
    for row in sorted(rows, key=lambda one: int(one.get("id") or 0), reverse=True):
        boxes = [box for box in boxes_in(row.get("result") or ()) if image in (None, box.image)]
        if boxes and not row.get("was_cancelled"):
            return boxes
    return []
