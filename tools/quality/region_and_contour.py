"""J and F of the DAVIS challenge: how far two masks agree in their region, and in their contour.

Pont-Tuset, Perazzi, Caelles, Arbelaez, Sorkine-Hornung, Van Gool, "The 2017 DAVIS Challenge on Video Object
Segmentation", arXiv:1704.00675; J and F themselves are of Perazzi et al., "A Benchmark Dataset and Evaluation
Methodology for Video Object Segmentation", CVPR 2016, sections 4.1 and 4.2.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
TOLERANCE = 0.008  # of the picture's diagonal: how far apart contours may be


def region_similarity(found: Mask, truth: Mask) -> float:
    """J: intersection over union of two ``(H, W)`` masks; 1 where both are empty."""
    union = np.count_nonzero(found | truth)
    return 1.0 if union == 0 else np.count_nonzero(found & truth) / union


def contour_accuracy(found: Mask, truth: Mask) -> float:
    """F: the harmonic mean of how much of either contour lies near the other one; 1 where both masks are empty."""
    one, other = contour(found), contour(truth)
    if not one.any() and not other.any():
        return 1.0
    if not one.any() or not other.any():
        return 0.0
    reach = math.ceil(TOLERANCE * math.hypot(*truth.shape))
    precision = np.count_nonzero(one & _grown(other, reach)) / np.count_nonzero(one)
    recall = np.count_nonzero(other & _grown(one, reach)) / np.count_nonzero(other)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def j_and_f(found: Mask, truth: Mask) -> float:
    """The mean of both."""
    return (region_similarity(found, truth) + contour_accuracy(found, truth)) / 2


def contour(mask: Mask) -> Mask:
    """``(H, W)`` bool, the pixels that differ from the one on the right, below, or both: a pixel wide."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def _grown(edge: Mask, reach: int) -> Mask:
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (rows**2 + columns**2 <= reach**2).astype(np.uint8)
    return np.asarray(cv2.dilate(edge.astype(np.uint8), disc) > 0)
