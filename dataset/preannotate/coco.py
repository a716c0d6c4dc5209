"""Boxes of a COCO file. Everything that is wrong in it is reported at once, before the model is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from core.text import bulleted
from dataset.preannotate.boxes import Box, BoxFile

SHOWN = 10


def read_coco(path: Path) -> BoxFile:
    """Read `images`, `categories` and the `bbox` of `annotations`.

    Raises:
        SettingsError: it cannot be read, is not COCO, or ids and boxes in it do not fit; lists the problems.
    """
    content = _read(path)
    problems: list[str] = []

    def problem(text: str) -> None:
        problems.append(text)

    images = _by_id(content, "images", "file_name", problem)
    categories = _by_id(content, "categories", "name", problem)
    found = BoxFile(path.name)
    for number, one in enumerate(_rows(content, "annotations", problem)):
        where = f"annotations[{number}]"
        image, category = images.get(one.get("image_id")), categories.get(one.get("category_id"))
        if image is None:
            problem(f"{where}: image_id {one.get('image_id')!r} is not an image of the file")
        if category is None:
            problem(f"{where}: category_id {one.get('category_id')!r} is not a category of the file")
        if image is not None and category is not None:
            box = _box(one.get("bbox"), image, category["name"], where, problem)
            if box is not None:
                found.by_image.setdefault(str(image["file_name"]), []).append(box)
    if problems:
        raise SettingsError(f"{path}: cannot be used as COCO; nothing was done:\n{bulleted(problems, SHOWN)}")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path}: is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: is not COCO: an object with images, categories and annotations is needed")
    return content


def _rows(content: dict[str, Any], name: str, problem: Callable[[str], None]) -> list[dict[str, Any]]:
    rows = content.get(name)
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        problem(f"{name}: a list of objects is needed")
        return []
    return rows


def _by_id(
    content: dict[str, Any], name: str, needed: str, problem: Callable[[str], None]
) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for number, one in enumerate(_rows(content, name, problem)):
        key = one.get("id")
        if not isinstance(key, int | str):
            problem(f"{name}[{number}]: has no id")
        elif key in found:
            problem(f"{name}[{number}]: id {key!r} was given already")
        elif not isinstance(one.get(needed), str) or not one[needed]:
            problem(f"{name}[{number}]: has no {needed}")
        else:
            found[key] = one
    return found


def _box(given: object, image: dict[str, Any], label: str, where: str, problem: Callable[[str], None]) -> Box | None:
    width, height = image.get("width"), image.get("height")
    if not (_number(width) and _number(height) and width > 0 and height > 0):  # type: ignore[operator]
        problem(f"{where}: its image {image['file_name']} has no width and height")
        return None
    if not isinstance(given, list) or len(given) != 4 or not all(map(_number, given)):
        problem(f"{where}: bbox must be [x, y, width, height] in pixels")
        return None
    x, y, box_width, box_height = given
    if box_width <= 0 or box_height <= 0:
        problem(f"{where}: its bbox has no area")
        return None
    if x >= width or y >= height or x + box_width <= 0 or y + box_height <= 0:
        problem(f"{where}: its bbox lies outside the image {image['file_name']}")
        return None
    across, down = 100 / width, 100 / height  # type: ignore[operator]
    return Box(label, x * across, y * down, box_width * across, box_height * down)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
