"""What makes two annotations the same: the same objects in the same pixels with the same labels, whatever their ids."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dataset.export.labeling import UsedConfig
from dataset.export.regions import PIXEL_DECIMALS, Region, read_results
from dataset.export.results import is_spatial, key_of

Digest = frozenset[tuple[str, int]]


def digest_of(results: Sequence[dict[str, Any]], config: UsedConfig) -> Digest:
    """The content of an annotation. Ghosts and prompts do not count; answers do, with the region that they are about.

    Raises:
        ValueError: a region cannot be read.
    """
    reading = read_results(results, config)
    regions = {(one.to_name, one.id, one.item_index): region_digest(one) for one in reading.regions}
    others = [
        _hash("other", [regions.get(key_of(one)), *map(one.get, ("from_name", "to_name", "type", "value"))])
        for one in reading.kept
        if not is_spatial(one) or key_of(one) not in regions
    ]
    return frozenset(Counter([*regions.values(), *others]).items())


def region_digest(region: Region) -> str:
    """The content of one region; a brush and a bitmask of the same pixels are the same."""
    about: list[Any] = [region.to_name, region.item_index or 0, sorted(region.labels), list(region.size_wh)]
    if region.kind in ("brush", "bitmask"):
        return _hash("mask", about, np.packbits(region.mask()).tobytes())
    if region.kind == "ellipse":
        return _hash("ellipse", [about, region.shape_pixels(PIXEL_DECIMALS)])
    corners = np.round(region.points_xy(), PIXEL_DECIMALS) + 0.0  # -0.0 is 0.0
    # A box is the same from whichever corner it was drawn.
    rows = sorted(corners.tolist()) if region.kind == "rectangle" else corners.tolist()
    return _hash(region.kind, [about, rows])


def _hash(kind: str, about: object, content: bytes = b"") -> str:
    text = json.dumps([kind, about], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8") + b"\0" + content).hexdigest()
