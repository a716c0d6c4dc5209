"""COCO instance segmentation: `annotations.json`, as pycocotools reads it.

A mask is an RLE with `iscrowd` 0: one object, holes and all parts kept; pycocotools, torchvision and detectron2 take
RLE for single objects too (`iscrowd` 1 would mean "a crowd, not to be counted"). With `polygons`, masks without holes
become lists of polygons, one a part, along the pixels' edges. Polygons and boxes of Label Studio stay what they are,
unless they reach far outside the image.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from dataset.export import coco_rle
from dataset.export.classes import Classes
from dataset.export.regions import PIXEL_DECIMALS as DECIMALS
from dataset.export.regions import SHAPE_KEYS
from dataset.export.writers.base import ExportImage, Lines, Object, TrackNumbers, Writer, image_row
from masks.measure import box_xywh
from masks.outlines import parts_of

FILE = "annotations.json"
RLE = Literal["compressed", "uncompressed", "polygons"]


class CocoWriter(Writer):
    """Images and annotations are gathered in two files beside, because COCO wants one list after the other."""

    needs_masks = True
    needs_sizes = True
    wants_tracks = True

    def __init__(self, folder: Path, segmentation: RLE = "compressed") -> None:
        self._path = folder / FILE
        self._segmentation = segmentation
        self._images = Lines(folder / ".images", array=True)
        self._annotations = Lines(folder / ".annotations", array=True)
        self._last_id = 0
        self._tracks = TrackNumbers()

    def add(self, image: ExportImage, classes: Classes) -> None:
        self._images.write({"id": image.number, **image_row(image)})
        for one in image.objects:
            self._last_id += 1
            self._annotations.write(self._annotation(one, image, classes))

    def finish(self, classes: Classes) -> None:
        """See `Writer`. Retired classes stay in the list: their numbers are taken."""
        self.close()
        categories = [{"id": one.id, "name": one.name, "supercategory": ""} for one in classes.known]
        with self._path.open("w", encoding="utf-8") as whole:
            whole.write('{"info":{"description":"Label Studio masks, exported by labelrig"},"licenses":[],\n"images":')
            for lines, after in ((self._images, ',\n"annotations":'), (self._annotations, ',\n"categories":')):
                with lines.path.open(encoding="utf-8") as part:
                    shutil.copyfileobj(part, whole)
                whole.write(after)
                lines.path.unlink()
            whole.write(json.dumps(categories, ensure_ascii=False) + "}\n")

    def close(self) -> None:
        self._images.close()
        self._annotations.close()

    def _annotation(self, one: Object, image: ExportImage, classes: Classes) -> dict[str, Any]:
        region = one.region
        segmentation, mask = self._shape(one)
        box = box_xywh(mask)
        row: dict[str, Any] = {
            "id": self._last_id,
            "image_id": image.number,
            "category_id": classes.id_of(region.label),
            "iscrowd": 0,
            "area": int(mask.sum()),
            "bbox": list(box) if box is not None else [0, 0, 0, 0],
            "segmentation": segmentation,
            "region": region.id,
            "kind": region.kind,
        }
        if region.kind in SHAPE_KEYS:
            row["shape"] = region.shape_pixels(DECIMALS)
        if len(region.labels) > 1:
            row["labels"] = list(region.labels)
        return row | self._tracks.row(one)

    def _shape(self, one: Object) -> tuple[Any, Any]:
        """The segmentation, and the mask that a reader gets of it."""
        if one.region.kind in ("polygon", "rectangle"):
            corners = one.region.points_xy()
            flat = [round(float(value), DECIMALS) for xy in corners for value in xy]
            size_wh = (one.mask.shape[1], one.mask.shape[0])
            if not coco_rle.is_far(corners, size_wh) and (drawn := coco_rle.from_polygons([flat], size_wh)).any():
                return [flat], drawn
        if self._segmentation == "uncompressed":
            return coco_rle.uncompressed(one.mask), one.mask
        if self._segmentation == "polygons":
            parts = parts_of(one.mask)
            if not any(part.holes for part in parts):
                return [[int(value) for xy in part.outline for value in xy] for part in parts], one.mask
        return coco_rle.compressed(one.mask), one.mask
