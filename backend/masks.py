"""From the model's candidates to one mask in the size that the browser shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Candidates


def best(candidates: Candidates) -> tuple[NDArray[np.float32], float]:
    """The candidate that the model trusts most, still at low resolution, and its predicted IoU.

    Choosing first means that only one mask is ever enlarged.
    """
    index = int(np.argmax(candidates.iou))
    return candidates.logits[index], float(candidates.iou[index])


def full_size(logits: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Enlarge ``(h, w)`` logits to the image and cut at 0.

    Bilinear with half-pixel centres, as `torch.nn.functional.interpolate(align_corners=False)`.

    Returns:
        ``(H, W)`` bool, True on the object.
    """
    if logits.ndim != 2:
        raise ValueError(f"logits: expected shape (h, w), got {logits.shape}")
    return np.asarray(cv2.resize(logits, size_wh, interpolation=cv2.INTER_LINEAR) > 0)
