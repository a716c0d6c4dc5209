"""Tidy a mask: holes, specks, parts. The model's score stays as it was."""

from __future__ import annotations

from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from masks.editing import without_holes


class CleanupOptions(Protocol):
    """Areas in pixels, 0 for off; which parts of a mask are kept."""

    @property
    def fill_holes_pixels(self) -> int:
        """Largest hole that is filled."""

    @property
    def remove_specks_pixels(self) -> int:
        """Largest part that is removed."""

    @property
    def keep(self) -> Literal["all", "largest", "clicked"]:
        """Which parts."""


def clean(
    mask: NDArray[np.bool_], options: CleanupOptions, positive_xy: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """Fill small holes, then remove small parts, then keep the chosen parts.

    A hole is background that its object encloses (pixels joined by sides) and that does not touch the image's edge; a
    part is object whose pixels are joined by sides or corners. Where something was, something stays: when every part
    is a speck, the largest is kept.

    Args:
        mask: ``(H, W)`` bool.
        options: areas in pixels of this mask.
        positive_xy: ``(N, 2)`` x and y in pixels of this mask, for `keep="clicked"`: the parts under these points are
            kept, or the largest when no point lies on a part (a box, a point beside the object).

    Returns:
        ``(H, W)`` bool; the mask itself when there is nothing to do.
    """
    if not (options.fill_holes_pixels or options.remove_specks_pixels or options.keep != "all"):
        return mask
    # Everything happens inside the box around the object: a pixel row outside it could be no hole and no part.
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    if not width:
        return mask
    inside = mask[top : top + height, left : left + width]
    if options.fill_holes_pixels:
        # What touches the box's edge is open to the rest of the image, or to its edge.
        inside = without_holes(inside, options.fill_holes_pixels)
    if options.remove_specks_pixels or options.keep != "all":
        points = None if positive_xy is None else np.floor(positive_xy).astype(np.int64) - (left, top)
        inside = _wanted_parts(inside, options, points)
    cleaned = np.zeros_like(mask)
    cleaned[top : top + height, left : left + width] = inside
    return cleaned


def _wanted_parts(
    mask: NDArray[np.bool_], options: CleanupOptions, points_xy: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if number == 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = 0  # the background
    wanted = areas > options.remove_specks_pixels
    wanted[np.argmax(areas)] |= not wanted.any()
    if options.keep != "all":
        chosen = np.zeros(number, dtype=np.bool_)
        if options.keep == "clicked" and points_xy is not None:
            on_box = ((points_xy >= 0) & (points_xy < (mask.shape[1], mask.shape[0]))).all(axis=1)
            chosen[labels[points_xy[on_box, 1], points_xy[on_box, 0]]] = True
            chosen[0] = False
        # The clicked part stays even when it is a speck: the annotator pointed at it.
        wanted = chosen if chosen.any() else np.arange(number) == np.argmax(areas)
    return np.asarray(wanted[labels])
