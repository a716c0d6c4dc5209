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

from backend.segmenter import Prompts

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


def check_pixels(pixels: NDArray[np.uint8]) -> None:
    """Raises `ValueError` when it is not ``(H, W, 3)`` uint8."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")


def model_input(batch: Sequence[NDArray[np.uint8]], side: int, device: torch.device) -> torch.Tensor:
    """``(B, 3, S, S)`` float32: each image stretched to the square, so the aspect ratio is not kept."""
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=device).view(1, 3, 1, 1)
    return torch.cat([(_stretched(pixels, side, device) - mean) / std for pixels in batch])


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


def _stretched(pixels: NDArray[np.uint8], side: int, device: torch.device) -> torch.Tensor:
    """``(1, 3, S, S)`` float32 in [0, 1]."""
    image = torch.from_numpy(np.require(pixels, requirements=("C", "W"))).to(device)
    return functional.interpolate(
        image.permute(2, 0, 1)[None].float().div_(255),
        (side, side),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
