"""What people do to accepted masks with a key: joined, cut, filled, taken apart, smoothed, made a polygon and back.

The page puts what comes in the place of the regions that it sent. SAM 2 itself has no part in it: what is added or
taken away is a mask that it gave before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from backend.budget import WAIT_SECONDS
from backend.errors import BadRequest
from backend.labelstudio.labeling_config import config_of_task, image_named, output_for, shown
from backend.labelstudio.options import OutputKind
from backend.labelstudio.protocol import ContextRegion, Edit, Prediction, PredictRequest
from backend.labelstudio.region_masks import SHAPES, kind_like, mask_of, placed_like
from backend.labelstudio.regions import on_same_image
from backend.labelstudio.results import to_results
from backend.serving.service import Service
from masks import editing

BYTES = 24  # for each pixel of the image: the masks, one of them as floating point, its parts by number
MOST_REGIONS = 64
SMOOTH_SHARE, LEAST_SMOOTH = 1 / 500, 1.5  # of the image's longer side; pixels

Mask = NDArray[np.bool_]
KINDS: Mapping[str, OutputKind] = {"polygon": "polygon", "brush": "brush"}


def edited_answer(service: Service, request: PredictRequest) -> Prediction:
    """The regions that take the place of those in `context.result`, whose first one gives label, image and kind.

    Raises:
        RequestError: there are too few regions or of several images, one cannot be read, nothing would be left or
            changed, or no tag takes the answer; one sentence.
    """
    regions, edit = _given(request)
    first, task = regions[0], request.tasks[0]
    size_wh = (first.original_width, first.original_height)
    pixel_limit = service.answerer.pixel_limit
    if size_wh[0] * size_wh[1] > pixel_limit:
        raise BadRequest(f"the mask has {size_wh[0]}x{size_wh[1]} pixels, more than IMAGE_PIXEL_LIMIT={pixel_limit}")
    options, config = service.options.of(request.project), config_of_task(request.label_config, task.data)
    image_named(config, first.to_name)
    wanted = KINDS.get(edit.what) or kind_like(first, options.output)
    output = output_for(config, first.to_name, first.value.label, first.type, wanted)
    if edit.what in KINDS and output.kind != wanted:
        label = "masks without a label" if first.value.label is None else f"the label {first.value.label!r}"
        raise BadRequest(f"the project has no {shown(edit.what)} that takes {label} on the image {first.to_name!r}")
    if edit.tolerance is not None:
        options = options.model_copy(update={"polygon_tolerance_pixels": edit.tolerance})
    click = placed_like(first, first.value.label)
    score = first.score or 0.0
    with service.answerer.work.hold(BYTES * size_wh[0] * size_wh[1], time.monotonic() + WAIT_SECONDS):
        made = _made(edit.what, [mask_of(one) for one in regions])
        results = [one for mask in made for one in to_results(mask, score, click, output, options)]
    return Prediction(model_version=service.files.version, score=score, result=results)


def _given(request: PredictRequest) -> tuple[list[ContextRegion], Edit]:
    context = request.context
    entries = (context.result if context else None) or []
    labels = {one.id: one.value.label for one in entries if one.value.label is not None}
    shaped = [one for one in entries if one.type in SHAPES]
    edit = context.edit if context else None
    if edit is None or not shaped or len(request.tasks) != 1:
        raise BadRequest("which mask is meant, and what is done to it: expected regions of one task, and `edit`")
    if len(shaped) > MOST_REGIONS:
        raise BadRequest(f"{len(shaped)} masks at once, more than {MOST_REGIONS}")
    first = shaped[0]
    size = (first.original_width, first.original_height)
    for one in shaped:
        if not on_same_image(first, one.to_name, one.item_index) or (one.original_width, one.original_height) != size:
            raise BadRequest("the masks are of several images, and each image has masks of its own")
    # With a palette the label is in an entry of its own; a mask that is joined to the first one takes its label.
    named = first.value.model_copy(update={"labels": [labels[first.id]]} if first.id in labels else {})
    return [first.model_copy(update={"value": named}), *shaped[1:]], edit


def _made(what: str, given: Sequence[Mask]) -> list[Mask]:
    """The masks that take the place of the first one.

    Raises:
        BadRequest: see `edited_answer`.
    """
    first, others = given[0], given[1:]
    if what in ("add", "take") and not others:
        raise BadRequest("another mask is needed: select two, or make one with SAM2")
    try:
        made = _WAYS[what](first, others)
    except ValueError as error:
        raise BadRequest(f"the mask cannot be changed so: {error}") from None
    if not any(one.any() for one in made):
        raise BadRequest("nothing of the mask would be left; delete it instead")
    if what not in KINDS and len(made) == 1 and np.array_equal(made[0], first):
        raise BadRequest(_NOTHING[what])
    return made


def _smoothed(mask: Mask) -> Mask:
    return editing.smoothed(mask, max(LEAST_SMOOTH, max(mask.shape) * SMOOTH_SHARE))


_WAYS: Mapping[str, Callable[[Mask, Sequence[Mask]], list[Mask]]] = {
    "add": lambda first, others: [np.logical_or.reduce([first, *others])],
    "take": lambda first, others: [first & ~np.logical_or.reduce(others)],
    "fill": lambda first, _others: [editing.without_holes(first)],
    "split": lambda first, _others: editing.parts(first),
    "smooth": lambda first, _others: [_smoothed(first)],
    "polygon": lambda first, _others: [first],
    "brush": lambda first, _others: [first],
}
_NOTHING = {
    "add": "the other mask lies in this one wholly: there is nothing to add",
    "take": "the other mask does not touch this one: there is nothing to take away",
    "fill": "the mask has no holes",
    "split": "the mask is one part",
    "smooth": "the mask is smooth already",
}
