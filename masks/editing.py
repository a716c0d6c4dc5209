"""What is done to a mask that is there: holes filled, parts apart, edges smooth."""

from __future__ import annotations

import cv2
import numpy as np

from masks.arrays import Mask

MOST_PARTS = 64


def without_holes(mask: Mask, largest: int | None = None) -> Mask:
    """Fill the background that the mask encloses (pixels joined by sides) and that does not touch the array's edge.

    Args:
        mask: ``(H, W)`` bool.
        largest: area in pixels of the largest hole that is filled; None fills all.

    Returns:
        ``(H, W)`` bool; the mask itself where there is nothing to fill.
    """
    number, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    fill = np.ones(number, np.bool_) if largest is None else np.asarray(stats[:, cv2.CC_STAT_AREA] <= largest)
    fill[0] = False  # the mask itself
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        fill[edge] = False
    if number == 1 or not fill.any():
        return mask
    return np.asarray(mask | fill[labels])


def parts(mask: Mask) -> list[Mask]:
    """Each part of a mask by itself, the largest first; pixels that touch by sides or corners are one part.

    Raises:
        ValueError: there are more than 64.
    """
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if number - 1 > MOST_PARTS:
        raise ValueError(f"it has {number - 1} parts, and {MOST_PARTS} are the most that are taken apart")
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable") + 1
    return [np.asarray(labels == one) for one in order]


def smoothed(mask: Mask, radius: float) -> Mask:
    """Each pixel becomes what most of its surroundings are, so steps and hairs of the edge go and its place stays.

    A Gaussian blur, cut at a half; beyond the image's edge the mask goes on as it is there.

    Args:
        mask: ``(H, W)`` bool.
        radius: standard deviation of the surroundings in pixels, above 0.

    Returns:
        ``(H, W)`` bool; empty where the mask is nowhere as wide as its surroundings.
    """
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), radius, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft > 0.5)
