"""Attention over what is remembered, beside the package's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.sam.transformer import RoPEAttention

from backend.engines.memory_attention import ROWS, NarrowAttention, narrow, weighed

SIDE, CHANNELS, NARROW = 12, 32, 8
POINTERS = 5


def attention(**changes: Any) -> Any:
    torch.manual_seed(2)
    options = {"embedding_dim": CHANNELS, "num_heads": 1, "downsample_rate": 1, "dropout": 0.1, "kv_in_dim": NARROW}
    return RoPEAttention(rope_k_repeat=True, feat_sizes=[SIDE, SIDE], **{**options, **changes}).eval()


def inputs(seed: int, side: int, memories: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    places = memories * side * side + POINTERS
    queries = 3 * torch.randn(2, side * side, CHANNELS, generator=made)
    keys, values = (3 * torch.randn(2, places, NARROW, generator=made) for _ in range(2))
    return queries, keys, values


@pytest.mark.parametrize(("side", "memories"), [(12, 1), (12, 7), (16, 3), (2, 2)])
def test_result_of_the_package(side: int, memories: int) -> None:
    """Also for another number of places than it was built for, and where they are no multiple of the rows at a time."""
    theirs, ours = attention(), NarrowAttention.of(attention())
    given = inputs(memories, side, memories)
    with torch.inference_mode():
        expected = theirs(*given, num_k_exclude_rope=POINTERS)
        found = ours(*given, num_k_exclude_rope=POINTERS)
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, atol=1e-5)


def test_weighed_is_attention() -> None:
    made = torch.Generator().manual_seed(1)
    queries, keys = (torch.randn(1, count, 16, generator=made) for count in (2 * ROWS + 3, 50))
    values = torch.randn(1, 50, 16, generator=made)
    expected = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    assert torch.allclose(weighed(queries, keys, values), expected, atol=1e-6)


def test_only_what_gains_by_it_is_changed() -> None:
    """More heads, or values as wide as the keys: then the package's own."""

    def model(cross: Any) -> Any:
        layer = MemoryAttentionLayer(
            "relu", cross, CHANNELS, 16, 0.1, pos_enc_at_attn=False, pos_enc_at_cross_attn_keys=True,
            pos_enc_at_cross_attn_queries=False, self_attention=attention(kv_in_dim=None),
        )  # fmt: skip
        whole = MemoryAttention(CHANNELS, pos_enc_at_input=True, layer=layer, num_layers=2)
        return type("Model", (), {"memory_attention": whole})

    kinds = {}
    for name, cross in {
        "narrow": attention(), "heads": attention(num_heads=2), "wide": attention(kv_in_dim=CHANNELS),
    }.items():  # fmt: skip
        changed = model(cross)
        before = {key: value.clone() for key, value in changed.memory_attention.state_dict().items()}
        narrow(changed)
        after = changed.memory_attention.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(value, after[key]) for key, value in before.items())
        kinds[name] = {type(layer.cross_attn_image) for layer in changed.memory_attention.layers}
        assert {type(layer.self_attn) for layer in changed.memory_attention.layers} == {RoPEAttention}
    assert kinds == {"narrow": {NarrowAttention}, "heads": {RoPEAttention}, "wide": {RoPEAttention}}
