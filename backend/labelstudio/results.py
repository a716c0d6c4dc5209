"""A mask as Label Studio's results."""

from __future__ import annotations

import uuid

import numpy as np
from numpy.typing import NDArray

from backend.labelstudio.labeling_config import Output
from backend.labelstudio.options import ProjectOptions
from backend.labelstudio.outputs import Value, values
from backend.labelstudio.prompts import Click
from backend.labelstudio.protocol import LabelsValue, RegionResult


def to_results(
    mask: NDArray[np.bool_],
    score: float,
    click: Click,
    output: Output,
    options: ProjectOptions,
    note: str | None = None,
) -> list[RegionResult]:
    """The results of one mask: one region, or one for each part when they are polygons; none for an empty mask.

    Each region has a new id of 128 random bits, but the first takes the id of the stroke that it replaces: accepting
    the answer then removes the rough stroke. `<BrushLabels>` takes one result a region. `<Brush>` beside `<Labels>`
    takes two with one id: the editor builds the region from the first, and from the second reads the labels alone
    (libs/editor, stores/Annotation/Annotation.js, `deserializeSingleResult`), so the mask is sent once. It writes both
    in full when the annotation is saved.

    Args:
        mask: ``(H, W)`` bool in the size of the click.
        score: the model's own, of the mask as it came from the model.
        note: for people, where the mask came from.

    Raises:
        ValueError: the mask has another size.
    """
    width, height = click.size_wh
    if mask.shape != (height, width):
        raise ValueError(f"mask: expected shape {(height, width)}, got {mask.shape}")
    label, mask_tag = click.label, output.mask_tag
    is_fused = mask_tag.kind != output.kind
    labels = ([label] if label is not None else []) if is_fused else None
    shapes = values(mask, output.kind, labels, options.polygon_tolerance_pixels)
    results = []
    for number, shape in enumerate(shapes):
        region_id = click.replaces if number == 0 and click.replaces is not None else uuid.uuid4().hex
        results.append(_result(region_id, mask_tag.name, mask_tag.kind, shape, score, click, note))
        if output.labels_tag is not None and label is not None:
            only_labels = LabelsValue(labels=[label])
            results.append(_result(region_id, output.labels_tag.name, "labels", only_labels, score, click, note))
    return results


def _result(
    region_id: str,
    from_name: str,
    kind: str,
    value: Value | LabelsValue,
    score: float,
    click: Click,
    note: str | None,
) -> RegionResult:
    return RegionResult.model_validate(
        {
            "id": region_id,
            "from_name": from_name,
            "to_name": click.to_name,
            "type": kind,
            "original_width": click.size_wh[0],
            "original_height": click.size_wh[1],
            "image_rotation": click.image_rotation,
            "item_index": click.item_index,
            "score": score,
            "meta": None if note is None else {"text": [note]},
            "value": value,
        }
    )
