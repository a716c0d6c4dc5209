"""SAM 2's mask decoder with less arithmetic, for a processor: the same answer but for the rounding of float32.

Two thirds of the decoder are products of the image's 4096 places with the weights of its attention. With few tokens
they can be spared: the weights are multiplied with the tokens instead. A token's query ``q`` meets the key ``W x + b``
of a place ``x`` as ``q.(W x + b) = (W' q).x + q.b``, and the weighted sum of values ``W x + b`` is ``W`` times the
weighted sum of places, plus ``b``, because the weights of a softmax add up to one. With T tokens, H heads and C
channels that takes H T C products a place instead of C C / 2: half for the 8 tokens of a lone point, as many for 16.
Prompts of more than `FEW_TOKENS` are for the decoder as it is.

Terms that are the same for all that a softmax runs over are left out: it does not see them. Features come with their
channels last, as all products take them, and the masks are the product of the finest ones with what the tokens say: no
map is turned round. What that saves is in docs/performance.md.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

# Tokens of the prompts that are few (a point is one, a box two, and one more says that none follows); the decoder has
# six of its own, so that these are 14 in all.
FEW_TOKENS = 8


class FewTokensGraph(nn.Module):
    """`MaskDecoder.predict_masks` (sam2/modeling/sam/mask_decoder.py) for one image and few tokens, with both answers.

    Inputs: ``(1, N, C)`` sparse prompts; ``(1, C, h, w)`` of a mask, or ``(1, C, 1, 1)`` of none; features as
    ``(1, h, w, C)``, finest first. Outputs as `openvino_export.DecoderGraph`.
    """

    positions: torch.Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder = model.sam_mask_decoder
        dense: torch.Tensor = model.sam_prompt_encoder.get_dense_pe()
        self.register_buffer("positions", _places(dense).detach().clone())

    def forward(self, sparse: torch.Tensor, dense: torch.Tensor, *features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        decoder = self.decoder
        first = [decoder.obj_score_token.weight] if decoder.pred_obj_scores else []
        outputs = torch.cat([*first, decoder.iou_token.weight, decoder.mask_tokens.weight])
        points = torch.cat([outputs[None], sparse], dim=1)
        *details, image = features
        tokens, places = self._transformed(points, image.flatten(1, 2) + _places(dense))
        # From here as in `predict_masks`, but for the last product.
        start = int(decoder.pred_obj_scores)
        grown = _grown(decoder, places.transpose(1, 2).reshape(image.permute(0, 3, 1, 2).shape), details)
        networks = decoder.output_hypernetworks_mlps
        heads = torch.stack([network(tokens[:, start + 1 + one]) for one, network in enumerate(networks)], dim=1)
        height, width = grown.shape[2:]
        flat = grown.permute(0, 2, 3, 1).reshape(1, -1, grown.shape[1]) @ heads.transpose(1, 2)
        logits = flat.transpose(1, 2).reshape(1, len(networks), height, width)
        return both_answers(decoder, logits, decoder.iou_prediction_head(tokens[:, start]))

    def _transformed(self, points: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`TwoWayTransformer` (sam2/modeling/sam/transformer.py): the tokens and the places after all layers."""
        transformer = self.decoder.transformer
        tokens = points
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                tokens = layer.self_attn(q=tokens, k=tokens, v=tokens)
            else:
                asking = tokens + points
                tokens = tokens + layer.self_attn(q=asking, k=asking, v=tokens)
            tokens = layer.norm1(tokens)
            placed = places + self.positions
            found = _tokens_to_image(layer.cross_attn_token_to_image, tokens + points, placed, places)
            tokens = layer.norm2(tokens + found)
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            found = _image_to_tokens(layer.cross_attn_image_to_token, placed, tokens + points, tokens)
            places = layer.norm4(places + found)
        last = transformer.final_attn_token_to_image
        found = _tokens_to_image(last, tokens + points, places + self.positions, places)
        return transformer.norm_final_attn(tokens + found), places


def both_answers(decoder: Any, logits: torch.Tensor, iou: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """All masks and scores as the answer to a lone point, and the one for everything else: see `DecoderGraph`."""
    if decoder.dynamic_multimask_via_stability:
        single, single_iou = decoder._dynamic_multimask_via_stability(logits, iou)
    else:
        single, single_iou = logits[:, :1], iou[:, :1]
    return logits[:, 1:], iou[:, 1:], single, single_iou


def _grown(decoder: Any, image: torch.Tensor, details: list[torch.Tensor]) -> torch.Tensor:
    """``(1, C, h, w)`` to ``(1, C / 8, 4 h, 4 w)``, with the finer features where the model has them."""
    grown: torch.Tensor
    if details:
        fine, middle = (one.permute(0, 3, 1, 2) for one in details)
        up, norm, activation, up_again, last_activation = decoder.output_upscaling
        grown = last_activation(up_again(activation(norm(up(image) + middle))) + fine)
    else:
        grown = decoder.output_upscaling(image)
    return grown


def _tokens_to_image(attention: Any, asking: torch.Tensor, placed: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Each of ``(1, T, C)`` tokens looks at all places: ``(1, h w, C)`` with and without their positions."""
    heads = attention.num_heads
    queries = _by_head(attention.q_proj(asking), heads)  # (H, T, d)
    folded = queries @ _weights(attention.k_proj, heads)  # (H, T, C)
    channels = folded.shape[2]
    scores = folded.reshape(-1, channels) @ placed[0].transpose(0, 1) / _scale(attention)  # (H T, h w)
    seen = torch.softmax(scores, dim=1) @ places[0]  # (H T, C)
    values = seen.reshape(heads, -1, channels) @ _weights(attention.v_proj, heads).transpose(1, 2)  # (H, T, d)
    found: torch.Tensor = attention.out_proj(_joined(values) + attention.v_proj.bias)
    return found


def _image_to_tokens(attention: Any, placed: torch.Tensor, shown: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Each place looks at the few tokens, `shown` with where they lie: ``(1, h w, C)``."""
    heads = attention.num_heads
    keys = _by_head(attention.k_proj(shown), heads)  # (H, T, d)
    folded = keys @ _weights(attention.q_proj, heads)  # (H, T, C)
    bias = keys @ attention.q_proj.bias.reshape(heads, -1, 1)  # (H, T, 1)
    flat = folded.reshape(-1, folded.shape[2]) @ placed[0].transpose(0, 1)  # (H T, h w)
    scores = flat.reshape(heads, -1, flat.shape[1]) + bias
    shares = torch.softmax(scores / _scale(attention), dim=1)
    values = _by_head(attention.v_proj(tokens), heads)  # (H, T, d)
    out = attention.out_proj
    folded_values = values @ _weights_out(out, heads)  # (H, T, C)
    flat_values = folded_values.reshape(-1, folded_values.shape[2])  # (H T, C)
    found: torch.Tensor = shares.reshape(flat_values.shape[0], -1).transpose(0, 1) @ flat_values + out.bias
    return found[None]


def _by_head(many: torch.Tensor, heads: int) -> torch.Tensor:
    """``(1, n, D)`` to ``(H, n, D / H)``."""
    return many[0].reshape(-1, heads, many.shape[2] // heads).transpose(0, 1)


def _joined(many: torch.Tensor) -> torch.Tensor:
    """``(H, n, d)`` to ``(1, n, H d)``."""
    return many.transpose(0, 1).reshape(1, -1, many.shape[0] * many.shape[2])


def _weights(projection: Any, heads: int) -> torch.Tensor:
    """Of a projection from C to D channels: ``(H, D / H, C)``."""
    weight: torch.Tensor = projection.weight
    return weight.reshape(heads, weight.shape[0] // heads, weight.shape[1])


def _weights_out(projection: Any, heads: int) -> torch.Tensor:
    """Of a projection from D to C channels: ``(H, D / H, C)``."""
    weight: torch.Tensor = projection.weight
    return weight.transpose(0, 1).reshape(heads, weight.shape[1] // heads, weight.shape[0])


def _scale(attention: Any) -> float:
    return math.sqrt(attention.internal_dim // attention.num_heads)


def _places(maps: torch.Tensor) -> torch.Tensor:
    """``(1, C, h, w)`` to ``(1, h w, C)``."""
    return maps.flatten(2).transpose(1, 2)
