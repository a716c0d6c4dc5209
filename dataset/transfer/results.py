"""A region on the twin of its image, as Label Studio's results by the tags of that image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset.export.regions import Region
from dataset.importing.target import RegionKey, Shape, results_of
from dataset.registration.transforms import Matrix, scaling
from dataset.transfer.regions import RegionFigures
from labeling.config import LabelingConfig
from masks.arrays import Mask

Result = dict[str, Any]
ORIGIN = "from "  # how the note begins that says where a region came from


@dataclass(frozen=True)
class Place:
    """The image that masks are carried to: its tag, which one of a list, and its size in pixels."""

    to_name: str
    item_index: int | None
    size_wh: tuple[int, int]


def results_on_twin(
    region: Region,
    labels: tuple[str, ...],
    mask: Mask,
    figures: RegionFigures,
    matrix: Matrix,
    place: Place,
    labeling: LabelingConfig,
    taken: set[RegionKey],
) -> list[Result]:
    """The results of one region; each says in its `meta` where it came from.

    Args:
        region: on the first image.
        labels: as the twin's tags call them.
        mask: on the twin, ``(H, W)`` bool.
        matrix: pixels of the first image to pixels of the twin.
        taken: the regions of the annotation so far, which grow by this one's.

    Raises:
        NoTag: no tag of the twin takes it.
    """
    whole = region.kind == "polygon" and figures.outside == 0 and figures.sam2 is None
    way = scaling(region.size_wh, place.size_wh) if figures.stayed else matrix
    kind = "brush" if region.kind in ("rectangle", "ellipse") else region.kind
    shape = Shape(
        region_id=f"{region.id}-{place.to_name}",
        kind=kind,
        labels=labels,
        to_name=place.to_name,
        item_index=place.item_index,
        size_wh=place.size_wh,
        mask=None if whole else mask,
        value={"points": _corners(region, way, place.size_wh), "closed": True} if whole else {},
    )
    found = results_of(shape, labeling, f"{region.id}-{place.to_name}", taken)
    fit = "" if figures.fit is None else f", edges agree by {figures.fit:.2f}"
    by = "" if figures.sam2 is None else f", by SAM2 ({figures.sam2:.2f})"
    cut = f", {figures.outside:.0%} of it cut off" if figures.outside else ""
    note = f"{ORIGIN}{region.to_name} {region.id}{by}{fit}{cut}"
    return [{**one, "meta": {"text": [note]}} for one in found]


def is_carried(result: Mapping[str, Any]) -> bool:
    """Whether a stored result was carried over; what a person changed of it since does not matter."""
    meta = result.get("meta")
    texts = meta.get("text") if isinstance(meta, dict) else None
    return isinstance(texts, list) and any(str(text).startswith(ORIGIN) for text in texts)


def _corners(region: Region, matrix: Matrix, size_wh: tuple[int, int]) -> list[list[float]]:
    """The corners of a polygon on the twin, in percent. Corners count from a picture's edge, matrices from the centre
    of its first pixel."""
    points = region.points_xy() - 0.5
    places = matrix @ np.vstack([points.T, np.ones(len(points))])
    found: list[list[float]] = (((places[:2] / places[2]).T + 0.5) * 100 / np.asarray(size_wh)).tolist()
    return found
