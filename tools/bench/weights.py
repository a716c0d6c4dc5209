"""Random weights for the real architectures: the same operators, shapes and types as the trained ones.

`python -m tools.bench.weights CONFIG clean|ragged FILE` writes ``{"model": state_dict}``, as in Meta's checkpoints. It
is a process of its own, so that the bench never holds a model.

Random weights alone give ragged masks, thousands of specks whose run-length code costs more than the model. `clean`
therefore changes values, never operators: one channel of the first encoder stage carries a dome that the position
embedding puts there, one row of each layer on the way hands it on, and the mask head takes that channel alone. The mask
becomes one disc in the middle of the image; how wide it is, the decoder's transformer says for each click, so that an
engine which computes wrong gives another mask.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

SEED = 7
HEIGHT = 8.0  # of the dome, in logits: far above what bfloat16 rounds away
RADIUS = 0.32  # of the disc, as a part of the image's side: a third of the picture
INFLUENCE = 3.0  # how much the transformer moves the disc's edge
DOME, LEVEL = 0, 1  # the channels of the mask head that carry the dome and the constant


def make(config: Path, *, clean: bool, seed: int = SEED) -> dict[str, Tensor]:
    """The state dict, float32 on the CPU, of a configuration of the sam2 package; `clean` makes the mask one disc."""
    torch.manual_seed(seed)
    model: Any = instantiate(OmegaConf.load(config).model, _recursive_=True)
    if clean:
        with torch.no_grad():
            _carry_dome(model)
            _read_dome(model)
    state: dict[str, Tensor] = model.state_dict()
    return state


def _carry_dome(model: Any) -> None:
    """Lead a dome from the position embedding to channel `DOME` of the finest feature map, untouched by the rest."""
    trunk, neck = model.image_encoder.trunk, model.image_encoder.neck
    _silence(trunk.patch_embed.proj, DOME)
    side = trunk.pos_embed.shape[-1]
    at = (torch.arange(side) + 0.5) / side - 0.5
    distance = at[None, :] ** 2 + at[:, None] ** 2
    trunk.pos_embed[0, DOME] = HEIGHT * (1.5 - distance / RADIUS**2)
    for block in trunk.blocks[: trunk.stage_ends[0] + 1]:
        _silence(block.attn.proj, DOME)
        _silence(block.mlp.layers[-1], DOME)
    for layer in (neck.convs[-1].conv, model.sam_mask_decoder.conv_s0):
        _silence(layer, DOME)
        layer.weight[DOME, DOME] = 1.0
        _silence(layer, LEVEL)


def _read_dome(model: Any) -> None:
    """Logits = dome - level, the level moved a little by what the transformer says about the click."""
    decoder = model.sam_mask_decoder
    last_upscaling = decoder.output_upscaling[3]
    for channel in (DOME, LEVEL):
        last_upscaling.weight[:, channel] = 0.0  # transposed convolution: (in, out, h, w)
        last_upscaling.bias[channel] = 0.0
    last_upscaling.bias[LEVEL] = HEIGHT / 2
    for network in decoder.output_hypernetworks_mlps:
        last = network.layers[-1]
        moved = last.weight[LEVEL] * INFLUENCE
        last.weight.zero_()
        last.bias.zero_()
        last.weight[LEVEL] = moved
        last.bias[DOME], last.bias[LEVEL] = 1.0, -1.0


def _silence(layer: Any, channel: int) -> None:
    layer.weight[channel] = 0.0
    if layer.bias is not None:
        layer.bias[channel] = 0.0


if __name__ == "__main__":
    torch.save({"model": make(Path(sys.argv[1]), clean=sys.argv[2] == "clean")}, sys.argv[3])
