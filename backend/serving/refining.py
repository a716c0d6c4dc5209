"""SAM 2's own mask of things whose masks are known roughly: those that were carried over from another picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.errors import BadRequest, ImageError
from backend.geometry.mask_prompts import prompts_of
from backend.queue.scheduling import Priority
from backend.serving.clicks import MASK_BYTES, ClickAnswerer, turn, view_behind_clicks
from backend.serving.model import Model
from masks.rle import decode_rle, encode_rle

BYTES = 8 * MASK_BYTES  # for each pixel: the mask, its distances from the edge and its parts, and the answer


@dataclass(frozen=True)
class Refined:
    """SAM 2's mask.

    Attributes:
        rle: Label Studio's run-length code, of the image's size.
        score: the model's own estimate of its IoU.
    """

    rle: bytes
    score: float


def refine(
    answerer: ClickAnswerer,
    model: Model,
    url: str,
    task: str | None,
    size_wh: tuple[int, int],
    codes: Sequence[bytes],
    deadline: float,
) -> list[Refined | None]:
    """SAM 2's mask of each thing; None where it finds none. Clicks go first, and nothing is remembered.

    Each mask is the model's prompt three times: as a mask to start from, as its box, and by points deep inside it.

    Args:
        url: of the image, as its task names it.
        size_wh: of the masks; the image must have it.
        codes: the masks, in Label Studio's run-length code.
        deadline: `time.monotonic` value.

    Raises:
        RequestError: the image or a mask cannot be read, or has another size; too late, or out of memory.
    """
    view = view_behind_clicks(answerer, url, task, deadline, Priority.BATCH)
    if view.info.size_wh != size_wh:
        seen, said = ("x".join(map(str, one)) for one in (view.info.size_wh, size_wh))
        raise ImageError(f"the masks are of an image of {said} pixels, and it has {seen}")
    found: list[Refined | None] = []
    for number, code in enumerate(codes):
        with answerer.work.hold(size_wh[0] * size_wh[1] * BYTES, turn(deadline)):
            mask = _decoded(number, code, size_wh)
            got = answerer.predictor.predict(model, view, prompts_of(mask), closer=True, start=mask)
            answer = got.mask(size_wh)
            found.append(Refined(bytes(encode_rle(answer)), got.score) if answer.any() else None)
    return found


def _decoded(number: int, code: bytes, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        mask = decode_rle(code, size_wh)
    except ValueError as error:
        raise BadRequest(f"masks.{number} cannot be read: {error}") from None
    if not mask.any():
        raise BadRequest(f"masks.{number} is empty")
    return mask
