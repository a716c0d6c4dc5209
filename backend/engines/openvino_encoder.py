"""SAM 2's image encoder with less arithmetic, for a processor: the same features but for the rounding of float32.

- The finest maps are projected twice (sam2/modeling/backbones/image_encoder.py, then `conv_s0` and `conv_s1` of the
  mask decoder), with nothing in between: the product of the two matrices is one projection to far fewer channels.
- Queries, keys and values are three products instead of one that is split: OpenVINO splits by a plain copy.
- What windows were padded with is cut off before the last projection of an attention, not after it.
- Features keep their channels last, as the decoder's graphs take them, and no map is turned round.

What that saves is in docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import torch
from sam2.modeling.backbones.hieradet import do_pool
from sam2.modeling.backbones.utils import window_partition, window_unpartition
from torch import nn
from torch.nn import functional


class ImageGraph(nn.Module):
    """``(1, 3, S, S)`` to the features of `torch_model.feature_shapes`, with their channels last."""

    positions: torch.Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.trunk = model.image_encoder.trunk
        side = int(model.image_size) // int(self.trunk.patch_embed.proj.stride[0])
        self.register_buffer("positions", self.trunk._get_pos_embed((side, side)).detach().clone())

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        places = self.trunk.patch_embed(image) + self.positions
        maps = []
        for number, block in enumerate(self.trunk.blocks):
            places = _block(block, places)
            if number in self.trunk.stage_ends:
                maps.append(places)
        return _features(self.model, maps)


def _block(block: Any, places: torch.Tensor) -> torch.Tensor:
    """`MultiScaleBlock` (sam2/modeling/backbones/hieradet.py) of ``(1, H, W, C)``."""
    normed = block.norm1(places)
    kept = places if block.dim == block.dim_out else do_pool(block.proj(normed), block.pool)
    kept = kept + _attended(block, normed)
    changed: torch.Tensor = kept + block.mlp(block.norm2(kept))
    return changed


def _attended(block: Any, places: torch.Tensor) -> torch.Tensor:
    """`MultiScaleAttention` within the windows of a block, ``(1, H, W, C)`` to what may be a smaller map."""
    attention, window = block.attn, block.window_size
    cut, padded_hw = window_partition(places, window) if window else (places, places.shape[1:3])
    count, height, width, _ = cut.shape
    weights, biases = attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3)
    asking, keys, values = (functional.linear(cut, *one) for one in zip(weights, biases, strict=True))
    if attention.q_pool:
        asking = do_pool(asking, attention.q_pool)
        height, width = asking.shape[1:3]
    queries, keys, values = (
        one.reshape(count, -1, attention.num_heads, one.shape[3] // attention.num_heads).transpose(1, 2)
        for one in (asking, keys, values)
    )
    found = functional.scaled_dot_product_attention(queries, keys, values)
    found = found.transpose(1, 2).reshape(count, height, width, -1)
    if window:
        stride = block.q_stride[0] if block.q_stride else 1
        high, wide = (length // stride for length in padded_hw)
        kept_hw = (places.shape[1] // stride, places.shape[2] // stride)
        found = window_unpartition(found, window // stride, (high, wide), kept_hw)
    mixed: torch.Tensor = attention.proj(found)
    return mixed


def _features(model: Any, maps: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """`FpnNeck` and what `SAM2Base.forward_image` does after it: maps of the trunk, finest first, to features."""
    neck, decoder, count = model.image_encoder.neck, model.sam_mask_decoder, model.num_feature_levels
    after = [decoder.conv_s0, decoder.conv_s1] if model.use_high_res_features_in_sam else []
    found: list[torch.Tensor] = []
    coarser: torch.Tensor | None = None
    for level in reversed(range(len(maps))):
        lateral, last = neck.convs[len(maps) - 1 - level].conv, after[level] if level < len(after) else None
        if coarser is not None and level in neck.fpn_top_down_levels:
            coarser = _projected(maps[level], lateral) + _doubled(coarser, neck.fpn_interp_model)
            coarser = coarser / 2 if neck.fuse_type == "avg" else coarser
            found.append(coarser if last is None else _projected(coarser, last))
        elif last is None or (level and level - 1 in neck.fpn_top_down_levels):
            coarser = _projected(maps[level], lateral)
            found.append(coarser if last is None else _projected(coarser, last))
        else:
            found.append(functional.linear(maps[level], *_merged(lateral, last)))
    features = found[::-1][: len(maps) - model.image_encoder.scalp][-count:]
    if model.directly_add_no_mem_embed:
        features[-1] = features[-1] + model.no_mem_embed
    return tuple(features)


def _projected(places: torch.Tensor, layer: Any) -> torch.Tensor:
    """A convolution of single places, on channels that come last."""
    return functional.linear(places, layer.weight.flatten(1), layer.bias)


def _merged(first: Any, second: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of two projections, one after the other, rounded once."""
    before, after = first.weight.flatten(1).double(), second.weight.flatten(1).double()
    return (after @ before).float(), (after @ first.bias.double() + second.bias.double()).float()


def _doubled(places: torch.Tensor, mode: str) -> torch.Tensor:
    """Twice as high and wide."""
    aligned = None if mode == "nearest" else False
    grown = functional.interpolate(
        places.permute(0, 3, 1, 2), scale_factor=2.0, mode=mode, align_corners=aligned, antialias=False
    )
    return grown.permute(0, 2, 3, 1)
