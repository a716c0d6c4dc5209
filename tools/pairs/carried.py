"""How well carried masks fit, on drawn pairs: the copy, the transform's, SAM2's, and what the rule takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dataset.transfer.fit import picture_field
from dataset.transfer.refine import Offer, better
from dataset.transfer.regions import carry
from masks.arrays import Mask
from masks.measure import intersection_over_union
from tools.pairs.drawn import SIZE_WH, Thing, draw_pair
from tools.quality.pipeline import Whole, demo_segmenter

PARALLAX_PX = (0.0, 4.0, 8.0, 16.0)
FIRST = 1000  # of the pairs that are measured: the rule's numbers were chosen on pairs 0 to 23
WAYS = {
    "copy": "the RGB mask as it is",
    "carried": "by the transform (`--refine none`)",
    "sam2": "SAM2's in any case",
    "taken": "the better by the rule (`--refine sam2`)",
}


@dataclass(frozen=True)
class Measured:
    """The IoU of one thing's mask with the exact one, by way; `is_sam2`: whether the rule took SAM2's."""

    parallax_px: float
    is_seen: bool
    iou: dict[str, float]
    is_sam2: bool


def measure(index: int, parallax_px: float) -> list[Measured]:
    """All things of one drawn pair."""
    pair = draw_pair(index, parallax_px)
    whole = Whole(demo_segmenter(), pair.thermal)
    field = picture_field(pair.thermal[..., 0].astype(np.float32))
    found = []
    for thing in pair.things:
        carried, figures = carry(thing.rgb, "", "", pair.matrix, SIZE_WH, field)
        if figures.area:
            offered, score = whole.from_mask(carried)
            offer = Offer(offered, score) if offered.any() else None
            taken, chosen = better(carried, figures, offer, field)
            is_sam2 = chosen.sam2 is not None
            found.append(Measured(parallax_px, thing.is_seen, _ious(thing, carried, offered, taken), is_sam2))
    return found


def _ious(thing: Thing, carried: Mask, offered: Mask, taken: Mask) -> dict[str, float]:
    masks = {"copy": thing.rgb, "carried": carried, "sam2": offered, "taken": taken}
    return {way: intersection_over_union(mask, thing.thermal) for way, mask in masks.items()}


def means(found: Iterable[Measured]) -> dict[str, float]:
    """The mean IoU by way, and the share of masks that are SAM2's."""
    rows = list(found)
    shares = {way: float(np.mean([one.iou[way] for one in rows])) for way in WAYS}
    return {**shares, "share": float(np.mean([one.is_sam2 for one in rows]))}


def table(found: Sequence[Measured]) -> str:
    """Markdown: a row a way, a column for each parallax, and for things that the thermal picture does not show."""
    columns = {f"{px:g} px": [one for one in found if one.parallax_px == px] for px in PARALLAX_PX}
    columns |= {"all": list(found), "not seen in thermal": [one for one in found if not one.is_seen]}
    figures = {name: means(rows) for name, rows in columns.items()}
    lines = [["mean IoU, things beside the ground by", *columns], ["---", *["---:"] * len(columns)]]
    lines += [[text, *(f"{one[way]:.3f}" for one in figures.values())] for way, text in WAYS.items()]
    lines.append(["masks that are SAM2's", *(f"{one['share']:.0%}" for one in figures.values())])
    lines.append(["masks", *(str(len(rows)) for rows in columns.values())])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
