"""The decoder with less arithmetic against SAM 2's own, in torch, where both can be asked directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from backend.engines.openvino_decoder import FEW_TOKENS, FewTokensGraph
from backend.engines.openvino_export import DecoderGraph, MaskGraph, PointsGraph
from backend.engines.torch_model import build_model, image_features
from backend.weights.catalog import load_catalog

CPU = torch.device("cpu")
DEMO = load_catalog().models["demo"]


@pytest.fixture(scope="module")
def model() -> Any:
    """With the shipped weights: their logits are far from zero."""
    config = DEMO.config_file()
    assert config is not None
    return build_model(config, DEMO.checkpoint(Path()), CPU)


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("points", [1, 2, FEW_TOKENS - 1])
def test_same_logits_and_scores(model: Any, points: int, with_mask: bool) -> None:
    """Three masks and the one for everything else, to the rounding of float32."""
    generator = torch.Generator().manual_seed(points)
    side = int(model.image_size)
    with torch.inference_mode():
        features = image_features(model, torch.rand((1, 3, side, side), generator=generator))
        channels_last = [level.permute(0, 2, 3, 1).contiguous() for level in features]
        places = torch.rand((1, points, 2), generator=generator) * side
        sparse, dense = PointsGraph(model)(places, torch.ones((1, points), dtype=torch.int32))
        assert sparse.shape[1] <= FEW_TOKENS
        if with_mask:
            height, width = model.sam_prompt_encoder.mask_input_size
            dense = MaskGraph(model)(5 * torch.randn((1, 1, height, width), generator=generator))
        expected = DecoderGraph(model)(sparse, dense, *channels_last)
        seen = FewTokensGraph(model)(sparse, dense, *channels_last)
    assert [one.shape for one in seen] == [one.shape for one in expected]
    for one, other in zip(seen, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert expected[0].abs().max() > 5  # so the tolerance says something
