"""The training loss: what SAM trains its masks with, on all four mask tokens at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def mask_loss(
    logits: Tensor, predicted_iou: Tensor, target: Tensor, rivals: Tensor, *, foreground: float, rival: float
) -> tuple[Tensor, Tensor]:
    """Cross-entropy, dice and IoU-head loss of every token's mask against the same target.

    Args:
        logits: ``(N, T, s, s)`` low-resolution mask logits.
        predicted_iou: ``(N, T)`` in ``[0, 1]``.
        target: ``(N, L, L)`` float in ``[0, 1]``: the share of each pixel that the object covers, ``L >= s``.
        rivals: ``(N, L, L)`` float in ``[0, 1]``: the share of each pixel that belongs to other objects.
        foreground: weight of the object's pixels in the cross-entropy, beside 1 for the ground.
        rival: the same for the pixels of other objects: what keeps the model from answering with every
            object in sight.

    Returns:
        The scalar loss and the true IoU ``(N, T)`` of the masks (without gradient).
    """
    size = (target.shape[-2], target.shape[-1])
    if logits.shape[-2:] != size:
        logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
    wanted = target[:, None].expand_as(logits)
    weight = 1 + (foreground - 1) * wanted + (rival - 1) * rivals[:, None]
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, weight=weight, reduction="none").mean((2, 3))
    probability = logits.sigmoid()
    overlap = (probability * wanted).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    iou = true_iou(logits.detach(), target)
    quality = (predicted_iou - iou).square()
    return (5 * entropy + dice + quality).mean(), iou


def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU ``(N, T)`` of thresholded masks ``(N, T, L, L)`` with ``(N, L, L)`` targets; 1 where both are
    empty."""
    mask, wanted = logits > 0, (target > 0.5)[:, None]
    both = (mask & wanted).sum((2, 3)).float()
    either = (mask | wanted).sum((2, 3)).float()
    return torch.where(either > 0, both / either.clamp(min=1), torch.ones_like(both))
