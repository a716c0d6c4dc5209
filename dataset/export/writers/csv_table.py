"""`regions.csv`: one region a line, for spreadsheets and pandas: image, label, box and area, without the mask itself.

Boxes are upright, in whole pixels, around the mask. An image without regions has no line.
"""

from __future__ import annotations

import csv
from pathlib import Path

from dataset.export.classes import Classes
from dataset.export.writers.base import ExportImage, Writer
from masks.measure import box_xywh

FILE = "regions.csv"
COLUMNS = (
    *("image", "to_name", "image_width", "image_height", "region", "kind", "class", "label"),
    *("left", "top", "width", "height", "area"),
)


class CsvWriter(Writer):
    """See the module."""

    needs_masks = True
    needs_sizes = False
    keeps_all_labels = False

    def __init__(self, folder: Path) -> None:
        self._file = (folder / FILE).open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def add(self, image: ExportImage, classes: Classes) -> None:
        for one in image.objects:
            region, box = one.region, box_xywh(one.mask) or (0, 0, 0, 0)
            about_image = (image.file_name, image.to_name, *image.size_wh)
            about_region = (region.id, region.kind, classes.id_of(region.label), region.label)
            self._rows.writerow((*about_image, *about_region, *box, int(one.mask.sum())))

    def close(self) -> None:
        self._file.close()
