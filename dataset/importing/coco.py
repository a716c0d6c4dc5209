"""Reading COCO instance files: ours and those of others, larger than memory too.

The file is read twice in passing: its lists come in any order, and every id must be known before anything is stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from core.errors import SettingsError
from core.text import bulleted
from dataset.export import coco_rle
from dataset.export.labeling import UsedConfig
from dataset.importing.source import Entry, Incoming, Placed, Source, Spool
from dataset.importing.target import Shape, results_of
from masks.arrays import Mask

SHOWN = 10


class CocoSource(Source):
    """See `Source`.

    Raises:
        SettingsError: the file is broken; lists what is wrong, at most ten of each kind.
    """

    def __init__(self, path: Path) -> None:
        self._spool = Spool()
        self._images: dict[Any, Mapping[str, Any]] = {}
        self._names: dict[Any, str] = {}
        self._of_image: dict[Any, list[int]] = {}
        self._needs: dict[Any, set[tuple[str, tuple[str, ...]]]] = {}
        try:
            problems = self._read(path)
        except BaseException:
            self._spool.close()
            raise
        if problems:
            self._spool.close()
            raise SettingsError(f"{path} cannot be imported, nothing was stored:\n{bulleted(problems, SHOWN)}")
        self._keys = list(self._images)
        self.entries = [
            Entry(
                file_name=str(image["file_name"]),
                to_name=str(image.get("to_name") or ""),
                item_index=image.get("item_index"),
                needs=frozenset(self._needs.get(key, ())),
                handle=number,
            )
            for number, (key, image) in enumerate(self._images.items())
            # In our exports an image without regions was annotated as empty; elsewhere that is unknown.
            if key in self._of_image or ("to_name" in image and image.get("annotated", True))
        ]

    def annotations(self, placed: Sequence[Placed], config: UsedConfig) -> list[Incoming]:
        results: list[dict[str, Any]] = []
        for one in placed:
            key = self._keys[one.entry.handle]
            for number in self._of_image.get(key, ()):
                shape = self._shape(self._spool.get(number), self._images[key], one)
                results += results_of(shape, config.labeling, f"coco-{number + 1}")
        return [Incoming(results)]

    def new_task(self, entry: Entry) -> dict[str, Any] | None:
        """See `Source`: COCO does not know how Label Studio reaches an image."""
        return None

    def close(self) -> None:
        self._spool.close()

    def _read(self, path: Path) -> list[str]:
        problems: list[str] = []
        for one in items(path, "categories.item"):
            if not isinstance(one.get("name"), str) or one.get("id") in self._names:
                problems.append(f"category {one.get('id')!r} has no name, or its id is given twice")
            self._names[one.get("id")] = str(one.get("name"))
        for one in items(path, "images.item"):
            sizes = (one.get("width"), one.get("height"))
            if one.get("id") in self._images:
                problems.append(f"image id {one.get('id')!r} is given twice")
            elif not isinstance(one.get("file_name"), str) or not all(_whole(each) for each in sizes):
                problems.append(f"image {one.get('id')!r} needs file_name, width and height")
            self._images[one.get("id")] = one
        for one in items(path, "annotations.item"):
            problem = self._take(one)
            if problem:
                problems.append(f"annotation {one.get('id')!r} {problem}")
        if not self._images and not problems:
            problems.append("there are no images in it; is it a COCO file?")
        return problems

    def _take(self, one: Mapping[str, Any]) -> str:
        image, category = one.get("image_id"), one.get("category_id")
        if image not in self._images:
            return f"is on image {image!r}, which is not in the file"
        if category not in self._names:
            return f"has the category {category!r}, which is not in the file"
        labels = self._labels(one)
        kind = _kind_of(one)
        if kind is None:
            return "has no segmentation and no bbox"
        problem = _problem_of(kind, one, self._images[image])
        if problem:
            return problem
        self._needs.setdefault(image, set()).add((kind, labels))
        self._of_image.setdefault(image, []).append(self._spool.add(one))
        return ""

    def _labels(self, one: Mapping[str, Any]) -> tuple[str, ...]:
        given = one.get("labels")
        if isinstance(given, list) and given and given[0] == self._names[one.get("category_id")]:
            return tuple(map(str, given))
        return (self._names[one.get("category_id")],)

    def _shape(self, one: Mapping[str, Any], image: Mapping[str, Any], placed: Placed) -> Shape:
        size_wh = (int(image["width"]), int(image["height"]))
        kind = _kind_of(one) or "brush"
        mask: Mask | None = None
        value: Mapping[str, Any] = {}
        if kind not in ("brush", "bitmask"):
            value = _value(kind, one, size_wh)
        elif isinstance(one["segmentation"], Mapping):
            mask = coco_rle.decoded(one["segmentation"], size_wh)
        else:
            mask = coco_rle.from_polygons(one["segmentation"], size_wh)
        return Shape(
            str(one.get("region") or ""),
            kind,
            self._labels(one),
            placed.to_name,
            placed.item_index,
            size_wh,
            mask,
            value,
        )


def _kind_of(one: Mapping[str, Any]) -> str | None:
    """What an annotation is: as our export says, else a mask, one polygon, or a box."""
    segmentation, said = one.get("segmentation"), one.get("kind")
    if isinstance(segmentation, Mapping):
        return said if said in ("brush", "bitmask") or (said == "ellipse" and "shape" in one) else "brush"
    if isinstance(segmentation, list) and segmentation:
        if said in ("brush", "bitmask", "polygon") or (said in ("rectangle", "ellipse") and "shape" in one):
            return str(said)
        return "polygon" if len(segmentation) == 1 else "brush"
    box = one.get("bbox")
    return "rectangle" if isinstance(box, list) and len(box) == 4 else None


def _problem_of(kind: str, one: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    """What is wrong with the numbers of a shape, before anything is stored."""
    segmentation = one.get("segmentation")
    try:
        size_wh = (int(image["width"]), int(image["height"]))
        if kind not in ("brush", "bitmask"):
            _value(kind, one, size_wh)
        elif isinstance(segmentation, Mapping):
            coco_rle.runs(segmentation, size_wh)
        else:
            for flat in segmentation or ():
                percent(np.asarray(flat, dtype=np.float64).reshape(-1, 2), size_wh)
    except (ValueError, TypeError, KeyError) as error:
        return f"cannot be read: {error}"
    return ""


def _value(kind: str, one: Mapping[str, Any], size_wh: tuple[int, int]) -> dict[str, Any]:
    if kind == "polygon":
        (flat,) = one["segmentation"]
        return {"points": percent(np.asarray(flat, dtype=np.float64).reshape(-1, 2), size_wh), "closed": True}
    shape = one.get("shape")
    if isinstance(shape, Mapping):
        return percent_shape(kind, shape, size_wh)
    x, y, width, height = one["bbox"]
    return percent_shape("rectangle", {"x": x, "y": y, "width": width, "height": height}, size_wh)


def percent(points_xy: Any, size_wh: tuple[int, int]) -> list[list[float]]:
    """Pixels to Label Studio's percent.

    Raises:
        ValueError: fewer than three points, or not numbers.
    """
    points = np.asarray(points_xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[0] < 3 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points: expected (N, 2) numbers with N >= 3, got shape {points.shape}")
    found: list[list[float]] = (points * 100 / np.asarray(size_wh)).tolist()
    return found


def percent_shape(kind: str, shape: Mapping[str, Any], size_wh: tuple[int, int]) -> dict[str, float]:
    """The numbers of a rectangle or an ellipse, from pixels to percent.

    Raises:
        ValueError: a number is missing.
    """
    names = ("x", "y", "width", "height") if kind == "rectangle" else ("x", "y", "radiusX", "radiusY")
    value = {}
    for name, whole in zip(names, size_wh * 2, strict=True):
        number = shape.get(name)
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"{name}: expected a number, got {number!r}")
        value[name] = number * 100 / whole
    return {**value, "rotation": float(shape.get("rotation") or 0.0)}


def items(path: Path, where: str) -> Iterator[dict[str, Any]]:
    """The objects of a list in a JSON file, one at a time. `where` is ijson's prefix.

    Raises:
        SettingsError: it is not JSON, or an element is not an object.
    """
    import ijson

    with open_json(path) as content:
        try:
            for one in ijson.items(content, where, use_float=True):
                if not isinstance(one, dict):
                    raise SettingsError(f"{path}: {where} holds {one!r}, where an object is expected")
                yield one
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not JSON: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """What ijson says, without the piece of the file that it draws an arrow at."""
    return " ".join(str(error).splitlines()[0].split()) or type(error).__name__


def open_json(path: Path) -> IO[bytes]:
    """Open a file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None


def _whole(number: object) -> bool:
    return isinstance(number, int) and number > 0
