"""`masks.jsonl`: one image a line, its masks as plain run lengths that any language decodes in five lines.

`counts` are COCO's, uncompressed: column by column, runs of 0 and 1 in turn, beginning with 0. Polygons, boxes and
ellipses carry their own numbers in pixels beside the mask, so that an import makes the same shape again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataset.export import coco_rle
from dataset.export.classes import Classes
from dataset.export.regions import PIXEL_DECIMALS as DECIMALS
from dataset.export.regions import SHAPE_KEYS
from dataset.export.writers.base import ExportImage, Lines, Object, TrackNumbers, Writer, image_row
from masks.measure import box_xywh

FILE = "masks.jsonl"


class RleJsonWriter(Writer):
    """See the module."""

    needs_masks = True
    needs_sizes = True
    wants_tracks = True

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder / FILE)
        self._tracks = TrackNumbers()

    def add(self, image: ExportImage, classes: Classes) -> None:
        regions = [{**_region(one, classes), **self._tracks.row(one)} for one in image.objects]
        self._lines.write({**image_row(image), "regions": regions})

    def close(self) -> None:
        self._lines.close()


def _region(one: Object, classes: Classes) -> dict[str, Any]:
    region = one.region
    box = box_xywh(one.mask)
    row: dict[str, Any] = {
        "id": region.id,
        "kind": region.kind,
        "labels": list(region.labels),
        "class": classes.id_of(region.label),
        "bbox_xywh": list(box) if box is not None else None,
        "area": int(one.mask.sum()),
    }
    if region.kind == "polygon":
        row["points"] = [[round(float(x), DECIMALS), round(float(y), DECIMALS)] for x, y in region.points_xy()]
    elif region.kind in SHAPE_KEYS:
        row["shape"] = region.shape_pixels(DECIMALS)
    return row | {"rle": coco_rle.uncompressed(one.mask)}
