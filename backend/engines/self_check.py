"""Does a faster engine give the masks that torch gives in full precision?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Prompts, Segmenter

MIN_MEAN_IOU = 0.995
WIDTH, HEIGHT = 256, 192


def mean_iou(reference: Segmenter, other: Segmenter) -> float:
    """Mean IoU of the masks, at low resolution, over prompts of every kind on a drawn picture; 1 is the same.

    Both engines encode for themselves, and both are given the same mask where a prompt holds one.
    """
    pixels = drawn_picture()
    ours, theirs = reference.encode(pixels), other.encode(pixels)
    first = reference.decode(ours, _prompts([(80, 90, True)]))
    cases = [*drawn_prompts(), _prompts([(80, 90, True), (200, 60, False)], mask=first.logits[0])]
    overlaps = [
        _iou(one > 0, two > 0)
        for prompts in cases
        for one, two in zip(reference.decode(ours, prompts).logits, other.decode(theirs, prompts).logits, strict=True)
    ]
    return float(np.mean(overlaps))


def drawn_picture() -> NDArray[np.uint8]:
    """``(192, 256, 3)`` uint8: a disc, a box and a band on a shaded ground."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([60 + rows // 3, 90 + columns // 4, 120 - rows // 4], axis=-1)
    picture[(columns - 80) ** 2 + (rows - 90) ** 2 < 45**2] = (220, 70, 50)
    picture[40:100, 160:235] = (240, 220, 90)
    picture[(rows > 150) & (rows < 170)] = (40, 60, 200)
    return picture.astype(np.uint8)


def drawn_prompts() -> list[Prompts]:
    """Prompts of every kind but a mask, on the things of the picture."""
    return [
        _prompts([(80, 90, True)]),
        _prompts([(197, 70, True)]),
        _prompts([(128, 160, True)]),
        _prompts([(70, 80, True), (95, 110, True), (200, 70, False)]),
        _prompts([], box=(35, 45, 125, 135)),
        _prompts([], box=(160, 40, 235, 100)),
        _prompts([(80, 90, True), (130, 90, False)], box=(30, 40, 140, 140)),
    ]


def _prompts(
    points: list[tuple[float, float, bool]],
    *,
    box: tuple[float, float, float, float] | None = None,
    mask: NDArray[np.float32] | None = None,
) -> Prompts:
    return Prompts(
        np.asarray([point[:2] for point in points], dtype=np.float32).reshape(-1, 2),
        np.asarray([point[2] for point in points], dtype=np.bool_),
        None if box is None else np.asarray(box, dtype=np.float32),
        mask,
    )


def _iou(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(one | two)
    return 1.0 if union == 0 else np.count_nonzero(one & two) / union
