"""Label Studio's regions, put together from their entries and turned into points and boxes in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.errors import BadRequest
from backend.labelstudio.protocol import ContextRegion, RegionValue
from masks import shapes

POINTS = ("keypoint", "keypointlabels")
RECTANGLES = ("rectangle", "rectanglelabels")
ELLIPSES = ("ellipse", "ellipselabels")
POLYGONS = ("polygon", "polygonlabels")
BRUSHES = ("brush", "brushlabels")
BOXES = (*RECTANGLES, *ELLIPSES, *POLYGONS)


@dataclass(frozen=True)
class Drawn:
    """One prompt, put together from all entries of its region.

    Attributes:
        id: the region's id; None when it came without one.
        kind: `type` of the entry that holds the shape.
        size_wh: the image's width and height in pixels as the browser shows it.
    """

    id: str | None
    kind: str
    value: RegionValue
    positive: bool
    label: str | None
    size_wh: tuple[int, int]


def put_together(entries: Sequence[ContextRegion]) -> tuple[list[Drawn], ContextRegion]:
    """One prompt per region id, in the order in which they were drawn, and the newest entry that holds a shape.

    With split tags a region has two entries with one id, `keypoint` (or `rectangle` ...) and `labels`; the second
    gives the label only, and alone it is nothing. Of two shapes with one id the later counts: the prompt was moved.
    A missing `is_positive` means positive. The editor sends the pending prompts of all images of a task: those of
    another image than the newest are left out. So are masks that a model made (they have a score).

    Raises:
        BadRequest: no entry is a prompt.
    """
    shaped = [one for one in entries if one.type in (*POINTS, *BOXES) or (one.type in BRUSHES and one.score is None)]
    if not shaped:
        seen = ", ".join(sorted({one.type for one in entries}))
        raise BadRequest(f"no key point, rectangle, ellipse, polygon or brush stroke among the prompts (seen: {seen})")
    newest = shaped[-1]
    grouped: dict[object, Drawn] = {}
    for number, one in enumerate(shaped):
        if on_same_image(newest, one.to_name, one.item_index):
            key = number if one.id is None else one.id
            size_wh = (one.original_width, one.original_height)
            grouped[key] = Drawn(one.id, one.type, one.value, one.is_positive is not False, one.value.label, size_wh)
    for one in entries:
        drawn = grouped.get(one.id) if one.id is not None else None
        if drawn is not None:
            positive = drawn.positive and one.is_positive is not False
            grouped[one.id] = replace(drawn, positive=positive, label=drawn.label or one.value.label)
    return list(grouped.values()), newest


def on_same_image(region: ContextRegion, to_name: str, item_index: int | None) -> bool:
    """A task can show several images; the only one of a tag has the index 0 or none."""
    return region.to_name == to_name and (region.item_index or 0) == (item_index or 0)


def point_of(value: RegionValue, size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """Where a region was put, ``(2,)`` x, y in pixels, not clipped.

    Raises:
        BadRequest: it has no coordinates.
    """
    if value.x is None or value.y is None:
        raise BadRequest("a prompt has no x and y")
    return np.asarray([value.x * size_wh[0], value.y * size_wh[1]]) / 100


def box_of(kind: str, value: RegionValue, size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """The upright box around a rectangle, an ellipse or a polygon, ``(4,)`` xyxy in pixels, not clipped.

    A polygon counts by its box even when it fills little of it: SAM 2 learned its boxes from masks of any form.

    Raises:
        BadRequest: the shape is incomplete.
    """
    scale = np.asarray(size_wh) / 100
    if kind in POLYGONS:
        if not value.points:
            raise BadRequest("a polygon has no points")
        return shapes.around(np.asarray(value.points, dtype=np.float64) * scale)
    x, y = point_of(value, size_wh)
    if kind in ELLIPSES:
        if value.radius_x is None or value.radius_y is None:
            raise BadRequest("an ellipse has no radii")
        return shapes.ellipse_box(x, y, value.radius_x * scale[0], value.radius_y * scale[1], value.rotation)
    if value.width is None or value.height is None:
        raise BadRequest("a rectangle has no width and height")
    corners = shapes.rectangle_corners(x, y, value.width * scale[0], value.height * scale[1], value.rotation)
    return shapes.around(corners)
