"""What RGB and thermal pictures have in common: where edges are and which way they run, not which side is brighter.

Each pixel gets a vector whose direction is twice the gradient's angle, so that an edge from dark to bright and one from
bright to dark are the same (G. Granlund, "In search of a general picture processing operator", Computer Graphics and
Image Processing 8, 1978: the double-angle representation), and whose length is the gradient's, relative to the mean
around it: strong edges of one picture do not outweigh all others.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]  # (H, W)
Field = NDArray[np.float32]  # (H, W, 2)
Mask = NDArray[np.bool_]  # (H, W)

SMOOTHING = 1.5  # pixels of the level
AROUND = 12.0  # pixels of the level, within which gradients are compared
LARGEST = 3.0  # times the mean around it
BORDER = 6  # pixels of the level at the edge of a picture are no edges of a scene


def blank_frame(grey: Grey) -> Mask:
    """The pixels at the edge that a picture does not fill, as one that was undistorted or turned: ``(H, W)`` bool.

    They have one value, that of a corner, and hang together with it.
    """
    height, width = grey.shape
    found = np.zeros((height, width), bool)
    for row, column in ((0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)):
        _, parts = cv2.connectedComponents((grey == grey[row, column]).astype(np.uint8), connectivity=4)
        found |= parts == parts[row, column]
    return found


def field_of(grey: Grey, step: int, blank: Mask | None = None) -> Field:
    """The vectors of a picture at 1/`step` of its size; none at its border and beside pixels that are `blank`."""
    if step > 1:
        height, width = grey.shape
        smooth = cv2.GaussianBlur(grey, (0, 0), 0.5 * step)
        size = (max(1, width // step), max(1, height // step))
        grey = np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), SMOOTHING)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)
    length = np.hypot(x, y)
    around = cv2.GaussianBlur(length, (0, 0), AROUND) + 0.1 * float(length.mean()) + 1e-9
    weight = np.minimum(length / around, LARGEST) / np.maximum(length * length, 1e-12)
    found = np.dstack([weight * (x * x - y * y), weight * 2 * x * y]).astype(np.float32)
    found[~filled(blank, step, (found.shape[1], found.shape[0]))] = 0
    return found


def filled(blank: Mask | None, step: int, size_wh: tuple[int, int]) -> Mask:
    """Where a level shows the scene: not at its border, and not beside pixels that are blank."""
    inside = np.zeros((size_wh[1], size_wh[0]), bool)
    inside[BORDER:-BORDER, BORDER:-BORDER] = True
    if blank is not None and blank.any():
        side = 2 * BORDER * step + 1
        near = cv2.dilate(blank.astype(np.uint8), np.ones((side, side), np.uint8))
        inside &= cv2.resize(near, size_wh, interpolation=cv2.INTER_NEAREST) == 0
    return inside


def warped(field: Field, matrix: NDArray[np.float64], size_wh: tuple[int, int]) -> Field:
    """A field as a picture of this size sees it: at each pixel what lies where the matrix takes it; 0 outside."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(field, matrix, size_wh, flags=flags), dtype=np.float32)


def turned(field: Field, radians: float) -> Field:
    """The vectors as they are when the picture is turned back by an angle: by twice that."""
    cosine, sine = np.float32(np.cos(2 * radians)), np.float32(np.sin(2 * radians))
    x, y = field[..., 0], field[..., 1]
    return np.dstack([x * cosine + y * sine, y * cosine - x * sine])


def correlation(a: Field, b: Field) -> float:
    """Normalised correlation of two fields of one size, in ``[-1, 1]``; 0 where one is empty."""
    norm = float(np.sqrt(np.sum(a * a, dtype=np.float64) * np.sum(b * b, dtype=np.float64)))
    return float(np.sum(a * b, dtype=np.float64)) / norm if norm else 0.0
