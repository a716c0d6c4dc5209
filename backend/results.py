"""A mask as Label Studio's results."""

from __future__ import annotations

import uuid

import numpy as np
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray

from backend.labeling_config import Output
from backend.prompts import Click
from backend.protocol import BrushValue, LabelsValue, RegionResult


def encode_rle(mask: NDArray[np.bool_]) -> list[int]:
    """Label Studio's run-length code of an RGBA image, by the SDK: bytes as integers.

    Args:
        mask: ``(H, W)`` bool. Becomes 0 or 255 in all four channels; the editor takes the alpha as it is,
            so a mask of 0 and 1 would be invisible.
    """
    rle: list[int] = mask2rle(np.where(mask, np.uint8(255), np.uint8(0)))  # type: ignore[no-untyped-call]
    return rle


def to_results(rle: list[int], score: float, click: Click, output: Output) -> list[RegionResult]:
    """The results of one region, under one new id of 128 random bits.

    `<BrushLabels>` takes one result. `<Brush>` beside `<Labels>` takes two with one id: the editor builds the
    region from the first, and from the second reads the labels alone (libs/editor,
    stores/Annotation/Annotation.js, `deserializeSingleResult`), so the mask is sent once. It writes both in full
    when the annotation is saved.
    """
    width, height = click.size_wh
    region_id = uuid.uuid4().hex

    def result(from_name: str, kind: str, value: BrushValue | LabelsValue) -> RegionResult:
        return RegionResult.model_validate(
            {
                "id": region_id,
                "from_name": from_name,
                "to_name": click.to_name,
                "type": kind,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "item_index": click.item_index,
                "score": score,
                "value": value,
            }
        )

    label, mask_tag = click.label, output.mask_tag
    if mask_tag.kind == "brushlabels":
        value = BrushValue(rle=rle, brushlabels=[label] if label else [])
        return [result(mask_tag.name, "brushlabels", value)]
    shape = result(mask_tag.name, "brush", BrushValue(rle=rle))
    if output.labels_tag is None or label is None:
        return [shape]
    return [shape, result(output.labels_tag.name, "labels", LabelsValue(labels=[label]))]
