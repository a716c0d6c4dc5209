"""A mask of one image of a pair on the other image: what the key T in the page asks for."""

from __future__ import annotations

import base64
import binascii
import io
import time
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from backend.budget import WAIT_SECONDS
from backend.errors import BadRequest
from backend.labelstudio import regions
from backend.labelstudio.labeling_config import config_of_task, image_named, output_for
from backend.labelstudio.options import OutputKind
from backend.labelstudio.prompts import Click
from backend.labelstudio.protocol import ContextRegion, Prediction, PredictRequest
from backend.labelstudio.results import to_results
from backend.serving.service import Service
from masks.raster import filled
from masks.rle import ALPHA_THRESHOLD, decode_rle
from masks.shapes import ellipse_corners, polygon_corners, rectangle_corners
from masks.warp import carried

BITMASKS = ("bitmask", "bitmasklabels")
SHAPES = (*regions.BRUSHES, *BITMASKS, *regions.BOXES)
BYTES = 32  # for each pixel of both images: masks, one of them as floating point and up to four times finer
Mask = NDArray[np.bool_]


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
    kind = shaped.type.removesuffix("labels")
    prefer = cast(OutputKind, kind) if kind in get_args(OutputKind) and kind != "rectangle" else options.output
    output = output_for(config, there.to_name, label, shaped.type, prefer)
    pixels = here.width * here.height + there.width * there.height
    with service.answerer.work.hold(BYTES * pixels, time.monotonic() + WAIT_SECONDS):
        mask = carried(_mask(shaped, size_wh), matrix, there.size_wh)
        if not mask.any():
            raise BadRequest(f"the image {there.to_name!r} does not show the place of this mask")
        drawn = regions.Drawn(None, shaped.type, shaped.value, True, label, there.size_wh)
        click = Click((drawn,), there.to_name, there.size_wh, shaped.item_index, 0.0, np.zeros((0, 2)))
        results = to_results(mask, 0.0, click, output, options, f"from {here.to_name} {shaped.id or ''}".strip())
    return Prediction(model_version=service.files.version, score=0.0, result=results)


def _mask(region: ContextRegion, size_wh: tuple[int, int]) -> Mask:
    """``(H, W)`` bool of the image that the region is on.

    Raises:
        BadRequest: it cannot be read.
    """
    value, scale = region.value, np.asarray(size_wh) / 100
    try:
        if region.type in regions.BRUSHES:
            return decode_rle(value.rle or (), size_wh)
        if region.type in BITMASKS:
            return _bitmask(value.image_data_url or "", size_wh)
        if region.type in regions.POLYGONS:
            return filled(polygon_corners(value.points) * scale, size_wh)
        x, y = regions.point_of(value, size_wh)
        ellipse = region.type in regions.ELLIPSES
        sides = (value.radius_x, value.radius_y) if ellipse else (value.width, value.height)
        if sides[0] is None or sides[1] is None:
            raise ValueError("it has no size")
        corners = ellipse_corners if ellipse else rectangle_corners
        return filled(corners(x, y, sides[0] * scale[0], sides[1] * scale[1], value.rotation), size_wh)
    except ValueError as error:
        raise BadRequest(f"the mask cannot be read: {error}") from None


def _bitmask(url: str, size_wh: tuple[int, int]) -> Mask:
    try:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True)), formats=["PNG"]) as picture:
            if picture.size != size_wh:
                raise ValueError(f"its picture has {picture.size[0]}x{picture.size[1]} pixels")
            return np.asarray(picture.convert("RGBA").getchannel("A")) >= ALPHA_THRESHOLD
    except (binascii.Error, UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError):
        raise ValueError("its picture is no PNG") from None
