"""Where masks lie, for a page that shows them without being an annotation's: proposals, and masks of another task."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.budget import WAIT_SECONDS
from backend.errors import BadRequest
from backend.labelstudio.outputs import percent_rings
from backend.labelstudio.protocol import PredictRequest
from backend.labelstudio.region_masks import SHAPES, mask_of
from backend.serving.service import Service

SIDE = 512  # pixels of the longer side on which outlines are drawn
TOLERANCE, DECIMALS = 0.7, 2
BYTES = 6  # for each pixel of the image: the mask, and it as a picture


def small_size(size_wh: tuple[int, int]) -> tuple[int, int]:
    """The size on which an image's outlines are drawn."""
    scale = min(1.0, SIDE / max(size_wh))
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))


def outlined(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Rings for the even-odd rule (x and y in turn, in percent of the image), and the area as a share of it.

    Args:
        mask: ``(H, W)`` bool, not larger than `small_size`.
    """
    rings = [[value for corner in ring for value in corner] for ring in percent_rings(mask, TOLERANCE, DECIMALS)]
    return {"rings": rings, "area": round(float(mask.mean()), 6)}


def outlines_answer(service: Service, request: PredictRequest) -> dict[str, Any]:
    """The body of the answer: the outlines of all masks in `context.result`, by their ids; empty ones are left out.

    Raises:
        BadRequest: there are none, or one cannot be read.
    """
    entries = [one for one in (request.context.result if request.context else None) or [] if one.type in SHAPES]
    if not entries:
        raise BadRequest("which masks are meant: expected regions")
    found = []
    for one in entries:
        size_wh = (one.original_width, one.original_height)
        pixel_limit = service.answerer.pixel_limit
        if size_wh[0] * size_wh[1] > pixel_limit:
            raise BadRequest(f"a mask has {size_wh[0]}x{size_wh[1]} pixels, more than IMAGE_PIXEL_LIMIT={pixel_limit}")
        with service.answerer.work.hold(BYTES * size_wh[0] * size_wh[1], time.monotonic() + WAIT_SECONDS):
            mask = _shrunk(mask_of(one), small_size(size_wh))
        if mask.any():
            found.append({"id": one.id, **outlined(mask)})
    return {"results": [{"model_version": service.files.version, "score": 0.0, "result": [], "outlines": found}]}


def _shrunk(mask: NDArray[np.bool_], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """A smaller mask; one that is too thin for it is there all the same."""
    if (mask.shape[1], mask.shape[0]) == size_wh:
        return mask
    share = cv2.resize(mask.view(np.uint8) * np.uint8(255), size_wh, interpolation=cv2.INTER_AREA)
    small = share > 127
    return np.asarray(small if small.any() else share > 0)
