"""The regions of an annotation as masks, whatever tool made them; each once, however many results it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataset.export.regions import Region, item_index_of, size_of_result
from masks.arrays import Mask

ImagePlace = tuple[str, int]  # an image tag, and which one of a list of images


@dataclass(frozen=True)
class Shape:
    """One region that covers pixels. `mask` is ``(H, W)`` bool, `place` the image of the task that it is on."""

    label: str
    mask: Mask
    place: ImagePlace = ("", 0)


def shapes_in(results: Sequence[Mapping[str, Any]]) -> tuple[list[Shape], int]:
    """The masks of some results, and how many regions could not be read.

    Points and boxes are prompts and no masks. A region may have several results: the shape's, its label's, and a
    second shape of another type that the editor adds when a suggestion is accepted while another tool's label is
    chosen; the first shape counts, and any of its labels.
    """
    labels: dict[str, str] = {}
    results = [one for one in results if isinstance(one, Mapping)] if isinstance(results, list | tuple) else []
    for one in results:
        for label in _labels(one):
            labels.setdefault(str(one.get("id")), label)
    found: dict[str, Shape] = {}
    unreadable = 0
    for one in results:
        region = str(one.get("id"))
        if region in found:
            continue
        try:
            mask = _mask(one)
        except (ValueError, TypeError, KeyError, OSError):
            unreadable += 1
            continue
        if mask is not None:
            place = (str(one.get("to_name") or ""), item_index_of(one) or 0)
            found[region] = Shape(labels.get(region, ""), mask, place)
    return list(found.values()), unreadable


def _labels(one: Mapping[str, Any]) -> list[str]:
    value = one.get("value")
    given = value.get(str(one.get("type"))) if isinstance(value, Mapping) else None
    return [str(label) for label in given] if isinstance(given, list) else []


def _mask(one: Mapping[str, Any]) -> Mask | None:
    value = one.get("value")
    if not isinstance(value, Mapping):
        return None
    if value.get("format") == "rle" and value.get("rle"):
        kind = "brush"
    elif value.get("imageDataURL"):
        kind = "bitmask"
    elif isinstance(value.get("points"), list) and len(value["points"]) > 2:
        kind = "polygon"
    else:
        return None
    size_wh = size_of_result(one)
    if min(size_wh) < 1:
        raise ValueError("the region has no image size")
    return Region(id="", kind=kind, labels=(), to_name="", item_index=None, size_wh=size_wh, value=value).mask()
