"""A mask of one image of a pair on the other image: what the key T in the page asks for."""

from __future__ import annotations

import time

from backend.budget import WAIT_SECONDS
from backend.errors import BadRequest
from backend.labelstudio.labeling_config import config_of_task, image_named, output_for
from backend.labelstudio.protocol import Prediction, PredictRequest
from backend.labelstudio.region_masks import SHAPES, kind_like, mask_of, placed_like
from backend.labelstudio.results import to_results
from backend.serving.service import Service
from masks.warp import carried

BYTES = 32  # for each pixel of both images: masks, one of them as floating point and up to four times finer


def twin_answer(service: Service, request: PredictRequest) -> Prediction:
    """The mask of the region in `context.result` on the other image of its pair, by the tags of that image.

    Raises:
        RequestError: there is no region or alignment, sizes differ, no tag takes the label, or the other image does not
            show that place; one sentence.
    """
    entries = (request.context.result if request.context else None) or []
    shaped = next((one for one in entries if one.type in SHAPES), None)
    if shaped is None or len(request.tasks) != 1:
        raise BadRequest("which mask is meant: expected one region of one task")
    task, label = request.tasks[0], next((one.value.label for one in entries if one.value.label), None)
    alignment = service.alignments.of(request.project)
    matrix, here, there = alignment.lead(task.id, shaped.to_name, shaped.item_index)
    size_wh = (shaped.original_width, shaped.original_height)
    if size_wh != here.size_wh:
        seen, known = ("x".join(map(str, one)) for one in (size_wh, here.size_wh))
        raise BadRequest(f"the mask is of an image of {seen} pixels, and the pairs were registered with {known}")
    options, config = service.options.of(request.project), config_of_task(request.label_config, task.data)
    image_named(config, there.to_name)
    output = output_for(config, there.to_name, label, shaped.type, kind_like(shaped, options.output))
    pixels = here.width * here.height + there.width * there.height
    with service.answerer.work.hold(BYTES * pixels, time.monotonic() + WAIT_SECONDS):
        mask = carried(mask_of(shaped), matrix, there.size_wh)
        if not mask.any():
            raise BadRequest(f"the image {there.to_name!r} does not show the place of this mask")
        click = placed_like(shaped, label, there.to_name, there.size_wh)
        results = to_results(mask, 0.0, click, output, options, f"from {here.to_name} {shaped.id or ''}".strip())
    return Prediction(model_version=service.files.version, score=0.0, result=results)
