"""What the annotator has drawn and not submitted: the strokes and boxes that complete a click.

Label Studio sends all drafts of the user who clicks along with the task. A draft can hold hundreds of masks, so its
regions are sorted by their few short fields first, and only what may belong to the click is read. Nothing in a draft
is an error: what cannot be read is passed over.

A draft keeps a stroke as the movements of the brush (`value.touches`), not as a mask: the editor makes the mask when
the annotation is submitted (libs/editor, regions/BrushRegion.jsx, `serialize`; stores/Annotation/Annotation.js,
`saveDraft`). It saves five seconds after a change at the latest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import BadRequest
from backend.geometry import strokes
from backend.labelstudio import regions
from backend.labelstudio.protocol import MAX_CODE, Percent, Pixels, RegionValue
from masks import shapes
from masks.rle import decode_rle

MAX_STROKE_SHARE = 0.2
MAX_CANDIDATES = 16
MAX_DECODED = 4  # each costs some 20 ms at 12 megapixels
MAX_TOUCHES = 500
MAX_TOUCH_POINTS = 50_000


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _Touch(_Lenient):
    type: str = "add"
    relativePoints: Annotated[list[Percent], Field(max_length=2 * MAX_TOUCH_POINTS)]  # x and y by turns
    relativeStrokeWidth: Percent


class _Stroke(_Lenient):
    rle: Annotated[list[int], Field(max_length=MAX_CODE)] | None = None
    touches: Annotated[list[_Touch], Field(max_length=2 * MAX_TOUCHES)] = []


class _Size(_Lenient):
    original_width: Pixels
    original_height: Pixels


@dataclass(frozen=True)
class Place:
    """What a region must share with a click to count for it."""

    to_name: str
    item_index: int | None
    label: str | None


@dataclass(frozen=True)
class DraftRegion:
    """All entries of one region. `value` and `size` are as they came, unchecked."""

    id: str
    kind: str
    place: Place
    scored: bool
    value: Mapping[str, Any]
    size: Mapping[str, Any]


@dataclass(frozen=True)
class StrokeFound:
    """A stroke that a point lies on: `points` ``(N, 2)`` in percent."""

    id: str
    points: NDArray[np.float64]


@dataclass(frozen=True)
class BoxFound:
    """A box that counts beside the points of a click.

    Attributes:
        id: of the region that was drawn; None when it had none.
        xyxy: left, top, right, bottom in percent, neither clipped nor rounded.
    """

    id: str | None
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class Draft:
    """The newest draft.

    Attributes:
        annotator: whose it is, as Label Studio writes it; None when it does not say.
        region_ids: of all regions in it, masks included.
        drawn: the regions without a model's score, the newest last.
    """

    annotator: str | None = None
    region_ids: frozenset[str] = frozenset()
    drawn: tuple[DraftRegion, ...] = ()

    def at(self, place: Place, kinds: Sequence[str]) -> list[DraftRegion]:
        """Its drawn regions of these kinds at a place, the newest first, at most 16."""
        found = [
            one
            for one in reversed(self.drawn)
            if one.kind in kinds
            and one.place.to_name == place.to_name
            and (one.place.item_index or 0) == (place.item_index or 0)
            and one.place.label == place.label
        ]
        return found[:MAX_CANDIDATES]


def read_draft(drafts: Sequence[Any]) -> Draft:
    """The draft that was saved last: the one on the annotator's screen. An empty one when there is none."""
    saved = [one for one in drafts if isinstance(one, Mapping) and isinstance(one.get("result"), list)]
    if not saved:
        return Draft()
    newest = max(saved, key=_saved_at)
    user = newest.get("user")
    grouped: dict[str, DraftRegion] = {}
    for entry in newest["result"]:
        one = _read_entry(entry)
        if one is not None:
            grouped[one.id] = _merge(grouped.get(one.id), one)
    return Draft(
        annotator=str(user) if isinstance(user, str | int) and user else None,
        region_ids=frozenset(grouped),
        drawn=tuple(one for one in grouped.values() if not one.scored),
    )


def stroke_near(
    draft: Draft, place: Place, points: NDArray[np.float64], size_wh: tuple[int, int]
) -> StrokeFound | None:
    """The stroke that one of the points lies on or near, the closest if there are several, then the newest.

    Near is 8 pixels, or half a percent of the longer side where that is more. Not strokes are masks that a model
    made (they have a score), whatever covers more than a fifth of the image, and what the magic wand selected. Of
    strokes that were saved as masks only the 4 newest are read.

    Args:
        points: ``(N, 2)`` in percent, the positive points of the click.
        size_wh: of the image as the browser shows it; a stroke of another size is passed over.
    """
    near, pixels = near_distance(size_wh), points / 100 * size_wh
    best: tuple[float, str, strokes.StrokeMask] | None = None
    decoded = 0
    for region in draft.at(place, regions.BRUSHES):
        decoded += bool(region.value.get("rle"))
        if region.value.get("rle") and decoded > MAX_DECODED:
            continue
        stroke = _stroke_mask(region, pixels, size_wh, near)
        if stroke is None:
            continue
        distances = [away for xy in pixels if (away := stroke.distance(xy, near)) is not None]
        closer = distances and (best is None or min(distances) < best[0])
        if closer and stroke.covers <= MAX_STROKE_SHARE:  # asked last: it counts all pixels
            best = (min(distances), region.id, stroke)
    return StrokeFound(best[1], best[2].points(near)) if best else None


def near_distance(size_wh: tuple[int, int]) -> float:
    """How far from a stroke a click still means it, in pixels."""
    return max(8.0, 0.005 * max(size_wh))


def box_around(draft: Draft, place: Place, points: NDArray[np.float64], size_wh: tuple[int, int]) -> BoxFound | None:
    """The smallest drawn rectangle that holds all points: ``(N, 2)`` in percent."""
    best: tuple[float, BoxFound] | None = None
    for region in draft.at(place, regions.RECTANGLES):
        try:
            value = RegionValue.model_validate(region.value)
            box = regions.box_of(region.kind, value, size_wh) / np.tile(size_wh, 2) * 100
        except (ValidationError, BadRequest):
            continue
        area = float(np.prod(box[2:] - box[:2]))
        if area > 0 and shapes.contains(box, points) and (best is None or area < best[0]):
            best = (area, BoxFound(region.id, (float(box[0]), float(box[1]), float(box[2]), float(box[3]))))
    return best[1] if best else None


def _stroke_mask(
    region: DraftRegion, pixels: NDArray[np.float64], size_wh: tuple[int, int], near: float
) -> strokes.StrokeMask | None:
    if region.value.get("maskDataURL"):
        return None
    try:
        size = _Size.model_validate(region.size)
        value = _Stroke.model_validate(region.value)
        touches = _touches(value.touches)
        if (size.original_width, size.original_height) != size_wh:
            return None
        if value.rle:
            return strokes.of_mask(decode_rle(value.rle, size_wh), touches)
    except (ValidationError, ValueError):
        return None
    box = strokes.bounds(touches, size_wh) + np.asarray([-near, -near, near, near])
    if not any(shapes.contains(box, xy[None]) for xy in pixels):
        return None
    return strokes.of_touches(touches, size_wh)


def _touches(touches: Sequence[_Touch]) -> list[strokes.Touch]:
    """
    Raises:
        ValueError: too many for a stroke.
    """
    used = [one for one in touches if len(one.relativePoints) >= 2]
    if len(used) > MAX_TOUCHES or sum(len(one.relativePoints) for one in used) > 2 * MAX_TOUCH_POINTS:
        raise ValueError("too long for a stroke")
    return [
        strokes.Touch(
            # Far outside nothing is seen, and OpenCV counts in 32 bits.
            np.clip(np.asarray(one.relativePoints[: len(one.relativePoints) // 2 * 2]).reshape(-1, 2), -1000.0, 1000.0),
            float(np.clip(one.relativeStrokeWidth, 0, 100)),
            one.type == "eraser",
        )
        for one in used
    ]


def _read_entry(entry: Any) -> DraftRegion | None:
    if not isinstance(entry, Mapping):
        return None
    region_id, kind, to_name, value = (entry.get(name) for name in ("id", "type", "to_name", "value"))
    if not (isinstance(region_id, str) and isinstance(kind, str) and isinstance(to_name, str)):
        return None
    if not isinstance(value, Mapping):
        return None
    index, score = entry.get("item_index"), entry.get("score")
    place = Place(to_name, index if isinstance(index, int) else None, _label(kind, value))
    size = {name: entry.get(name) for name in ("original_width", "original_height")}
    scored = isinstance(score, int | float) and not isinstance(score, bool)
    return DraftRegion(region_id, kind, place, scored, value, size)


def _merge(earlier: DraftRegion | None, later: DraftRegion) -> DraftRegion:
    """Put two entries of one region together. The first that has a shape gives it.

    An accepted mask gets a second entry, without a score, from the tag that prompted; the score of the first counts.
    """
    if earlier is None:
        return later
    shape, other = (earlier, later) if earlier.kind != "labels" else (later, earlier)
    label = shape.place.label if shape.place.label is not None else other.place.label
    place = Place(shape.place.to_name, shape.place.item_index, label)
    return DraftRegion(shape.id, shape.kind, place, earlier.scored or later.scored, shape.value, shape.size)


def _label(kind: str, value: Mapping[str, Any]) -> str | None:
    for name in (kind, "labels"):
        labels = value.get(name)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return labels[0]
    return None


def _saved_at(draft: Mapping[str, Any]) -> float:
    written = draft.get("updated_at")
    try:
        moment = datetime.fromisoformat(written) if isinstance(written, str) else datetime.fromtimestamp(0, UTC)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
