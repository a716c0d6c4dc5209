"""The outline of the mask that a click would give, before it: what the page asks for while the mouse rests on an image.

A preview may delay no one: it is below clicks and opened tasks in the model's queue, takes no click's place,
encodes nothing, remembers nothing, and is given up after half a second. So one that does not come is no error.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from backend.errors import BadRequest, Busy, DeadlinePassed, ImageError, ModelNotReady, OutOfMemory, Superseded
from backend.geometry.cleanup import clean
from backend.labelstudio.labeling_config import config_of_task, image_named, image_url
from backend.labelstudio.prompts import Click, read_click, to_pixels
from backend.labelstudio.protocol import PredictRequest
from backend.queue.scheduling import Priority
from backend.serving.clicks import MASK_BYTES, PART_BYTES, ClickAnswerer, check_same_shape, turn, view_behind_clicks
from backend.serving.in_flight import InFlight, Token
from backend.serving.model import Model
from backend.serving.service import Service
from masks.outlines import parts_of, simplified

LIMIT_SECONDS = 0.5
TOLERANCE = 0.5  # pixels of the image between the outline and the mask's edge
DECIMALS = 3  # of a percent
MOST_RINGS = 200  # of a speckled mask; the largest are enough to see which object it is
Outline = list[list[float]]


def preview_answer(service: Service, request: PredictRequest) -> dict[str, Any]:
    """The body of the answer: one prediction without results, with `preview` beside them.

    Its `outline` has one list for each ring, x and y in turn, in percent of the image; it is empty where no mask is
    found, and where none can be had now.

    Raises:
        RequestError: the request cannot be answered at any time, one sentence.
    """
    model, outline = service.loader.loaded, Outline()
    if model is not None:
        try:
            outline = outline_of(service.answerer, service.previews, request, model)
        except (Busy, DeadlinePassed, ImageError, ModelNotReady, OutOfMemory, Superseded):
            outline = Outline()  # a click says what is wrong
    told = {"model_version": service.files.version, "score": 0.0, "result": [], "preview": {"outline": outline}}
    return {"results": [told]}


def outline_of(answerer: ClickAnswerer, previews: InFlight, request: PredictRequest, model: Model) -> Outline:
    """The rings around the mask that a click with these prompts would give.

    Args:
        previews: those that are worked on; a newer one of the same prompts replaces an older one.

    Raises:
        RequestError: as of a click; also that the image is not encoded.
    """
    regions = request.context.result if request.context else None
    if not regions or len(request.tasks) != 1:
        raise BadRequest("a preview is of one task and one prompt")
    task, click = request.tasks[0], read_click(regions, (), answerer.pixel_limit)
    with previews.enter(task.id or "", click.region_ids) as token:
        return _outline(answerer, request, click, model, token)


def _outline(answerer: ClickAnswerer, request: PredictRequest, click: Click, model: Model, token: Token) -> Outline:
    deadline = time.monotonic() + LIMIT_SECONDS
    task, options = request.tasks[0], answerer.options.of(request.project)
    tag = image_named(config_of_task(request.label_config, task.data), click.to_name)
    url = image_url(task.data, tag, click.item_index)
    view = view_behind_clicks(answerer, url, task.id, deadline, Priority.PREVIEW, token)
    info = view.info
    check_same_shape(info.size_wh, click.size_wh)
    prompts = to_pixels(click, info.size_wh)
    if not prompts.names_an_object:
        return []
    view = replace(view, is_preview=True)
    found = answerer.predictor.predict(model, view, prompts, closer=options.crop_small_objects)
    token.check()
    with answerer.work.hold((MASK_BYTES + PART_BYTES) * click.size_wh[0] * click.size_wh[1], turn(deadline)):
        inside = prompts.points_xy[prompts.is_positive] * (np.asarray(click.size_wh) / np.asarray(info.size_wh))
        parts = parts_of(clean(found.mask(click.size_wh), options, inside), diagonal=True)
        rings = sorted((ring for part in parts for ring in (part.outline, *part.holes)), key=len, reverse=True)
        scale = 100 / np.asarray(click.size_wh)
        return [
            np.round(simplified(ring, TOLERANCE) * scale, DECIMALS).reshape(-1).tolist() for ring in rings[:MOST_RINGS]
        ]
