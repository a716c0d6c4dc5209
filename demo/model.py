"""The demo model: building it from its YAML, and running it exactly as SAM 2's image predictor does.

The path is that of ``sam2.sam2_image_predictor.SAM2ImagePredictor`` (``set_image`` and ``_predict``), for
batches and with
gradients: squash to a square, ImageNet normalisation, ``forward_image``, ``no_mem_embed``, prompt encoder,
    mask decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

MODELS = Path(__file__).resolve().parent.parent / "backend" / "models"
CONFIG = MODELS / "sam2.1_demo.yaml"
WEIGHTS = MODELS / "sam2.1_demo.pt"

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LOGIT_LIMIT = 32.0
SHARPNESS = 3.0
KIND_SHARE = 0.3


@dataclass(frozen=True)
class Features:
    """What the image encoder gives for ``B`` images of ``R`` x ``R`` pixels.

    Attributes:
        image_embed: ``(B, C, R/16, R/16)`` float32, ``no_mem_embed`` added.
        high_res: ``(B, C/8, R/4, R/4)`` and ``(B, C/4, R/8, R/8)`` float32.
    """

    image_embed: Tensor
    high_res: tuple[Tensor, Tensor]

    def repeated(self, times: int) -> Features:
        """The features of each image ``times`` times in a row."""
        fine, middle = (level.repeat_interleave(times, 0) for level in self.high_res)
        return Features(self.image_embed.repeat_interleave(times, 0), (fine, middle))


def build_model(config: Path = CONFIG, *, image_size: int | None = None) -> SAM2Base:
    """Build the network with fresh weights.

    Args:
        config: a YAML in the schema of the sam2 package's own.
        image_size: side in pixels of the square input, a multiple of 128; by default the YAML's.
    """
    settings = OmegaConf.load(config)
    if image_size is not None:
        settings.model.image_size = image_size
    model: SAM2Base = instantiate(settings.model, _recursive_=True)
    return model


def load_weights(model: SAM2Base, weights: Path = WEIGHTS) -> SAM2Base:
    """Load a checkpoint ``{"model": state_dict}`` of any float kind, strictly, and switch to evaluation."""
    state = torch.load(weights, map_location="cpu", weights_only=True)["model"]
    model.load_state_dict(state)
    return model.float().eval()


def save_weights(model: SAM2Base, weights: Path) -> None:
    """Write ``{"model": state_dict}`` in half precision, in one step: never a half-written file."""
    state = {name: value.detach().to(torch.float16).contiguous() for name, value in model.state_dict().items()}
    part = weights.with_name(weights.name + ".part")
    torch.save({"model": state}, part)
    part.replace(weights)


def start_looking(model: SAM2Base) -> None:
    """Start the decoder so that a prompt's token looks at its own place in the image from the first step on.

    Query and key projections of the cross-attentions start equal and sharp, and what tells the kinds of
    points apart starts small beside where they are. With the stock start the attention is nearly flat, and
    the small decoder spends thousands of steps answering with every object in sight, wherever the click was.
    """
    transformer = model.sam_mask_decoder.transformer
    pairs = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        pairs += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    with torch.no_grad():
        for attention in pairs:
            attention.q_proj.weight.mul_(SHARPNESS)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.q_proj.bias.zero_()
            attention.k_proj.bias.zero_()
        for embedding in model.sam_prompt_encoder.point_embeddings:
            embedding.weight.mul_(KIND_SHARE)


def normalised(images: NDArray[np.uint8], image_size: int) -> Tensor:
    """``(B, H, W, 3)`` uint8 RGB to ``(B, 3, R, R)`` float32, squashed and normalised as SAM 2 does it."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    if pixels.shape[-2:] != (image_size, image_size):
        pixels = torch.nn.functional.interpolate(
            pixels, (image_size, image_size), mode="bilinear", align_corners=False, antialias=True
        )
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def encode(model: SAM2Base, pixels: Tensor) -> Features:
    """Run the image encoder on ``(B, 3, R, R)`` normalised pixels."""
    backbone = model.forward_image(pixels)
    _, levels, _, sizes = model._prepare_backbone_features(backbone)
    levels[-1] = levels[-1] + model.no_mem_embed
    fine, middle, coarse = (
        level.permute(1, 2, 0).reshape(pixels.shape[0], -1, *size) for level, size in zip(levels, sizes, strict=True)
    )
    return Features(coarse, (fine, middle))


def decode(
    model: SAM2Base, features: Features, points: Tensor, labels: Tensor, masks: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Run prompt encoder and mask decoder, one prompt per row of ``features``.

    Args:
        model: the model.
        features: of ``N`` rows.
        points: ``(N, K, 2)`` float32, columns ``x, y`` in pixels of the square input; ``K`` may be 0.
        labels: ``(N, K)``: 1 positive, 0 negative, 2 and 3 the corners of a box.
        masks: ``(N, 1, R/4, R/4)`` logits of an earlier answer or of a brush stroke; a row of NaN means none.

    Returns:
        ``(N, 4, R/4, R/4)`` logits (the single-mask output, then the three candidates) and ``(N, 4)``
        predicted IoU.
    """
    encoder, count = model.sam_prompt_encoder, features.image_embed.shape[0]
    given = (points, labels) if points.shape[1] else None
    sparse, dense = encoder(points=given, boxes=None, masks=None)
    sparse, dense = sparse.expand(count, -1, -1), dense.expand(count, -1, -1, -1)
    if masks is not None:
        has_mask = ~masks.isnan().flatten(1).any(1)
        dense = torch.where(has_mask.view(-1, 1, 1, 1), encoder._embed_masks(masks.nan_to_num(0.0)), dense)
    logits, iou, _, _ = model.sam_mask_decoder.predict_masks(
        image_embeddings=features.image_embed,
        image_pe=encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=list(features.high_res),
    )
    return logits, iou
