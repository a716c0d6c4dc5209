"""From Label Studio's results to the regions that a person meant: ghosts and prompts removed, labels put together.

A region is one or several results with one id. What the editor of Label Studio 1.23.2 leaves in annotations:

- `brushlabels` (its own labels), or `brush` and `labels` with one id (a palette): one region.
- a second result with the same id whose type is not the mask's (`keypointlabels` with an RLE in it): a ghost, written
  when a label of another tag is selected while a suggestion is accepted. Its label is not the mask's.
- key points, and smart rectangles beside a brush, bitmask or polygon: prompts that stayed when the model failed. A
  rectangle with a label that no tag for masks offers can have asked for none: it is a box.

Annotations are not only the editor's: scripts write them too, and Label Studio keeps whatever they say. So nothing here
takes a value's type for granted, and what cannot be read is one region, never the export.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataset.export.labeling import UsedConfig
from labeling.config import PALETTE, SHAPES, LabelingConfig
from masks.arrays import Mask, Points, check_size
from masks.raster import filled
from masks.rle import ALPHA_THRESHOLD, decode_rle
from masks.shapes import LARGEST_NUMBER, ellipse_corners, polygon_corners, rectangle_corners

Result = dict[str, Any]
PIXEL_DECIMALS = 2  # of coordinates in exports, and of what counts as the same shape
KEPT = frozenset(("no image size", "no label", "not in this configuration"))  # no mask, but a result all the same
DRAWN = frozenset(("brush", "bitmask", "polygon", "rectangle", "ellipse"))
SHAPE_KEYS = {"rectangle": ("x", "y", "width", "height"), "ellipse": ("x", "y", "radiusX", "radiusY")}


@dataclass(frozen=True)
class Region:
    """One object. `value` is Label Studio's, in percent; `kind` is brush, bitmask, polygon, rectangle or ellipse.

    `labels` are those of the mask's own tag or its palette; most formats take the first.
    """

    id: str
    kind: str
    labels: tuple[str, ...]
    to_name: str
    item_index: int | None
    size_wh: tuple[int, int]
    value: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The first label."""
        return self.labels[0]

    def points_xy(self) -> Points:
        """Corners of a polygon, rectangle or ellipse in pixels: ``(N, 2)``.

        Raises:
            ValueError: numbers are missing, or there are fewer than three corners.
        """
        width, height = self.size_wh
        if self.kind == "polygon":
            return np.asarray(polygon_corners(self.value.get("points")) * np.asarray([width, height]) / 100)
        x, y = self._pixels("x", width), self._pixels("y", height)
        degrees = self._degrees()
        if self.kind == "rectangle":
            return rectangle_corners(x, y, self._pixels("width", width), self._pixels("height", height), degrees)
        return ellipse_corners(x, y, self._pixels("radiusX", width), self._pixels("radiusY", height), degrees)

    def shape_pixels(self, decimals: int) -> dict[str, float]:
        """The numbers of a rectangle or an ellipse, in pixels and degrees.

        Raises:
            ValueError: numbers are missing.
        """
        wholes = (*self.size_wh, *self.size_wh)
        numbers = {name: self._pixels(name, whole) for name, whole in zip(SHAPE_KEYS[self.kind], wholes, strict=True)}
        numbers["rotation"] = self._degrees()
        return {name: round(number, decimals) for name, number in numbers.items()}

    def mask(self) -> Mask:
        """``(H, W)`` bool in the image's own pixels.

        Raises:
            ValueError: it cannot be read, or says that it is of an image larger than any.
        """
        check_size(self.size_wh)
        if self.kind == "brush":
            rle = self.value.get("rle") or []
            if not isinstance(rle, list):  # of a whole number, bytes() would make as many zeros
                raise ValueError(f"rle: expected a list of numbers, got {type(rle).__name__}")
            return decode_rle(rle, self.size_wh)
        if self.kind == "bitmask":
            return _bitmask(self.value.get("imageDataURL"), self.size_wh)
        return filled(self.points_xy(), self.size_wh)

    def _pixels(self, name: str, whole: int) -> float:
        return _number(name, self.value.get(name)) * whole / 100

    def _degrees(self) -> float:
        return _number("rotation", self.value.get("rotation") or 0.0)


@dataclass
class Reading:
    """What an annotation's results are: its regions, the results without ghosts and prompts, and what was left out."""

    regions: list[Region] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_results(results: Sequence[Result], config: UsedConfig) -> Reading:
    """Sort out the results of one annotation, in the order in which they were drawn."""
    reading = Reading()
    groups: dict[tuple[str, str, int | None], list[Result]] = {}
    results = with_ids(results)
    for one in results:
        if not is_spatial(one):
            reading.kept.append(one)  # choices, texts, relations: no region, but an annotator's answer
            continue
        key = (str(one.get("to_name", "")), str(one["id"]), item_index_of(one))
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        _take(group, config, reading)
    order = {id(one): number for number, one in enumerate(results)}
    reading.kept.sort(key=lambda one: order[id(one)])
    return reading


def with_ids(results: Sequence[Result]) -> list[Result]:
    """The results of one annotation; a region without an id, as scripts write them, gets one.

    Else all of them would be one region. Whoever takes the results of one image out gives the ids before.
    """
    return [
        {**one, "id": f"region-{number}"} if is_spatial(one) and not one.get("id") else one
        for number, one in enumerate(results, 1)
    ]


def _take(group: list[Result], config: UsedConfig, reading: Reading) -> None:
    true = [one for one in group if _shape_of_type(one) and _shape_of_type(one) == _shape_of_value(_value(one))]
    true = true or [one for one in group if _lacks_its_shape(one)]
    palettes = [one for one in group if one.get("type") == "labels"]
    reading.left_out["ghost"] += len(group) - len(true) - len(palettes)
    if not true:
        reading.left_out["label without a shape"] += bool(palettes)
        return
    first = true[0]
    shape = _shape_of_type(first)
    labels = _labels([*true, *palettes])
    reason = _not_meant(shape, first, labels, config.labeling)
    if reason:
        reading.left_out[reason] += 1
        return
    reading.kept += [*true, *palettes]
    if not labels:
        reading.left_out["no label"] += 1
    elif config.strict and not _fits([*true, *palettes], labels, config.labeling):
        reading.left_out["not in this configuration"] += 1
    else:
        size_wh = size_of_result(first)
        region = Region(
            id=str(first.get("id", "")),
            kind=shape,
            labels=labels,
            to_name=str(first.get("to_name", "")),
            item_index=item_index_of(first),
            size_wh=size_wh,
            value=_value(first),
        )
        if min(size_wh) < 1:
            reading.left_out["no image size"] += 1
        else:
            reading.regions.append(region)


def is_spatial(one: Result) -> bool:
    """Whether a result is a shape or its labels; an answer about a region has the region's key and is neither."""
    return bool(_shape_of_type(one)) or one.get("type") == PALETTE


def key_of(one: Mapping[str, Any]) -> tuple[str, str, int | None]:
    """What the results of one region have in common: image, id, and which image of a list."""
    return str(one.get("to_name", "")), str(one.get("id", "")), item_index_of(one)


def item_index_of(one: Mapping[str, Any]) -> int | None:
    """Which image of a list a result is on; None where it does not say, or not with a number."""
    index = one.get("item_index")
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def size_of_result(one: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the image as a result tells them; 0 where it does not."""
    return _size(one, "original_width"), _size(one, "original_height")


def _not_meant(shape: str, one: Result, labels: Sequence[str], labeling: LabelingConfig) -> str:
    """Why a region is no output, or nothing."""
    if shape == "keypoint":
        return "key point"
    if shape == "vector":
        return "vector"
    image = str(one.get("to_name", ""))
    if shape == "rectangle" and labeling.draws_masks(image):
        tool = labeling.control(str(one.get("from_name", "")))
        may_prompt = not labels or any(labeling.offers_mask(label, image) for label in labels)
        if (tool is None or tool.smart) and may_prompt:
            return "prompt"
    return ""


def _fits(results: Iterable[Result], labels: Sequence[str], labeling: LabelingConfig) -> bool:
    tools = [labeling.control(str(one.get("from_name", ""))) for one in results]
    return all(tools) and all(tool.offers(label) for tool in tools if tool and tool.has_labels for label in labels)


def _labels(results: Iterable[Result]) -> tuple[str, ...]:
    found: list[str] = []
    for one in results:
        given = _value(one).get(str(one.get("type", "")))
        found.extend(str(each) for each in (given if isinstance(given, list) else []))
    # A label without a name could be given no number: the file of the numbers would be broken for every later export.
    return tuple(dict.fromkeys(filter(None, found)))


def _shape_of_type(one: Result) -> str:
    shape = str(one.get("type", "")).removesuffix("labels")
    return shape if shape in SHAPES else ""


def _shape_of_value(value: Mapping[str, Any]) -> str:
    for name, shape in (("rle", "brush"), ("imageDataURL", "bitmask"), ("vertices", "vector"), ("points", "polygon")):
        if name in value:
            return shape
    if "radiusX" in value:
        return "ellipse"
    return "rectangle" if "height" in value else "keypoint"


def _lacks_its_shape(one: Result) -> bool:
    """Whether nothing is drawn in a result of a shape: its mask cannot be read. A key point's value is a ghost's."""
    value = _value(one)
    return _shape_of_type(one) in DRAWN and _shape_of_value(value) == "keypoint" and "x" not in value


def _bitmask(url: object, size_wh: tuple[int, int]) -> Mask:
    from PIL import Image

    from masks.pictures import BROKEN

    head, _, body = str(url or "").partition(",")
    if not head.startswith("data:image/png") or not head.endswith("base64"):
        raise ValueError("bitmask: expected a PNG as a data URL")
    try:
        with Image.open(io.BytesIO(base64.b64decode(body, validate=True)), formats=("PNG",)) as picture:
            if picture.size != size_wh:
                raise ValueError(f"expected {size_wh[0]}x{size_wh[1]} pixels, got {'x'.join(map(str, picture.size))}")
            return np.asarray(np.asarray(picture.convert("RGBA"))[..., 3] >= ALPHA_THRESHOLD)
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"bitmask: {error}") from None


def _value(one: Result) -> Mapping[str, Any]:
    value = one.get("value")
    return value if isinstance(value, Mapping) else {}


def _size(one: Mapping[str, Any], name: str) -> int:
    size = one.get(name)
    if isinstance(size, float) and size.is_integer():
        size = int(size)
    return size if isinstance(size, int) and not isinstance(size, bool) else 0


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"{name}: expected a number, got {str(value)[:40]!r}")
    return float(value)
