"""COCO's run-length code in both forms, and polygons as pycocotools draws them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco

from dataset.export import coco_rle
from masks.outlines import parts_of
from masks.raster import filled
from tests.unit.masks.strategies import Mask, speckled


def size_of(mask: Mask) -> tuple[int, int]:
    return mask.shape[1], mask.shape[0]


@given(speckled())
def test_both_forms_of_coco_rle_come_back(mask: Mask) -> None:
    plain, text = coco_rle.uncompressed(mask), coco_rle.compressed(mask)
    for rle in (plain, text):
        assert np.array_equal(coco_rle.decoded(rle, size_of(mask)), mask)
    # pycocotools makes the same of both.
    made = coco.frPyObjects(plain, *mask.shape)  # type: ignore[call-overload]  # its stubs know one form only
    assert made["counts"].decode() == text["counts"]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 3], "counts": [6]},
        {"size": [3, 2], "counts": [5]},
        {"size": [3, 2], "counts": [-1, 7]},
        {"size": [3, 2], "counts": "05"},
        {"size": [3, 2], "counts": "~"},
        {"size": [3, 2], "counts": "X"},
        {"size": [3, 2], "counts": ""},
        {"size": [3, 2]},
        {},
    ],
)
def test_an_rle_of_another_size_is_refused(rle: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="RLE"):
        coco_rle.decoded(rle, (2, 3))


@given(speckled())
def test_pycocotools_draws_outlines_without_holes_exactly(mask: Mask) -> None:
    for part in parts_of(mask):
        solid = filled(part.outline, size_of(mask))
        drawn = coco_rle.from_polygons([part.outline.reshape(-1).tolist()], size_of(mask))
        assert np.array_equal(drawn, solid)
