"""What a training script reads: pictures, class maps and colour maps side by side, lists of samples, `dataset.yaml`.

A sample is a task (of a list of images, each of them), or a pair of two projects: for each image of it
`images/<tag>/<sample>.*`, `labels/<tag>/<sample>.png` and `colours/<tag>/<sample>.png`. Pixels of class maps are class
numbers; what is not labelled has the value of `ignore`.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from core.text import some
from dataset.export.classes import Classes
from dataset.export.duplicates import Hash, near_duplicates, picture_hash
from dataset.export.formats import ExportOptions
from dataset.export.overlaps import LARGEST, class_map
from dataset.export.pictures import Pictures
from dataset.export.splits import PARTS, Sample, group_of, read_group, read_shares, split
from dataset.export.writers.base import ExportImage, LeftOut, Writer, file_beside
from dataset.export.writers.four_channels import FourChannels
from dataset.export.writers.png import palette
from dataset.registration.alignment import Refused, rows_of
from dataset.registration.pictures import grey_values
from dataset.registration.transforms import Matrix
from masks.pictures import PictureError

FORMAT = 1
FILE = "dataset.yaml"


@dataclass(frozen=True)
class _Place:
    """Where an image of a task goes: the folder and the name of its sample, and the way to the pixels of the grid."""

    folder: str
    name: str
    matrix: Matrix | None


@dataclass
class _Sample:
    """What was written of one sample: the pixels of each class on each image, by tag."""

    path: str
    pixels: dict[str, Counter[int]] = field(default_factory=dict)
    hash: Hash | None = None


class DatasetWriter(Writer):
    """See the module. `colours` are those of the labeling configuration."""

    needs_masks = True
    needs_sizes = True
    keeps_all_labels = False

    def __init__(self, folder: Path, options: ExportOptions, colours: Mapping[str, str], pictures: Pictures) -> None:
        self._folder = folder
        self._options = options
        self._colours = colours
        self._pictures = pictures
        self._shares = read_shares(options.shares)
        self._groups = [read_group(one) for one in options.group]
        self._samples: dict[str, _Sample] = {}
        self._refused: set[str] = set()
        self._four = FourChannels.of(folder, options, pictures)
        self._notes: list[str] = []

    def add(self, image: ExportImage, classes: Classes) -> None:
        """See `Writer`.

        Raises:
            NotWritable: its picture cannot be had, is of another size, or masks overlap that must not.
            LeftOut: it is not of a pair, or the registration refused it.
        """
        content = functools.cache(lambda: self._pictures.content(image))
        for place in self._places(image, lambda: hashlib.sha256(content()).hexdigest()):
            self._write(image, classes, content(), place)

    def _places(self, image: ExportImage, digest: Callable[[], str]) -> list[_Place]:
        samples, grid = self._pictures.samples, self._pictures.grid
        found: list[_Place] = []
        reason = ""
        for task in image.tasks:
            if samples.pairing is None:
                found += [_Place(image.to_name, name, None) for name in samples.of(task, image)]
                continue
            side = samples.pairing.side_of(task, image.to_name)
            if side is None:
                reason = reason or "image beside the pair"
                continue
            for name in samples.of(task, image):
                try:
                    rgb = samples.rgb.get(name, "")
                    matrix = None if grid is None else grid.matrix(side, rgb, image.size_wh, digest)
                except Refused:
                    self._refused.add(name)
                    reason = "refused pair"
                    continue
                found.append(_Place(samples.pairing.folder(side), name, matrix))
        if not found:
            raise LeftOut(reason or "image beside the pair")
        return found

    def _write(self, image: ExportImage, classes: Classes, content: bytes, place: _Place) -> None:
        grid = self._pictures.grid
        numbers = class_map(image if grid is None else grid.masks(image, place.matrix), classes, self._options)
        images = "images" if self._four is None else self._four.PARTS
        with file_beside(self._folder, f"{images}/{place.folder}/{place.name}") as path:
            self._pictures.put(path, content, image, place.matrix)
        for kind, pixels in (("labels", numbers), ("colours", self._coloured(numbers, classes))):
            with file_beside(self._folder, f"{kind}/{place.folder}/{place.name}.png") as path, path.open("xb") as file:
                Image.fromarray(pixels).save(file, "PNG")
        sample = self._samples.setdefault(place.name, _Sample(image.file_name))
        counted = np.bincount(numbers.reshape(-1), minlength=LARGEST + 1)
        sample.pixels[place.folder] = Counter({int(one): int(counted[one]) for one in np.flatnonzero(counted)})
        if sample.hash is None:
            sample.hash = _hash(content)
        if self._four is not None:
            self._four.join(place.name, sample.pixels)

    def finish(self, classes: Classes) -> None:
        """See `Writer`. Samples that lack an image which others have are in no list."""
        tags = self._pictures.samples.folders
        if self._four is not None:
            self._four.finish()
        if self._refused:
            self._notes.append(
                f"{len(self._refused)} pairs are left out, because the registration refused them: "
                f"{some(sorted(self._refused))}"
            )
        whole = {name: one for name, one in self._samples.items() if set(one.pixels) == set(tags)}
        if missing := sorted(set(self._samples) - set(whole)):
            self._notes.append(
                f"{len(missing)} samples lack one of {', '.join(tags)} and are in no list: {some(missing)}"
            )
        parts = split(self._grouped(whole), self._shares, self._options.seed)
        for part in PARTS:
            names = sorted(name for name, of in parts.items() if of == part)
            (self._folder / f"{part}.txt").write_text("".join(f"{one}\n" for one in names), encoding="utf-8")
        content = self._content(tags, whole, parts, classes)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        (self._folder / FILE).write_text(text, encoding="utf-8")
        for part, share in zip(PARTS, self._shares, strict=True):
            if share and not content["splits"][part]["samples"]:
                self._notes.append(f"{part} has no sample: there are too few groups that could be parted")

    def notes(self) -> list[str]:
        """See `Writer`."""
        grid = self._pictures.grid
        return [*self._notes, *(() if grid is None else grid.alignment.notes())]

    def _grouped(self, whole: Mapping[str, _Sample]) -> list[Sample]:
        """Samples of one `--group`, and near-duplicates, share a group: whatever joins two of them joins all."""
        names = sorted(whole)
        hashed = {number: one for number, name in enumerate(names) if (one := whole[name].hash) is not None}
        shown = list(hashed)
        nearly = near_duplicates(np.stack(list(hashed.values()))) if hashed else []
        first = {number: shown[other] for number, other in zip(shown, nearly, strict=True)}
        by_match: dict[tuple[int, str], int] = {}
        roots = list(range(len(names)))

        def root(number: int) -> int:
            while roots[number] != number:
                number = roots[number]
            return number

        for number, name in enumerate(names):
            found = [(place, group_of(one, whole[name].path)) for place, one in enumerate(self._groups)]
            same = [by_match.setdefault((place, text), number) for place, text in found if text is not None]
            for other in (first.get(number, number), *same):
                low, high = sorted((root(other), root(number)))
                roots[high] = low
        ignored = self._options.ignore
        return [
            Sample(
                name,
                frozenset(one for counts in whole[name].pixels.values() for one in counts) - {ignored},
                names[root(number)],
            )
            for number, name in enumerate(names)
        ]

    def _content(
        self, tags: list[str], whole: Mapping[str, _Sample], parts: Mapping[str, str], classes: Classes
    ) -> dict[str, Any]:
        colours = palette(classes, self._colours)
        # One of another number was on no picture: `class_map` refuses it.
        names = {one.id: one.name for one in classes.known if one.id <= LARGEST and one.id != self._options.ignore}
        return {
            "format": FORMAT,
            "images": {tag: f"images/{tag}" for tag in (tags if self._four is None else [self._four.NAME])},
            "labels": {tag: f"labels/{tag}" for tag in tags},
            "colours": {tag: f"colours/{tag}" for tag in tags},
            "pictures": self._options.pictures,
            **self._grid(),
            "ignore": self._options.ignore,
            "classes": names,
            "palette": {one: "#{:02X}{:02X}{:02X}".format(*colours[one]) for one in names},
            "seed": self._options.seed,
            "group": list(self._options.group),
            "splits": {
                part: {
                    "list": f"{part}.txt",
                    "samples": sum(of == part for of in parts.values()),
                    "pixels": {tag: self._distribution(tag, part, whole, parts, names) for tag in tags},
                }
                for part in PARTS
            },
        }

    def _grid(self) -> dict[str, Any]:
        """The grid that both pictures of a pair lie on, and by which transform."""
        grid, pairing = self._pictures.grid, self._pictures.samples.pairing
        if grid is None or pairing is None:
            return {}
        alignment = {"sha256": grid.alignment.sha256, "matrix": rows_of(grid.alignment.matrix)}
        return {"grid": pairing.folder(grid.onto), "alignment": alignment}

    def _distribution(
        self, tag: str, part: str, whole: Mapping[str, _Sample], parts: Mapping[str, str], names: Mapping[int, str]
    ) -> dict[str, float]:
        """The share of each class's pixels, and of those that are not labelled."""
        counts: Counter[int] = sum((one.pixels[tag] for name, one in whole.items() if parts[name] == part), Counter())
        total = sum(counts.values()) or 1
        shares = {names[one]: round(counts[one] / total, 6) for one in names if counts[one]}
        return {"(unlabelled)": round(counts[self._options.ignore] / total, 6), **shares}

    def close(self) -> None:
        """See `Writer`: nothing stays open."""

    def _coloured(self, numbers: NDArray[np.uint8], classes: Classes) -> NDArray[np.uint8]:
        table = np.zeros((256, 3), np.uint8)
        for number, colour in palette(classes, self._colours).items():
            if number <= LARGEST:
                table[number] = colour
        table[self._options.ignore] = 0
        return table[numbers]


def _hash(content: bytes) -> Hash | None:
    """None of a picture that shows nothing: it is like no other one."""
    try:
        return picture_hash(grey_values(io.BytesIO(content)))
    except PictureError:
        return None
