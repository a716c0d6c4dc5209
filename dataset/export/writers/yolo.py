"""YOLO segmentation text, as ultralytics reads it: `labels/<image>.txt`, `images.txt`, `data.yaml`.

One line an object: the class (counted from 0) and one polygon, x and y as shares of the image's width and height. The
format knows neither holes nor parts, so they are joined by bridges of no width, as ultralytics' own converter joins the
parts of a COCO object. What is lost: a reader that draws the polygon's edges draws the bridge between two parts, one
pixel wide; one that tells objects from lines cannot tell parts from one object either. Edges lie a tenth of a pixel
inside the mask, so that cutting to whole pixels (`fillPoly`) and asking for pixel centres both give the mask back.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from dataset.export.classes import Classes
from dataset.export.image_name import FileNames
from dataset.export.writers.base import ExportTask, Object, Writer
from masks.outlines import joined, parts_of, simplified

INSET = 0.1
DIGITS = 8


class YoloWriter(Writer):
    """`split` writes one line for each part instead of a bridge; `tolerance` leaves out corners, in pixels."""

    needs_masks = True
    needs_sizes = False

    def __init__(self, folder: Path, *, split: bool = False, tolerance: float = 0.0) -> None:
        self._folder = folder
        self._split = split
        self._tolerance = tolerance
        self._names = FileNames(".txt")
        self._images = (folder / "images.txt").open("w", encoding="utf-8")

    def add(self, task: ExportTask, classes: Classes) -> None:
        """See `Writer`. An image without objects has an empty file: to ultralytics a background image."""
        for image in task.images:
            path = self._folder / "labels" / self._names.beside(image.file_name, task.id)
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [line for one in image.objects for line in self._lines(one, classes)]
            path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
            self._images.write(f"./images/{image.file_name}\n")

    def finish(self, classes: Classes) -> None:
        self.close()
        names = {one.id - 1: one.name for one in classes.known}
        content = {"path": ".", "train": "images.txt", "val": "images.txt", "names": names}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (self._folder / "data.yaml").write_text(text, encoding="utf-8")

    def close(self) -> None:
        self._images.close()

    def _lines(self, one: Object, classes: Classes) -> list[str]:
        parts = parts_of(one.mask, INSET)
        height, width = one.mask.shape
        number = classes.id_of(one.region.label) - 1
        rings = [joined([part]) for part in parts] if self._split else [joined(parts)]
        lines = []
        for ring in rings:
            shares = simplified(ring, self._tolerance) / np.asarray([width, height])
            lines.append(" ".join([str(number), *(f"{value:.{DIGITS}f}".rstrip("0") for value in shares.reshape(-1))]))
        return lines
