"""YOLO segmentation text, as ultralytics reads it: `labels/<image>.txt`, `images.txt`, `data.yaml`.

Label files lie where ultralytics looks for them (see `ultralytics`): below a folder of the lab that is itself called
`images`, that is the folder `labels` beside it. Two images that differ in their suffix alone would share a file: the
second one is left out and named.

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
from dataset.export.ultralytics import IMAGES, label_path_of, line_of
from dataset.export.writers.base import ExportImage, NotWritable, Object, Writer, file_beside
from masks.outlines import joined, parts_of, simplified

INSET = 0.1
DIGITS = 8


class YoloWriter(Writer):
    """`split` writes one line for each part instead of a bridge; `tolerance` leaves out corners, in pixels."""

    needs_masks = True
    needs_sizes = False
    keeps_all_labels = False

    def __init__(self, folder: Path, *, split: bool = False, tolerance: float = 0.0) -> None:
        self._folder = folder
        self._split = split
        self._tolerance = tolerance
        self._image_of: dict[str, str] = {}
        self._among_images = 0
        self._images = (folder / "images.txt").open("w", encoding="utf-8")

    def add(self, image: ExportImage, classes: Classes) -> None:
        """See `Writer`. An image without objects has an empty file: to ultralytics a background image."""
        line, name = line_of(image.file_name), label_path_of(image.file_name)
        if name in self._image_of:
            raise NotWritable(
                f"ultralytics would read {name} for {self._image_of[name]} and for this image, since it cuts off the "
                f"suffix; rename one of them, or export it alone with --tasks {image.tasks[0]}"
            )
        labels = "".join(f"{each}\n" for one in image.objects for each in self._lines(one, classes))
        with file_beside(self._folder, name) as path, path.open("x", encoding="ascii") as file:
            file.write(labels)
        self._image_of[name] = image.file_name
        self._among_images += name.startswith(f"{IMAGES}/")
        self._images.write(f"{line}\n")

    def finish(self, classes: Classes) -> None:
        """See `Writer`.

        `data.yaml` names no `path`: ultralytics then takes the folder that it lies in, and with `.` the one that
        training is started in. It wants names without a gap.
        """
        self.close()
        names = {one.id - 1: one.name for one in classes.known}
        content = {
            "train": "images.txt",
            "val": "images.txt",
            "names": {number: names.get(number, f"unused {number}") for number in range(max(names, default=-1) + 1)},
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (self._folder / "data.yaml").write_text(text, encoding="utf-8")

    def notes(self) -> list[str]:
        """See `Writer`."""
        if not self._among_images:
            return []
        return [
            f"{self._among_images} label files lie below {IMAGES}/, where ultralytics looks for them, because a folder "
            f"with images is itself called {IMAGES}: link the images beside them (`cp -rs FOLDER {IMAGES}/`)"
        ]

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
