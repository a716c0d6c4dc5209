"""The encoder with less arithmetic against SAM 2's own, in torch, where both can be asked directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backend.engines.openvino_encoder import ImageGraph
from backend.engines.torch_model import build_model, image_features
from backend.weights.catalog import load_catalog

CPU = torch.device("cpu")
DEMO = load_catalog().models["demo"]


@pytest.fixture
def model() -> Any:
    """With the shipped weights."""
    config = DEMO.config_file()
    assert config is not None
    return build_model(config, DEMO.checkpoint(Path()), CPU)


def check_same_features(model: Any) -> None:
    side = int(model.image_size)
    image = torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = image_features(model, image)
        seen = ImageGraph(model)(image)
    for one, other in zip(seen, expected, strict=True):
        torch.testing.assert_close(one.permute(0, 3, 1, 2), other, atol=1e-5, rtol=1e-5)
    assert max(level.abs().max() for level in expected) > 3  # so the tolerance says something


def test_same_features_in_whole_windows(model: Any) -> None:
    check_same_features(model)


def test_same_features_in_windows_that_are_padded(model: Any) -> None:
    """As of the larger models: 64 places in windows of 14 and 32 in windows of 7."""
    blocks = model.image_encoder.trunk.blocks
    for block in blocks:
        if block.window_size:
            block.window_size += 2
        block.attn.qkv.bias = nn.Parameter(torch.randn(block.attn.qkv.bias.shape))
    widths = [model.image_size // 4 // 2**stage for stage in range(4)]
    assert any(width % block.window_size for block in blocks if block.window_size for width in widths)
    check_same_features(model)


@pytest.mark.parametrize("fused", [[0, 1, 2, 3], [0, 2, 3]])
def test_same_features_where_the_finest_level_is_fused(model: Any, fused: list[int]) -> None:
    """Then a level's own map is needed once more, and what follows it may not be merged into it."""
    model.image_encoder.neck.fpn_top_down_levels = fused
    check_same_features(model)
