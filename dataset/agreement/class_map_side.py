"""A folder of class maps as a side: PNG files of one channel whose pixels are class numbers, 0 where nothing is.

That is what `./inv export --format png` writes, and what most training scripts read. The names of the numbers come from
the folder's `classes.json` or `legend.json`, or from a file that is named; else a class is called by its number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.errors import SettingsError
from core.text_file import read_text
from dataset.agreement.side import Drawn, ImageMasks, SideNotes
from masks.pictures import PictureError, opened

MASKS = "masks"
NAMES = ("classes.json", "legend.json", "classes.lock")
PAIRS = "images.jsonl"
MODES = ("L", "P", "1", "I", "I;16", "I;16B")


class ClassMapSide:
    """See `Side`.

    Args:
        folder: the PNG files, or an export that holds them in `masks`.
        classes: a JSON file with the names of the numbers: `{"1": "car"}`, or as `classes.lock`.

    Raises:
        SettingsError: there are no class maps, or a file cannot be read.
    """

    has_objects = False

    def __init__(self, folder: Path, classes: Path | None = None) -> None:
        self.name = str(folder)
        self.notes = SideNotes()
        maps = folder / MASKS if (folder / MASKS).is_dir() else folder
        named = classes or next((folder / name for name in NAMES if (folder / name).is_file()), None)
        self._names = _names_in(named) if named is not None else {}
        self._files = _pairs(folder) or {
            path.relative_to(maps).as_posix(): path for path in sorted(maps.rglob("*.png")) if path.is_file()
        }
        if not self._files:
            raise SettingsError(f"{folder}: has no class maps (*.png); an export has them in its folder `{MASKS}`")
        if named is None:
            self.notes.lines.append(
                "its classes have no names and are called by their numbers; --classes FILE names them"
            )

    @property
    def images(self) -> Sequence[str]:
        return list(self._files)

    def read(self, image: str) -> ImageMasks:
        path = self._files[image]
        try:
            with opened(path) as picture:
                pixels = _numbers(path, picture)
        except PictureError as error:
            raise SettingsError(f"{path}: {error}") from None
        drawn = [Drawn(self._names.get(one, str(one)), pixels == one) for one in np.unique(pixels).tolist() if one]
        return ImageMasks(drawn, (pixels.shape[1], pixels.shape[0]))

    def close(self) -> None:
        pass


def _numbers(path: Path, picture: Image.Image) -> np.ndarray[Any, Any]:
    if picture.mode not in MODES:
        raise SettingsError(
            f"{path}: is a picture of mode {picture.mode}, where class numbers in one channel are expected; a colour "
            "picture of a class map does not tell them"
        )
    pixels = np.asarray(picture)
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def _pairs(folder: Path) -> dict[str, Path]:
    """Image -> class map, as an export says it; empty where it does not."""
    file = folder / PAIRS
    if not file.is_file():
        return {}
    found: dict[str, Path] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        try:
            row = json.loads(line)
            found[str(row["image"])] = folder / str(row["mask"])
        except (ValueError, KeyError, TypeError):
            raise SettingsError(f"{file}:{number}: expected an object with `image` and `mask`") from None
    return found


def _names_in(path: Path) -> Mapping[int, str]:
    try:
        content = json.loads(read_text(path))
        if isinstance(content.get("classes"), list):
            return {int(one["id"]): str(one["name"]).strip() for one in content["classes"]}
        return {int(number): str(name).strip() for number, name in content.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError(
            f'{path}: expected the names of class numbers: {{"1": "car"}}, or as classes.lock'
        ) from None
