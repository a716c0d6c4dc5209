"""What the annotator did (Label Studio's regions, percent) as what the model takes (arrays, pixels)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.errors import BadRequest
from backend.protocol import ContextRegion, RegionValue
from backend.segmenter import Prompts

POINTS = ("keypoint", "keypointlabels")
BOXES = ("rectangle", "rectanglelabels")


@dataclass(frozen=True)
class Drawn:
    """One prompt, put together from all entries of its region.

    Attributes:
        kind: `type` of the entry that holds the shape.
    """

    kind: str
    value: RegionValue
    positive: bool
    label: str | None


@dataclass(frozen=True)
class Click:
    """All pending prompts of one object, and where the answer belongs.

    Attributes:
        size_wh: the image's width and height in pixels as the browser shows it.
        label: of the newest prompt that has one.
    """

    drawn: tuple[Drawn, ...]
    to_name: str
    size_wh: tuple[int, int]
    item_index: int | None

    @property
    def kind(self) -> str:
        """`type` of the newest prompt."""
        return self.drawn[-1].kind

    @property
    def label(self) -> str | None:
        """The newest label."""
        return next((one.label for one in reversed(self.drawn) if one.label is not None), None)


def read_click(regions: Sequence[ContextRegion]) -> Click:
    """Put the entries of `context.result` together: one prompt per region id, in the order they were drawn.

    With split tags a region has two entries with one id: `keypoint` (or `rectangle`) and `labels`.

    Raises:
        BadRequest: nothing among the entries is a prompt, or the image is shown turned.
    """
    grouped: dict[str, Drawn] = {}
    newest: ContextRegion | None = None
    for number, region in enumerate(regions):
        key = region.id if region.id is not None else f"entry {number}"
        earlier = grouped.get(key)
        is_shape = region.type in (*POINTS, *BOXES)
        if is_shape:
            newest = region
        if is_shape or earlier is None:
            drawn = Drawn(region.type, region.value, region.is_positive is not False, region.value.label)
            if earlier is not None:
                drawn = replace(drawn, positive=drawn.positive and earlier.positive, label=drawn.label or earlier.label)
        else:
            drawn = replace(
                earlier,
                positive=earlier.positive and region.is_positive is not False,
                label=earlier.label or region.value.label,
            )
        grouped[key] = drawn
    shapes = tuple(one for one in grouped.values() if one.kind in (*POINTS, *BOXES))
    if newest is None:
        seen = ", ".join(sorted({region.type for region in regions}))
        raise BadRequest(f"no key point and no rectangle among the prompts (seen: {seen})")
    if newest.image_rotation % 360:
        raise BadRequest(
            f"the image is shown turned by {newest.image_rotation:g} degrees; turn it back before asking for a mask"
        )
    size_wh = (newest.original_width, newest.original_height)
    return Click(shapes, newest.to_name, size_wh, newest.item_index)


def to_pixels(click: Click, size_wh: tuple[int, int]) -> Prompts:
    """Convert the prompts of a click to pixels of an image of this size.

    Points are moved to the image's edge when they lie outside. Of several boxes the newest counts: the model
    takes one. A box without an area is a point.

    Raises:
        BadRequest: a prompt has no coordinates, or a box lies outside the image.
    """
    points: list[tuple[NDArray[np.float32], bool]] = []
    box: NDArray[np.float32] | None = None
    limit = np.asarray(size_wh, dtype=np.float32)
    for drawn in click.drawn:
        if drawn.kind in POINTS:
            points.append((np.clip(_corner(drawn.value, size_wh), 0, limit), drawn.positive))
            continue
        box_xyxy = _box(drawn.value, size_wh)
        if (box_xyxy[:2] >= limit).any() or (box_xyxy[2:] <= 0).any():
            raise BadRequest("the box lies outside the image")
        box_xyxy = np.clip(box_xyxy, 0, np.tile(limit, 2))
        if (box_xyxy[2:] - box_xyxy[:2] < 1e-3).any():
            points.append((box_xyxy.reshape(2, 2).mean(axis=0, dtype=np.float32), True))
        else:
            box = box_xyxy
    return Prompts(
        points_xy=np.asarray([xy for xy, _ in points], dtype=np.float32).reshape(-1, 2),
        is_positive=np.asarray([positive for _, positive in points], dtype=np.bool_),
        box_xyxy=box,
    )


def _corner(value: RegionValue, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    if value.x is None or value.y is None:
        raise BadRequest("a prompt has no x and y")
    return np.asarray([value.x / 100 * size_wh[0], value.y / 100 * size_wh[1]], dtype=np.float32)


def _box(value: RegionValue, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The upright box around a rectangle, ``(4,)`` xyxy in pixels, not clipped.

    Label Studio turns a rectangle clockwise about its corner (x, y), in pixels and not in percent.
    """
    if value.width is None or value.height is None:
        raise BadRequest("a rectangle has no width and height")
    width, height = value.width / 100 * size_wh[0], value.height / 100 * size_wh[1]
    angle = np.deg2rad(value.rotation)
    along = np.asarray([np.cos(angle), np.sin(angle)]) * width
    down = np.asarray([-np.sin(angle), np.cos(angle)]) * height
    corners = _corner(value, size_wh) + np.stack([np.zeros(2), along, down, along + down])
    return np.asarray([*corners.min(axis=0), *corners.max(axis=0)], dtype=np.float32)
