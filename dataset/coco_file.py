"""A COCO file as people bring it: its images, categories and annotations, whatever tool wrote it.

The file is read in passing, once for each list: they come in any order, and may be larger than memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.strict_json import shown
from core.text import some
from dataset.json_file import JsonFile
from dataset.problems import FileProblems
from masks.shapes import LARGEST_NUMBER

Key = int | str  # an id: 7 and 7.0 are one, 7 and "7" are two


@dataclass(frozen=True)
class CocoImage:
    """An image. `size_wh` is None where the file does not tell it; `row` is the whole entry."""

    file_name: str
    size_wh: tuple[int, int] | None
    row: Mapping[str, Any]


@dataclass(frozen=True)
class CocoAnnotation:
    """An annotation whose image and category are in the file. `name` is for messages."""

    name: str
    row: Mapping[str, Any]
    image_key: Key
    image: CocoImage
    size_wh: tuple[int, int]
    label: str


class CocoFile:
    """Images and categories by their ids; `annotations` reads the rest.

    Raises:
        SettingsError: it is not JSON.
    """

    def __init__(self, path: Path, problems: FileProblems) -> None:
        self._file = JsonFile(path)
        self._problems = problems
        self.images: dict[Key, CocoImage] = {}
        self.names: dict[Key, str] = {}
        for number, row in enumerate(self._file.items("categories.item")):
            self._category(f"categories[{number}]", row)
        for number, row in enumerate(self._file.items("images.item")):
            self._image(f"images[{number}]", row)
        if not self.images:
            problems.unusable("there are no images in it; is it a COCO file?")
        several = [name for name, times in Counter(one.file_name for one in self.images.values()).items() if times > 1]
        if several:
            problems.notices.append(
                f"{path.name}: {len(several)} names stand for several images of the file, each is taken as one "
                f"({some(several)})"
            )

    def annotations(self) -> Iterator[CocoAnnotation]:
        """The annotations that fit the file itself; the others become problems."""
        for number, row in enumerate(self._file.items("annotations.item")):
            one_id = key_of(row.get("id"))
            name = f"annotations[{number}]" if one_id is None else f"annotation {shown(one_id)}"
            image_key, category = key_of(row.get("image_id")), key_of(row.get("category_id"))
            if image_key is None or image_key not in self.images:
                self._problems.region(f"{name}: image_id {shown(row.get('image_id'))} is not an image of the file")
                continue
            image = self.images[image_key]
            name = f"{name} on {image.file_name}"
            if category is None or category not in self.names:
                given = shown(row.get("category_id"))
                self._problems.region(f"{name}: category_id {given} is not a category of the file")
            elif image.size_wh is None:
                self._problems.region(f"{name}: the image has no width and height")
            else:
                yield CocoAnnotation(name, row, image_key, image, image.size_wh, self.names[category])

    def _category(self, where: str, row: Mapping[str, Any]) -> None:
        key, name = self._new_key(where, row, self.names), row.get("name")
        if key is None:
            return
        if not isinstance(name, str) or not name.strip():
            self._problems.unusable(f"{where}: has no name")
        else:
            self.names[key] = name

    def _image(self, where: str, row: Mapping[str, Any]) -> None:
        key, file_name = self._new_key(where, row, self.images), row.get("file_name")
        if key is None:
            return
        if not isinstance(file_name, str) or not file_name.strip():
            self._problems.unusable(f"{where}: has no file_name")
        else:
            width, height = whole(row.get("width")), whole(row.get("height"))
            self.images[key] = CocoImage(file_name, (width, height) if width and height else None, row)

    def _new_key(self, where: str, row: Mapping[str, Any], known: Container[Key]) -> Key | None:
        """The id of a row; None, and a problem, where it is none or was given already."""
        key = key_of(row.get("id"))
        if key is None:
            self._problems.unusable(f"{where}: its id is {shown(row.get('id'))}, where a number or a text is expected")
        elif key in known:
            self._problems.unusable(f"{where}: id {shown(key)} was given already")
            return None
        return key


def key_of(value: object) -> Key | None:
    """An id: a text or a whole number, also one written as 7.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def whole(value: object) -> int | None:
    """A whole number above zero, also one written as 640.0; None for anything else."""
    key = key_of(value)
    return key if isinstance(key, int) and 0 < key <= LARGEST_NUMBER else None


def box_of(given: object, size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    """A `bbox` in pixels: left, top, width, height.

    Raises:
        ValueError: it is not four numbers, has no area, or lies outside the image.
    """
    if not isinstance(given, list) or len(given) != 4 or not all(map(is_number, given)):
        raise ValueError("bbox must be [x, y, width, height] in pixels")
    x, y, width, height = map(float, given)
    if width <= 0 or height <= 0:
        raise ValueError("its bbox has no area")
    if x >= size_wh[0] or y >= size_wh[1] or x + width <= 0 or y + height <= 0:
        raise ValueError("its bbox lies outside the image")
    return x, y, width, height


class BoxForm:
    """Whether the boxes of a file are corners (left, top, right, bottom), as some tools write by mistake.

    Then some reach beyond their images as `[x, y, width, height]`, and as corners all of them fit.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._beyond: list[str] = []
        self._all_fit_as_corners = True

    def add(self, name: str, box: tuple[float, float, float, float], size_wh: tuple[int, int]) -> None:
        """Look at one box; `name` is its annotation, for messages."""
        x, y, width, height = box
        right, bottom = (whole + 1 for whole in size_wh)  # a pixel for rounding
        self._seen += 1
        if x + width > right or y + height > bottom:
            self._beyond.append(name)
        if not (0 <= x < width <= right and 0 <= y < height <= bottom):
            self._all_fit_as_corners = False

    def check(self, problems: FileProblems) -> None:
        """Tell the problem, if it is one."""
        if self._beyond and self._all_fit_as_corners:
            problems.unusable(
                f"{len(self._beyond)} of {self._seen} boxes reach beyond their images (the first: {self._beyond[0]}), "
                "and all would fit as corners; COCO's bbox is [x, y, width, height]: write it so, or cut the boxes at "
                "the edges"
            )


def is_number(value: object) -> bool:
    """Whether it is a number that a picture can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER
