"""Masks in Label Studio's results: its brush RLE decoded to pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MaskResult:
    """One mask of a reply.

    Attributes:
        mask: ``(H, W)`` bool, in the image's own pixels.
        region_id: the id it shares with its label.
        from_name: the tag it belongs to.
        labels: the labels of all results with this id.
        score: the model's own, in ``[0, 1]``, or None.
    """

    mask: NDArray[np.bool_]
    region_id: str
    from_name: str
    labels: tuple[str, ...]
    score: float | None


def masks_in(results: Sequence[Mapping[str, object]]) -> list[MaskResult]:
    """Decode every brush RLE in a list of results.

    Raises:
        ValueError: a mask says another size than its RLE holds, or values other than 0 and 255 (which the editor would
            show half or not at all).
    """
    return [_decoded(one, results) for one in results if _value(one).get("format") == "rle"]


def _decoded(one: Mapping[str, object], results: Sequence[Mapping[str, object]]) -> MaskResult:
    import numpy as np

    from masks.rle import decode_alpha

    rle = _value(one).get("rle")
    if not isinstance(rle, list):
        raise ValueError("the mask has no RLE")
    alpha = decode_alpha(rle, (_size(one, "original_width"), _size(one, "original_height")))
    if not np.isin(alpha, (0, 255)).all():
        raise ValueError("the mask holds values other than 0 and 255")
    region_id = str(one.get("id", ""))
    score = one.get("score")
    return MaskResult(
        mask=alpha == 255,
        region_id=region_id,
        from_name=str(one.get("from_name", "")),
        labels=_labels(region_id, results),
        score=float(score) if isinstance(score, int | float) else None,
    )


def _labels(region_id: str, results: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    found: list[str] = []
    for one in results:
        if str(one.get("id", "")) == region_id:
            kind = _value(one).get(str(one.get("type", "")))
            found.extend(map(str, kind if isinstance(kind, list) else []))
    return tuple(dict.fromkeys(found))


def _value(one: Mapping[str, object]) -> Mapping[str, object]:
    value = one.get("value")
    return value if isinstance(value, Mapping) else {}


def _size(one: Mapping[str, object], name: str) -> int:
    size = one.get(name)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"the mask has no {name}")
    return size
