"""What the annotator did (Label Studio's regions, percent) as what the model takes (arrays, pixels)."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.errors import BadRequest
from backend.geometry import strokes
from backend.labelstudio import regions
from backend.labelstudio.drafts import BoxFound, Place, box_around, near_distance, read_draft, stroke_near
from backend.labelstudio.protocol import ContextRegion
from backend.labelstudio.regions import Drawn
from backend.segmenter import Prompts
from masks.rle import decode_rle

MAX_PROMPTS = 256
MAX_STROKES = 16  # each is a mask as large as the image
MIN_BOX_SIDE = 1e-3


@dataclass(frozen=True)
class Click:
    """All pending prompts of one object, and where the answer belongs.

    Attributes:
        drawn: the prompts on the screen, in the order in which they were drawn.
        to_name: the image tag that they were drawn on.
        size_wh: the image's width and height in pixels as the browser shows it.
        item_index: which image of a tag with several; belongs into every result of the answer.
        image_rotation: how the annotator has turned the view, in degrees. Coordinates and masks are of the unturned
            image all the same: the editor undoes the turn before it stores a region (libs/editor,
            tags/object/Image/Image.js, `fixZoomedCoords`).
        stroke_points: ``(N, 2)`` percent, on the brush strokes that were meant, all positive.
        replaces: id of the stroke; an answer under this id replaces the stroke when it is accepted. None: a new id.
        box: a box that was drawn apart from the points, out of a draft or remembered.
        annotator: who clicked, as Label Studio writes it in the drafts; None when there are none.
        draft_ids: of all regions in the annotator's newest draft.
    """

    drawn: tuple[Drawn, ...]
    to_name: str
    size_wh: tuple[int, int]
    item_index: int | None
    image_rotation: float
    stroke_points: NDArray[np.float64]
    replaces: str | None = None
    box: BoxFound | None = None
    annotator: str | None = None
    draft_ids: frozenset[str] = frozenset()

    @property
    def kind(self) -> str:
        """`type` of the newest prompt."""
        return self.drawn[-1].kind

    @property
    def label(self) -> str | None:
        """The newest label."""
        return next((one.label for one in reversed(self.drawn) if one.label is not None), None)

    @property
    def region_ids(self) -> frozenset[str]:
        """Of the prompts on the screen. Two requests that share one are the same annotator's, for one object."""
        return frozenset(one.id for one in self.drawn if one.id is not None)

    @property
    def has_box(self) -> bool:
        """A box, ellipse or polygon is on the screen, be it without an area."""
        return any(one.kind in regions.BOXES for one in self.drawn)

    @property
    def aim(self) -> NDArray[np.float64]:
        """The key points that a box must hold to be meant: ``(N, 2)`` x, y in percent, moved into the image.

        The positive ones; when all are negative, those: they correct what the box gave.
        """
        positive = _key_points(self.drawn, positive=True)
        return positive if len(positive) else _key_points(self.drawn, positive=False)

    @property
    def drawn_box(self) -> BoxFound | None:
        """The newest box on the screen that has an area, not clipped."""
        scale = np.tile(self.size_wh, 2)
        for one in reversed(self.drawn):
            if one.kind in regions.BOXES:
                box = regions.box_of(one.kind, one.value, self.size_wh)
                if (box[2:] - box[:2] >= MIN_BOX_SIDE).all():
                    left, top, right, bottom = (box / scale * 100).tolist()
                    return BoxFound(one.id, (left, top, right, bottom))
        return None


def read_click(entries: Sequence[ContextRegion], drafts: Sequence[Any] = (), pixel_limit: int = sys.maxsize) -> Click:
    """Put `context.result` and the annotator's own drafts together.

    Label Studio sends points and boxes apart and strokes never; they are taken from the drafts, where they have the
    click's label and image: a stroke that a positive point lies on or near (`drafts.stroke_near`), and the smallest box
    that holds the points (`Click.aim`). Beside a box on the screen the drafts do not count.

    Args:
        entries: `context.result`, not empty.
        drafts: `tasks[0].drafts` as they came; nothing in them is an error.
        pixel_limit: the largest image in the browser. A stroke of a larger one is not decoded.

    Raises:
        BadRequest: nothing among the entries is a prompt, one is incomplete, there are more than 256 or more than 16
            strokes, or the image is too large.
    """
    drawn, newest = regions.put_together(entries)
    if len(drawn) > MAX_PROMPTS:
        raise BadRequest(
            f"{len(drawn)} prompts for one object, more than {MAX_PROMPTS}: accept or delete the object first"
        )
    for width, height in {one.size_wh for one in drawn}:
        if width * height > pixel_limit:
            raise BadRequest(f"the browser shows {width}x{height} pixels, more than IMAGE_PIXEL_LIMIT={pixel_limit}")
    size_wh = (newest.original_width, newest.original_height)
    points, replaces = _strokes_on_screen(drawn)
    draft = read_draft(drafts)
    click = Click(
        drawn=tuple(drawn),
        to_name=newest.to_name,
        size_wh=size_wh,
        item_index=newest.item_index,
        image_rotation=newest.image_rotation % 360 if math.isfinite(newest.image_rotation) else 0.0,
        stroke_points=points,
        replaces=replaces,
        annotator=draft.annotator,
        draft_ids=draft.region_ids,
    )
    if len(click.aim) == 0 or click.has_box:
        return click
    place = Place(click.to_name, click.item_index, click.label)
    click = replace(click, box=box_around(draft, place, click.aim, size_wh))
    positive = _key_points(drawn, positive=True)
    stroke = stroke_near(draft, place, positive, size_wh) if replaces is None and len(positive) else None
    return click if stroke is None else replace(click, stroke_points=stroke.points, replaces=stroke.id)


def to_pixels(click: Click, size_wh: tuple[int, int]) -> Prompts:
    """Convert the prompts of a click to pixels of an image of this size.

    Points are moved to the image's edge when they lie outside, and sorted, each one once: the order in which they
    were drawn must not change the mask. Of several boxes the newest counts: the model takes one. A box without an
    area is a point in its middle. A box that was not on the screen (`Click.box`) counts only where none is, and only
    as far as it lies in the image.

    Raises:
        BadRequest: a prompt has no coordinates, or a box, ellipse or polygon lies outside the image.
    """
    points = [(xy, True) for xy in click.stroke_points / 100 * size_wh]
    box: NDArray[np.float64] | None = None
    limit = np.asarray(size_wh, dtype=np.float64)
    for drawn in click.drawn:
        if drawn.kind in regions.POINTS:
            points.append((np.clip(regions.point_of(drawn.value, size_wh), 0, limit), drawn.positive))
        elif drawn.kind in regions.BOXES:
            whole = regions.box_of(drawn.kind, drawn.value, size_wh)
            if (whole[:2] >= limit).any() or (whole[2:] <= 0).any():
                raise BadRequest(f"the {_noun(drawn.kind)} lies outside the image")
            clipped = np.clip(whole, 0, np.tile(limit, 2))
            if (clipped[2:] - clipped[:2] < MIN_BOX_SIDE).any():
                points.append((clipped.reshape(2, 2).mean(axis=0), True))
            else:
                box = clipped
    if box is None and click.box is not None:
        clipped = np.clip(np.asarray(click.box.xyxy) / 100 * np.tile(limit, 2), 0, np.tile(limit, 2))
        box = clipped if (clipped[2:] - clipped[:2] >= MIN_BOX_SIDE).all() else None
    table = np.asarray([(*xy, positive) for xy, positive in points], dtype=np.float32).reshape(-1, 3)
    unique: NDArray[np.float32] = np.unique(table, axis=0)
    return Prompts(
        points_xy=np.ascontiguousarray(unique[:, :2]),
        is_positive=unique[:, 2] > 0,
        box_xyxy=None if box is None else box.astype(np.float32),
    )


def _key_points(drawn: Sequence[Drawn], *, positive: bool) -> NDArray[np.float64]:
    wanted = (one for one in drawn if one.kind in regions.POINTS and one.positive is positive)
    points = [regions.point_of(one.value, (100, 100)) for one in wanted]
    return np.clip(np.asarray(points, dtype=np.float64).reshape(-1, 2), 0, 100)


def _strokes_on_screen(drawn: Sequence[Drawn]) -> tuple[NDArray[np.float64], str | None]:
    """Points on the strokes among the prompts, and the id of the newest stroke."""
    found: list[NDArray[np.float64]] = [np.zeros((0, 2))]
    replaces: str | None = None
    brushed = [one for one in drawn if one.kind in regions.BRUSHES]
    if len(brushed) > MAX_STROKES:
        raise BadRequest(f"{len(brushed)} brush strokes for one object, more than {MAX_STROKES}: accept it first")
    for one in brushed:
        try:
            mask = decode_rle(one.value.rle or (), one.size_wh)
        except ValueError as error:
            raise BadRequest(f"the mask of a brush stroke cannot be read: {error}") from None
        found.append(strokes.of_mask(mask).points(near_distance(one.size_wh)))
        replaces = one.id
    return np.concatenate(found), replaces


def _noun(kind: str) -> str:
    if kind in regions.RECTANGLES:
        return "box"
    return "ellipse" if kind in regions.ELLIPSES else "polygon"
