"""From a shape to Label Studio's results, with the tags of the project that it goes into."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import LabelrigError
from dataset.export.regions import Region
from dataset.label_names import quoted
from labeling.config import ControlTag, LabelingConfig
from masks.arrays import Mask
from masks.measure import box_xywh
from masks.outlines import joined, parts_of
from masks.rle import encode_rle

# For each shape, what it may become, best first. A mask becomes a polygon or a box only where nothing else is there.
WAYS = {
    "brush": ("brush", "bitmask", "polygon", "rectangle"),
    "bitmask": ("bitmask", "brush", "polygon", "rectangle"),
    "polygon": ("polygon", "brush", "bitmask", "rectangle"),
    "ellipse": ("ellipse", "polygon", "brush", "bitmask", "rectangle"),
    "rectangle": ("rectangle",),
}
Result = dict[str, Any]
RegionKey = tuple[str, str, int | None]  # as `results.key_of` has it


@dataclass(frozen=True)
class Shape:
    """One object to import. `mask` ``(H, W)`` bool is there for brush and bitmask, `value` (in percent) for the others.

    `region_id` is empty where the file has none: then one is made.
    """

    region_id: str
    kind: str
    labels: tuple[str, ...]
    to_name: str
    item_index: int | None
    size_wh: tuple[int, int]
    mask: Mask | None = None
    value: Mapping[str, Any] = field(default_factory=dict)

    def pixels(self) -> Mask:
        """The mask of any kind."""
        if self.mask is not None:
            return self.mask
        return Region(
            self.region_id, self.kind, self.labels, self.to_name, self.item_index, self.size_wh, self.value
        ).mask()


class NoTag(LabelrigError):
    """The project has no tag for a shape."""


def way_of(
    kind: str, labels: tuple[str, ...], to_name: str, labeling: LabelingConfig
) -> tuple[str, ControlTag, ControlTag | None]:
    """What a shape becomes, by which tag, and the palette that labels it (None where the tag does).

    Raises:
        NoTag: no tag of the project takes it.
    """
    tools = labeling.on(to_name)
    for shape in WAYS[kind]:
        for tool in tools:
            if tool.shape != shape or (shape == "rectangle" and tool.smart and labeling.draws_masks(to_name)):
                continue
            if tool.has_labels:
                if all(tool.offers(label) for label in labels):
                    return shape, tool, None
                continue
            palette = next((one for one in tools if one.kind == "labels" and all(map(one.offers, labels))), None)
            if palette is not None:
                return shape, tool, palette
    hint = "; make masks of boxes with `./inv preannotate`" if kind == "rectangle" else ""
    label = ", ".join(map(quoted, labels))
    raise NoTag(f'no tag of the project takes a {kind} with the label {label} on the image "{to_name}"{hint}')


def results_of(
    shape: Shape, labeling: LabelingConfig, new_id: str, taken: set[RegionKey] | None = None
) -> list[Result]:
    """The results of one shape, as the editor writes them: with a palette, both carry the whole value.

    Args:
        shape: what to write.
        labeling: of the project.
        new_id: for a shape without an id, or with that of another region; parts that become regions of their own get it
            with a number.
        taken: the regions of the annotation so far, which grow by this one's: results of one id would be one region.

    Raises:
        NoTag: no tag of the project takes it.
    """
    kind, tool, palette = way_of(shape.kind, shape.labels, shape.to_name, labeling)
    values = [shape.value] if kind == shape.kind and shape.mask is None else _values(shape.pixels(), kind)
    found: list[Result] = []
    region_ids = _free_ids(shape, new_id, len(values), set() if taken is None else taken)
    for region_id, value in zip(region_ids, values, strict=True):
        found.append(_result(shape, region_id, tool, value))
        if palette is not None:
            found.append(_result(shape, region_id, palette, value))
    return found


def _free_ids(shape: Shape, new_id: str, count: int, taken: set[RegionKey]) -> list[str]:
    """The ids of a shape's regions, none of them of another region on its image; `taken` has them afterwards."""
    others = (f"{new_id}-{number}" for number in itertools.count(1))
    for first in filter(None, itertools.chain((shape.region_id, new_id), others)):
        ids = [first, *(f"{first}-{number}" for number in range(2, count + 1))][:count]
        keys = {(shape.to_name, one, shape.item_index) for one in ids}
        if taken.isdisjoint(keys):
            break
    taken |= keys
    return ids


def _values(mask: Mask, kind: str) -> list[dict[str, Any]]:
    height, width = mask.shape
    share = np.asarray([100 / width, 100 / height])
    if kind == "brush":
        return [{"format": "rle", "rle": encode_rle(mask)}]
    if kind == "bitmask":
        return [{"imageDataURL": _png(mask)}]
    if kind == "polygon":
        rings = [joined([part]) for part in parts_of(mask)]
        return [{"points": (ring * share).tolist(), "closed": True} for ring in rings]
    box = box_xywh(mask)
    if box is None:
        return []
    x, y, wide, high = np.asarray(box) * np.tile(share, 2)
    return [{"x": float(x), "y": float(y), "width": float(wide), "height": float(high), "rotation": 0}]


def _result(shape: Shape, region_id: str, tool: ControlTag, value: Mapping[str, Any]) -> Result:
    labels = {tool.kind: list(shape.labels)} if tool.has_labels else {}
    index = {} if shape.item_index is None else {"item_index": shape.item_index}
    return {
        "original_width": shape.size_wh[0],
        "original_height": shape.size_wh[1],
        "image_rotation": 0,
        "value": {**value, **labels},
        "id": region_id,
        "from_name": tool.name,
        "to_name": shape.to_name,
        "type": tool.kind,
        "origin": "manual",
        **index,
    }


def _png(mask: Mask) -> str:
    """Black where the mask is, transparent elsewhere: what the editor writes."""
    from PIL import Image

    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[mask, 3] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii")
