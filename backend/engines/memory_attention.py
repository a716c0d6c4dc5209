"""SAM 2's attention over what is remembered, on a CPU: fewer products, the same result.

A remembered place has few channels (64), and `RoPEAttention` (sam2/modeling/sam/transformer.py) makes a value of many
(256) of each before it weighs them. The weights of a row of the softmax add up to 1, so

    softmax(S) (M W + b) = (softmax(S) M) W + b

and the memory itself can be weighed: a quarter of the products, over all places of seven frames. It needs one head,
which SAM 2.1 has. Sums are in another order, so the last digits differ. torch's fused attention takes no values that
are narrower than the keys, and with all weights at once they would be half a gigabyte: they are made some rows at a
time.
"""

from __future__ import annotations

from typing import Any

import torch
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention

ROWS = 256  # queries at a time


class NarrowAttention(RoPEAttention):  # type: ignore[misc]  # the package has no types
    """`RoPEAttention` of one head whose values have fewer channels than its keys, in evaluation."""

    freqs_cis: torch.Tensor

    @classmethod
    def of(cls, attention: Any) -> NarrowAttention:
        """With the weights of a `RoPEAttention`, which both have then."""
        made = cls.__new__(cls)
        made.__dict__.update(attention.__dict__)
        return made

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_k_exclude_rope: int = 0) -> torch.Tensor:
        """As the package's.

        Args:
            q: ``(B, N, C)``.
            k: ``(B, M, c)``, of which the last ``num_k_exclude_rope`` have no place in the picture.
            v: ``(B, M, c)``.
            num_k_exclude_rope: see there.

        Returns:
            ``(B, N, C)``.
        """
        queries, keys = self.q_proj(q)[:, None], self.k_proj(k)[:, None]
        placed = keys.shape[-2] - num_k_exclude_rope
        if self.freqs_cis.shape[0] != queries.shape[-2]:
            side = queries.shape[-2] ** 0.5
            self.freqs_cis = self.compute_cis(end_x=side, end_y=side)
        queries, keys[:, :, :placed] = apply_rotary_enc(
            queries, keys[:, :, :placed], freqs_cis=self.freqs_cis, repeat_freqs_k=self.rope_k_repeat
        )
        found: torch.Tensor = self.out_proj(self.v_proj(weighed(queries[:, 0], keys[:, 0], v)))
        return found


def weighed(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``softmax(queries keys^T / sqrt(C)) values``: ``(B, N, C)``, ``(B, M, C)`` and ``(B, M, c)`` to ``(B, N, c)``."""
    across = keys.transpose(1, 2)
    scaled = queries * queries.shape[-1] ** -0.5
    made = values.new_empty((*queries.shape[:2], values.shape[-1]))
    for start in range(0, queries.shape[1], ROWS):
        rows = slice(start, start + ROWS)
        made[:, rows] = torch.matmul(torch.matmul(scaled[:, rows], across).softmax(-1), values)
    return made


def narrow(model: Any) -> None:
    """Have a `SAM2Base` on a CPU weigh what it remembers this way, where its attention is of that kind."""
    for layer in getattr(model.memory_attention, "layers", ()):
        attention = layer.cross_attn_image
        if (
            type(attention) is RoPEAttention
            and attention.num_heads == 1
            and attention.kv_in_dim < attention.internal_dim
        ):
            layer.cross_attn_image = NarrowAttention.of(attention)
