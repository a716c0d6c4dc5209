"""From Label Studio's results to the regions that a person meant: ghosts and prompts removed, labels put together.

A region is one or several results with one id (`results.py`). What the editor of Label Studio 1.23.2 leaves:

- `brushlabels` (its own labels), or `brush` and `labels` with one id (a palette): one region.
- a second result with the same id whose type is not the mask's (`keypointlabels` with an RLE in it): a ghost, written
  when a label of another tag is selected while a suggestion is accepted. Its label is not the mask's.
- key points, and smart rectangles beside a brush, bitmask or polygon: prompts that stayed when the model failed. A
  rectangle with a label that no tag for masks offers can have asked for none: it is a box.

What cannot be read is one region, never the export: `Region.mask` says what is wrong with it.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataset.export.labeling import UsedConfig
from dataset.export.results import (
    RegionResults,
    Result,
    is_spatial,
    item_index_of,
    regions_in,
    size_of_result,
    value_of,
    with_ids,
)
from labeling.config import LabelingConfig
from labeling.tracks import note_of
from masks.arrays import Mask, Points, check_size
from masks.raster import filled
from masks.rle import ALPHA_THRESHOLD, decode_rle
from masks.shapes import LARGEST_NUMBER, ellipse_corners, polygon_corners, rectangle_corners

PIXEL_DECIMALS = 2  # of coordinates in exports, and of what counts as the same shape
KEPT = frozenset(("no image size", "no label", "not in this configuration"))  # no mask, but a result all the same
SHAPE_KEYS = {"rectangle": ("x", "y", "width", "height"), "ellipse": ("x", "y", "radiusX", "radiusY")}


@dataclass(frozen=True)
class Region:
    """One object. `value` is Label Studio's, in percent; `kind` is brush, bitmask, polygon, rectangle or ellipse.

    One of kind keypoint cannot be read: it is a mask that lost the result of the tag that drew it. `labels` are those
    of the mask's own tag or its palette; most formats take the first. `track` is that of a propagated mask, also
    where a person has changed it since; empty without one, until `tracks.with_tracks` gives each region its track.
    """

    id: str
    kind: str
    labels: tuple[str, ...]
    to_name: str
    item_index: int | None
    size_wh: tuple[int, int]
    value: Mapping[str, Any]
    track: str = ""

    @property
    def label(self) -> str:
        """The first label."""
        return self.labels[0]

    def points_xy(self) -> Points:
        """Corners of a polygon, rectangle or ellipse in pixels: ``(N, 2)``.

        Raises:
            ValueError: numbers are missing, or there are fewer than three corners.
        """
        if self.kind == "polygon":
            return np.asarray(polygon_corners(self.value.get("points")) * np.asarray(self.size_wh) / 100)
        corners = rectangle_corners if self.kind == "rectangle" else ellipse_corners
        return corners(*self._in_pixels().values())

    def shape_percent(self) -> dict[str, float]:
        """The numbers of a rectangle or an ellipse by `SHAPE_KEYS`, in percent, and `rotation` in degrees.

        Raises:
            ValueError: numbers are missing.
        """
        if self.kind not in SHAPE_KEYS:
            raise ValueError("it is a mask in the result of a key point tag; give it a label of the tag that drew it")
        numbers = {name: _number(name, self.value.get(name)) for name in SHAPE_KEYS[self.kind]}
        return {**numbers, "rotation": _number("rotation", self.value.get("rotation") or 0.0)}

    def shape_pixels(self, decimals: int) -> dict[str, float]:
        """The same in pixels and degrees, rounded."""
        return {name: round(number, decimals) for name, number in self._in_pixels().items()}

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

    def _in_pixels(self) -> dict[str, float]:
        numbers = self.shape_percent()
        wholes = (*self.size_wh, *self.size_wh)
        sides = {name: numbers[name] * whole / 100 for name, whole in zip(SHAPE_KEYS[self.kind], wholes, strict=True)}
        return {**numbers, **sides}


@dataclass
class Reading:
    """What an annotation's results are: its regions, the results without ghosts and prompts, and what was left out."""

    regions: list[Region] = field(default_factory=list)
    kept: list[Result] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_results(results: Sequence[Result], config: UsedConfig) -> Reading:
    """Sort out the results of one annotation, in the order in which they were drawn."""
    results = with_ids(results)
    # Choices, texts, relations: no region, but an annotator's answer.
    reading = Reading(kept=[one for one in results if not is_spatial(one)])
    for one in regions_in(results):
        _take(one, config, reading)
    order = {id(one): number for number, one in enumerate(results)}
    reading.kept.sort(key=lambda one: order[id(one)])
    return reading


def region_of(found: RegionResults) -> Region:
    """The region that results with a shape draw; `Region.mask` says whether it can be read."""
    first = found.shapes[0]
    note = next(filter(None, map(note_of, (*found.shapes, *found.palettes))), None)
    return Region(
        id=str(first.get("id", "")),
        kind=found.kind,
        labels=found.labels,
        to_name=str(first.get("to_name", "")),
        item_index=item_index_of(first),
        size_wh=size_of_result(first),
        value=value_of(first),
        track="" if note is None else note.track,
    )


def places_of_prompts_alone(results: Sequence[Result], labeling: LabelingConfig) -> frozenset[tuple[str, int]]:
    """The images of an annotation on which it holds prompts and nothing else: an image tag, and which one of a list.

    An object was meant there, and no mask of it was kept: that the image holds none is not said.
    """
    asked, drawn = set[tuple[str, int]](), set[tuple[str, int]]()
    for one in regions_in(with_ids(results)):
        if one.shapes:
            first = one.shapes[0]
            place = (str(first.get("to_name", "")), item_index_of(first) or 0)
            (asked if _is_prompt(one, labeling) else drawn).add(place)
    return frozenset(asked - drawn)


def _take(found: RegionResults, config: UsedConfig, reading: Reading) -> None:
    reading.left_out["ghost"] += found.ghosts
    if not found.shapes:
        reading.left_out["label without a shape"] += 1
        return
    reason = _not_meant(found, config.labeling)
    if reason:
        reading.left_out[reason] += 1
        return
    reading.kept += [*found.shapes, *found.palettes]
    region = region_of(found)
    if not region.labels:
        reading.left_out["no label"] += 1
    elif config.strict and not _fits(found, config.labeling):
        reading.left_out["not in this configuration"] += 1
    elif min(region.size_wh) < 1:
        reading.left_out["no image size"] += 1
    else:
        reading.regions.append(region)


def _not_meant(found: RegionResults, labeling: LabelingConfig) -> str:
    """Why a region is no output, or nothing."""
    if found.is_a_point:
        return "key point"
    if found.kind == "vector":
        return "vector"
    return "prompt" if _is_prompt(found, labeling) else ""


def _is_prompt(found: RegionResults, labeling: LabelingConfig) -> bool:
    """Whether a point or a box asked SAM2 for a mask: on an image that has masks, with a tool that may ask."""
    image = str(found.shapes[0].get("to_name", ""))
    if not (found.is_a_point or found.kind == "rectangle") or not labeling.draws_masks(image):
        return False
    tool = labeling.control(str(found.shapes[0].get("from_name", "")))
    may_prompt = not found.labels or any(labeling.offers_mask(label, image) for label in found.labels)
    return (tool is None or tool.smart) and may_prompt


def _fits(found: RegionResults, labeling: LabelingConfig) -> bool:
    tools = [labeling.control(str(one.get("from_name", ""))) for one in (*found.shapes, *found.palettes)]
    labels = found.labels
    return all(tools) and all(tool.offers(label) for tool in tools if tool and tool.has_labels for label in labels)


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


def _number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"{name}: expected a number, got {str(value)[:40]!r}")
    return float(value)
