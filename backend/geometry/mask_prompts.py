"""A mask as prompts: its box, and the deepest point of each of its large parts."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Prompts

MOST_POINTS = 3


def prompts_of(mask: NDArray[np.bool_]) -> Prompts:
    """What a person would draw to get this mask.

    Args:
        mask: ``(H, W)`` bool in the size of the image, not empty.

    Returns:
        Prompts in pixels of the image: the upright box from edge to edge, and the pixel farthest from the edge in each
        of up to three parts, the largest first; parts far smaller than the largest get none.

    Raises:
        ValueError: the mask is empty.
    """
    left, top, wide, high = cv2.boundingRect(mask.view(np.uint8))
    if not wide:
        raise ValueError("mask: expected one with pixels, got an empty one")
    inside = np.pad(mask[top : top + high, left : left + wide].view(np.uint8), 1)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    deep = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    points = []
    for number in np.argsort(-areas, kind="stable")[:MOST_POINTS]:
        if areas[number] * 4 < areas.max():
            break
        row, column = divmod(int(np.argmax(np.where(parts == number + 1, deep, -1))), inside.shape[1])
        points.append((left + column - 1 + 0.5, top + row - 1 + 0.5))
    return Prompts(
        points_xy=np.asarray(points, dtype=np.float32).reshape(-1, 2),
        is_positive=np.ones(len(points), dtype=np.bool_),
        box_xyxy=np.asarray([left, top, left + wide, top + high], dtype=np.float32),
    )
