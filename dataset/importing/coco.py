"""Reading COCO instance files: ours and those of others, larger than memory too."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.strict_json import shown
from dataset.coco_file import BoxForm, CocoAnnotation, CocoFile, Key, box_of, is_number, key_of
from dataset.export import coco_rle
from dataset.export.labeling import UsedConfig
from dataset.importing.source import Entry, Incoming, Needs, Placed, Source, Spool, renamed
from dataset.importing.target import RegionKey, Shape, results_of
from dataset.problems import FileProblems
from masks.arrays import Mask, check_size
from masks.shapes import polygon_corners

Row = Mapping[str, Any]


class CocoSource(Source):
    """See `Source`.

    Raises:
        SettingsError: the file is broken; lists what is wrong, at most ten.
    """

    def __init__(self, path: Path, problems: FileProblems) -> None:
        self._spool = Spool()
        self.left_out: Counter[str] = Counter()
        self._of_image: dict[Key, list[int]] = {}
        self._needs: dict[Key, set[tuple[str, tuple[str, ...]]]] = {}
        try:
            self._file, form = CocoFile(path, problems), BoxForm()
            for one in self._file.annotations():
                self._take(one, problems, form)
            form.check(problems)
            problems.check()
        except BaseException:
            self._spool.close()
            raise
        self._keys = list(self._file.images)
        self.entries = [
            Entry(
                file_name=image.file_name,
                to_name=str(image.row.get("to_name") or ""),
                item_index=index if isinstance(index := key_of(image.row.get("item_index")), int) else None,
                needs=Needs(self._needs.get(key, ())),
                handle=number,
                sizes=frozenset((image.size_wh,) if image.size_wh and key in self._of_image else ()),
            )
            for number, (key, image) in enumerate(self._file.images.items())
            # In our exports an image without regions was annotated as empty; elsewhere that is unknown.
            if key in self._of_image or ("to_name" in image.row and image.row.get("annotated", True))
        ]

    def annotations(self, placed: Sequence[Placed], config: UsedConfig, names: Mapping[str, str]) -> list[Incoming]:
        results: list[dict[str, Any]] = []
        taken: set[RegionKey] = set()
        for one in placed:
            key = self._keys[one.entry.handle]
            size_wh = self._file.images[key].size_wh
            for number in self._of_image.get(key, ()):
                kept = self._spool.get(number)
                labels = renamed(kept["labels"], names)
                shape = _shape(kept["row"], labels, size_wh or (0, 0), one)
                results += results_of(shape, config.labeling, f"coco-{number + 1}", taken)
        return [Incoming(results)]

    def new_task(self, entry: Entry) -> dict[str, Any] | None:
        """See `Source`: COCO does not know how Label Studio reaches an image."""
        return None

    def close(self) -> None:
        self._spool.close()

    def _take(self, one: CocoAnnotation, problems: FileProblems, form: BoxForm) -> None:
        kind = _kind_of(one.row)
        try:
            if kind is None:
                raise ValueError("has no segmentation and no bbox")
            _check(kind, one.row, one.size_wh)
        except ValueError as error:
            problems.region(f"{one.name}: {error}")
            return
        if kind == "rectangle" and "shape" not in one.row:
            form.add(one.name, box_of(one.row.get("bbox"), one.size_wh), one.size_wh)
        labels = _labels(one)
        self._needs.setdefault(one.image_key, set()).add((kind, labels))
        self._of_image.setdefault(one.image_key, []).append(self._spool.add({"row": one.row, "labels": labels}))


def _labels(one: CocoAnnotation) -> tuple[str, ...]:
    given = one.row.get("labels")
    if isinstance(given, list) and given and given[0] == one.label:
        return tuple(map(str, given))
    return (one.label,)


def _segmentation(one: Row) -> Any:
    """Run lengths or polygons; None where there are neither (`[]` and `[[]]` are none)."""
    given = one.get("segmentation")
    return None if isinstance(given, list) and not any(given) else given


def _kind_of(one: Row) -> str | None:
    """What an annotation is: as our export says, else a mask, one polygon, or a box."""
    segmentation, said = _segmentation(one), one.get("kind")
    if isinstance(segmentation, Mapping):
        return said if said in ("brush", "bitmask") or (said == "ellipse" and "shape" in one) else "brush"
    if segmentation is not None:
        if said in ("brush", "bitmask", "polygon") or (said in ("rectangle", "ellipse") and "shape" in one):
            return str(said)
        return "polygon" if isinstance(segmentation, list) and len(segmentation) == 1 else "brush"
    return "rectangle" if one.get("bbox") else None


def _check(kind: str, one: Row, size_wh: tuple[int, int]) -> None:
    """Look at the numbers of a shape, before anything is stored.

    Raises:
        ValueError: what is wrong with them.
    """
    check_size(size_wh)
    segmentation = _segmentation(one)
    if kind not in ("brush", "bitmask"):
        _value(kind, one, size_wh)
    elif isinstance(segmentation, Mapping):
        coco_rle.runs(segmentation, size_wh)
    else:
        _rings(segmentation, size_wh)


def _shape(one: Row, labels: tuple[str, ...], size_wh: tuple[int, int], placed: Placed) -> Shape:
    kind = _kind_of(one) or "brush"
    mask: Mask | None = None
    value: Mapping[str, Any] = {}
    if kind in ("brush", "bitmask"):
        mask = mask_of(one, size_wh)
    else:
        value = _value(kind, one, size_wh)
    region = str(one.get("region") or "")
    return Shape(region, kind, labels, placed.to_name, placed.item_index, size_wh, mask, value)


def mask_of(one: Row, size_wh: tuple[int, int]) -> Mask | None:
    """The mask of an annotation, ``(H, W)`` bool; None of one that is a box alone.

    Raises:
        ValueError: its run lengths or polygons cannot be read.
    """
    segmentation = _segmentation(one)
    if segmentation is None:
        return None
    if isinstance(segmentation, Mapping):
        return coco_rle.decoded(segmentation, size_wh)
    return coco_rle.from_polygons([np.ravel(ring).tolist() for ring in _rings(segmentation, size_wh)], size_wh)


def _rings(given: object, size_wh: tuple[int, int]) -> list[Any]:
    """The polygons of a segmentation in pixels, each ``(N, 2)``; empty ones are left out."""
    if not isinstance(given, list) or not all(isinstance(one, list) for one in given):
        raise ValueError("segmentation must be run lengths, or a list of polygons, each a list x, y, x, y, ...")
    rings = [polygon_corners(_pairs(one)) for one in given if one]
    if any(coco_rle.is_far(ring, size_wh) for ring in rings):
        raise ValueError("a polygon lies far outside the image")
    if rings and all((ring.max(0) <= 0).any() or (ring.min(0) >= size_wh).any() for ring in rings):
        raise ValueError("lies outside the image")
    return rings


def _pairs(flat: list[Any]) -> list[Any]:
    """`x, y, x, y` as pairs; some tools write pairs already."""
    if any(isinstance(one, list) for one in flat):
        return flat
    if len(flat) % 2:
        raise ValueError(f"a polygon must be x and y in turn, it has {len(flat)} numbers")
    return [flat[start : start + 2] for start in range(0, len(flat), 2)]


def _value(kind: str, one: Row, size_wh: tuple[int, int]) -> dict[str, Any]:
    if kind == "polygon":
        rings = _rings(_segmentation(one), size_wh)
        if len(rings) != 1:
            raise ValueError(f"a polygon must be one ring, it has {len(rings)}")
        return {"points": percent(rings[0], size_wh), "closed": True}
    shape = one.get("shape")
    if isinstance(shape, Mapping):
        return percent_shape(kind, shape, size_wh)
    box = dict(zip(("x", "y", "width", "height"), box_of(one.get("bbox"), size_wh), strict=True))
    return percent_shape("rectangle", box, size_wh)


def percent(points_xy: object, size_wh: tuple[int, int]) -> list[list[float]]:
    """The corners of a polygon, from pixels to Label Studio's percent.

    Raises:
        ValueError: fewer than three, or not numbers.
    """
    found: list[list[float]] = (polygon_corners(points_xy) * 100 / np.asarray(size_wh)).tolist()
    return found


def percent_shape(kind: str, shape: Mapping[str, Any], size_wh: tuple[int, int]) -> dict[str, float]:
    """The numbers of a rectangle or an ellipse, from pixels to percent.

    Raises:
        ValueError: a number is missing.
    """
    names = ("x", "y", "width", "height") if kind == "rectangle" else ("x", "y", "radiusX", "radiusY")
    rotation = shape.get("rotation") or 0.0
    for name, number in ((name, shape.get(name)) for name in names):
        if not is_number(number) or not math.isfinite(float(number)):  # type: ignore[arg-type]  # is_number
            raise ValueError(f"{name}: expected a number, got {shown(number)}")
    if not is_number(rotation):
        raise ValueError(f"rotation: expected a number, got {shown(rotation)}")
    value = {name: float(shape[name]) * 100 / whole for name, whole in zip(names, size_wh * 2, strict=True)}
    return {**value, "rotation": float(rotation)}
