"""Tracks as pixels: `mots/<image>.png`, 16 bits, class x 1000 + the object's number in its sequence; 0 is the ground.

The coding is that of KITTI MOTS (Voigtlaender et al., "MOTS: Multi-Object Tracking and Segmentation", CVPR 2019, and
its mots_tools): a number is that of one object in all images of a folder. `mots.jsonl` says what each number is. Where
objects overlap, the one drawn later lies above, as in the masks of classes.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from core.errors import LabelrigError
from dataset.export.classes import Classes
from dataset.export.writers.base import ExportImage, Lines, TrackNumbers, file_beside

OF_A_CLASS = 1000
MOST_CLASSES = 65535 // OF_A_CLASS  # the last one would not have all of its numbers
FOLDER = "mots"


class MotsFiles:
    """The files beside the masks of classes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: dict[str, TrackNumbers] = {}
        self._lines = Lines(folder / f"{FOLDER}.jsonl")

    def write(self, image: ExportImage, name: str, classes: Classes) -> None:
        """Write one image.

        Raises:
            LabelrigError: more classes, or objects in a folder, than the pixels can count.
        """
        numbers = self._numbers.setdefault(str(PurePosixPath(image.file_name).parent), TrackNumbers())
        pixels = np.zeros((image.size_wh[1], image.size_wh[0]), dtype=np.uint16)
        objects = []
        for place, one in enumerate(image.objects):
            # Without tracks in the project each object is one of its own.
            number = numbers.of(one.track or f"{image.number}.{place}")
            class_id = classes.id_of(one.region.label)
            if number >= OF_A_CLASS or class_id >= MOST_CLASSES:
                raise LabelrigError(
                    f"{image.file_name}: class {class_id}, object {number} of its folder: MOTS counts to "
                    f"{MOST_CLASSES - 1} and {OF_A_CLASS - 1}; export as coco or rle-json, which have track_id"
                )
            value = OF_A_CLASS * class_id + number
            pixels[one.mask] = value
            objects.append({"value": value, "class": class_id, "label": one.region.label, "region": one.region.id})
        with file_beside(self._folder, f"{FOLDER}/{name}") as path, path.open("xb") as file:
            Image.fromarray(pixels).save(file, "PNG")
        self._lines.write({"image": image.file_name, "mots": f"{FOLDER}/{name}", "objects": objects})

    def close(self) -> None:
        """Close the file that grows."""
        self._lines.close()
