"""Index masks: `masks/<image>.png` whose pixels are class numbers, 0 where nothing is, with the palette in the file.

Where objects overlap, the one drawn later lies above, as the editor lists them. `images.jsonl` says which mask is
whose: of images that differ in their suffix alone (`a.jpg`, `a.png`), the second one's has its whole name
(`a.png.png`). With `instances` also `instances/<image>.png`, 16 bits, whose pixels count the objects of the image
from 1, and `instances.jsonl`, which says what each number is; with `mots` what `mots.py` writes. `legend.json` and
`legend.png` tell colours and names.
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from core.errors import LabelrigError
from dataset.export.classes import Classes
from dataset.export.writers.base import ExportImage, Lines, NotWritable, Writer, file_beside
from dataset.export.writers.mots import MotsFiles

MOST_CLASSES = 255
MOST_INSTANCES = 65535
ROW = 28
LEGEND_WIDTH = 360


class PngWriter(Writer):
    """`colours` are those of the labeling configuration; classes without one get one that is spread over the circle."""

    needs_masks = True
    needs_sizes = True
    keeps_all_labels = False

    def __init__(
        self, folder: Path, colours: Mapping[str, str], *, instances: bool = False, mots: bool = False
    ) -> None:
        self._folder = folder
        self._colours = colours
        self._taken: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._hidden = 0
        self._instances = Lines(folder / "instances.jsonl") if instances else None
        self._mots = MotsFiles(folder) if mots else None
        self.wants_tracks = mots
        self._files = Lines(folder / "images.jsonl")

    def add(self, image: ExportImage, classes: Classes) -> None:
        """See `Writer`.

        Raises:
            LabelrigError: more classes or objects than the pixels can count.
        """
        name = self._name_of(image.file_name)
        self._write_classes(image, name, classes)
        if self._instances is not None:
            self._write_instances(image, name, classes, self._instances)
        if self._mots is not None:
            self._mots.write(image, name, classes)
        self._files.write({"image": image.file_name, "mask": f"masks/{name}"})

    def _name_of(self, file_name: str) -> str:
        """The image's path with our suffix; where another image's mask has that, all of its name before the suffix."""
        name = str(PurePosixPath(file_name).with_suffix(".png"))
        if name in self._taken:
            name = f"{file_name}.png"
            if name in self._taken:
                raise NotWritable(f"masks/{name} is the mask of another image; rename one of the two images")
            self._renamed[file_name] = name
        self._taken.add(name)
        return name

    def finish(self, classes: Classes) -> None:
        self.close()
        colours = palette(classes, self._colours)
        rows = [
            {"id": one.id, "name": one.name, "colour": "#{:02X}{:02X}{:02X}".format(*colours[one.id])}
            for one in classes.known
        ]
        legend: dict[str, Any] = {"background": 0, "overlap": "the object drawn later lies above", "classes": rows}
        (self._folder / "legend.json").write_text(
            json.dumps(legend, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        _legend(classes, colours).save(self._folder / "legend.png")

    def notes(self) -> list[str]:
        """See `Writer`."""
        notes = []
        if self._hidden:
            notes.append(
                f"{self._hidden} objects have no pixel of their class, since others that were drawn later cover them; "
                "coco and rle-json keep both"
            )
        if self._renamed:
            image, name = next(iter(self._renamed.items()))
            notes.append(
                f"{len(self._renamed)} masks have the suffix of their image in their name, because another image "
                f"differs in nothing else; pair them by images.jsonl ({image}: masks/{name})"
            )
        return notes

    def close(self) -> None:
        self._files.close()
        if self._instances is not None:
            self._instances.close()
        if self._mots is not None:
            self._mots.close()

    def _write_classes(self, image: ExportImage, name: str, classes: Classes) -> None:
        pixels = np.zeros((image.size_wh[1], image.size_wh[0]), dtype=np.uint8)
        for one in image.objects:
            number = classes.id_of(one.region.label)
            if number > MOST_CLASSES:
                raise LabelrigError(
                    f"the class {one.region.label!r} has the number {number}, a PNG index mask counts to "
                    f"{MOST_CLASSES}; export as coco or rle-json"
                )
            pixels[one.mask] = number
        numbers = [(one, classes.id_of(one.region.label)) for one in image.objects]
        self._hidden += sum(not (pixels[one.mask] == number).any() for one, number in numbers)
        picture = Image.fromarray(pixels)
        colours = palette(classes, self._colours)
        picture.putpalette([value for number in range(256) for value in colours.get(number, (0, 0, 0))])
        with file_beside(self._folder, f"masks/{name}") as path, path.open("xb") as file:
            picture.save(file, "PNG", optimize=False)

    def _write_instances(self, image: ExportImage, name: str, classes: Classes, lines: Lines) -> None:
        if len(image.objects) > MOST_INSTANCES:
            raise LabelrigError(f"{image.file_name} has more than {MOST_INSTANCES} objects; export as coco or rle-json")
        pixels = np.zeros((image.size_wh[1], image.size_wh[0]), dtype=np.uint16)
        for number, one in enumerate(image.objects, 1):
            pixels[one.mask] = number
        counts = np.bincount(pixels.reshape(-1), minlength=len(image.objects) + 1).tolist()
        with file_beside(self._folder, f"instances/{name}") as path, path.open("xb") as file:
            Image.fromarray(pixels).save(file, "PNG")
        objects = [
            {
                "value": number,
                "class": classes.id_of(one.region.label),
                "label": one.region.label,
                "region": one.region.id,
                "area": int(one.mask.sum()),
                "visible": counts[number],
            }
            for number, one in enumerate(image.objects, 1)
        ]
        lines.write({"image": image.file_name, "instances": f"instances/{name}", "objects": objects})


def palette(classes: Classes, colours: Mapping[str, str]) -> dict[int, tuple[int, int, int]]:
    """The colour of each class number, and black for the background."""
    found = {0: (0, 0, 0)}
    for one in classes.known:
        found[one.id] = _colour(one.id, colours.get(one.name))
    return found


def _colour(number: int, written: str | None) -> tuple[int, int, int]:
    if written is not None:
        try:
            return ImageColor.getrgb(written)[:3]
        except ValueError:
            pass
    # Steps of the golden angle: neighbours differ most, and a number keeps its colour.
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _legend(classes: Classes, colours: Mapping[int, tuple[int, int, int]]) -> Image.Image:
    picture = Image.new("RGB", (LEGEND_WIDTH, ROW * max(1, len(classes.known)) + 8), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=14)
    for row, one in enumerate(classes.known):
        top = 4 + ROW * row
        draw.rectangle((6, top + 4, 30, top + ROW - 4), fill=colours[one.id], outline="black")
        text = f"{one.id}  {one.name}{'  (retired)' if one.retired else ''}"
        draw.text((40, top + 5), text, fill="black", font=font)
    return picture
