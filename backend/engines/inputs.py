"""What every engine does with an image and with prompts before its model sees them.

The same arithmetic as `SAM2Transforms` and `SAM2ImagePredictor` (sam2/utils/transforms.py,
sam2/sam2_image_predictor.py), without torchvision; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from backend.picture import ArrayPicture, Picture, bands
from backend.segmenter import Image, Prepared, Prompts

# The normalisation of SAM 2's training (sam2/utils/transforms.py), RGB in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Labels of the prompt encoder (sam2/modeling/sam/prompt_encoder.py).
NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = 0, 1, 2, 3
LOGITS_LIMIT = 32.0  # sam2/sam2_image_predictor.py, `_predict`


@dataclass(frozen=True)
class PromptArrays:
    """Prompts as the prompt encoder takes them.

    Attributes:
        coordinates: ``(1, N, 2)`` float32, columns ``x, y`` in pixels of the model's input; a box is two, first.
        labels: ``(1, N)`` int32.
        mask: ``(1, 1, h, w)`` float32 within -32 and 32, or None.
    """

    coordinates: NDArray[np.float32]
    labels: NDArray[np.int32]
    mask: NDArray[np.float32] | None


def prepared(picture: Picture, side: int) -> Prepared:
    """``(3, S, S)`` float32: the picture stretched to the square, so the aspect ratio is not kept.

    In bands: bilinear with antialiasing is done in width, row by row, and then in height, where each row of the square
    is a weighted sum of some rows. So a picture of any size takes the memory of a band and of the square.
    """
    height = picture.size_wh[1]
    rows, weights = _row_weights(height, side)
    square = np.zeros((3, side, side), dtype=np.float32)
    for left, top, right, bottom in bands(picture.size_wh, side):
        narrow = _in_width(picture.piece((left, top, right, bottom)), side)
        first, last = np.searchsorted(rows[:, -1], top), np.searchsorted(rows[:, 0], bottom)
        inside = (rows[first:last] >= top) & (rows[first:last] < bottom)
        share = np.zeros((last - first, bottom - top), dtype=np.float32)
        of, entry = np.nonzero(inside)
        share[of, rows[first:last][inside] - top] = weights[first:last][of, entry]
        square[:, first:last] += torch.matmul(torch.from_numpy(share), narrow).numpy()
    square -= np.asarray(MEAN, dtype=np.float32).reshape(3, 1, 1)
    square /= np.asarray(STD, dtype=np.float32).reshape(3, 1, 1)
    return Prepared(picture.size_wh, square)


def model_input(batch: Sequence[Image], side: int) -> list[Prepared]:
    """Images as the encoder takes them; those that are pixels yet are prepared now."""
    return [one if isinstance(one, Prepared) else prepared(ArrayPicture(one), side) for one in batch]


def prompt_arrays(size_wh: tuple[int, int], prompts: Prompts, side: int, mask_hw: tuple[int, int]) -> PromptArrays:
    """Prompts in pixels of an image, as a model with a square input of `side` pixels takes them.

    Raises:
        ValueError: they name no object, or the mask has another size than the model's low resolution.
    """
    if not prompts.names_an_object:
        raise ValueError("prompts: expected a box or a positive point, got none")
    coordinates = prompts.points_xy
    labels = np.where(prompts.is_positive, POSITIVE, NEGATIVE)
    if prompts.box_xyxy is not None:
        coordinates = np.concatenate([prompts.box_xyxy.reshape(2, 2), coordinates])
        labels = np.concatenate([[BOX_TOP_LEFT, BOX_BOTTOM_RIGHT], labels])
    scaled = coordinates / np.asarray(size_wh, dtype=np.float32) * side
    mask = None
    if prompts.mask_logits is not None:
        if prompts.mask_logits.shape != mask_hw:
            raise ValueError(f"mask_logits: expected shape {mask_hw}, got {prompts.mask_logits.shape}")
        # The predictor limits the logits that it hands out, and takes those back.
        mask = np.clip(prompts.mask_logits, -LOGITS_LIMIT, LOGITS_LIMIT)[None, None].astype(np.float32)
    return PromptArrays(scaled[None].astype(np.float32), labels[None].astype(np.int32), mask)


def _in_width(pixels: NDArray[np.uint8], side: int) -> torch.Tensor:
    """``(h, w, 3)`` uint8 to ``(3, h, S)`` float32 in [0, 1]."""
    image = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).permute(2, 0, 1)[None]
    size = (pixels.shape[0], side)
    narrow = functional.interpolate(image.float().div_(255), size, mode="bilinear", antialias=True, align_corners=False)
    return narrow[0].contiguous()


def _row_weights(height: int, side: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which rows of the picture make each row of the square, and by how much: ``(S, K)`` both, ascending.

    As torch's antialiased bilinear has them (ATen, native/cpu/UpSampleKernel.cpp): a triangle as wide as two rows of
    the coarser side, cut at the picture's edge.
    """
    scale, half = np.float32(height) / np.float32(side), np.float32(0.5)  # single precision, as torch's
    reach = max(scale, np.float32(1))
    middle = scale * (np.arange(side, dtype=np.float32) + half)
    first = np.maximum(np.trunc(middle - reach + half).astype(np.int64), 0)
    rows = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 1)
    away = (rows.astype(np.float32) - middle[:, None] + half) * (np.float32(1) / reach)
    weights = np.maximum(np.float32(0), 1 - np.abs(away))
    weights[rows >= height] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return rows, weights
