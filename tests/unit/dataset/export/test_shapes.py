"""Outlines, fills and the two run-length codes, over random masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from label_studio_sdk.converter.brush import decode_rle as sdk_decode
from label_studio_sdk.converter.brush import encode_rle as sdk_encode
from label_studio_sdk.converter.brush import mask2rle
from pycocotools import mask as coco

from backend.geometry.rle import encode_rle as backend_encode
from dataset.export import coco_rle
from dataset.export.geometry import box_xywh, filled
from dataset.export.outline import joined, parts_of, simplified
from labelstudio.brush_rle import decode_brush, encode_brush
from tests.unit.dataset.export.masks import Mask, objects, speckled


def size_of(mask: Mask) -> tuple[int, int]:
    return mask.shape[1], mask.shape[0]


@settings(deadline=None)
@given(speckled())
def test_the_brush_code_is_the_sdks(mask: Mask) -> None:
    code = encode_brush(mask)
    assert code == list(mask2rle(mask.astype(np.uint8) * 255))  # type: ignore[no-untyped-call]
    assert code == backend_encode(mask)
    assert np.array_equal(decode_brush(code, size_of(mask)), mask)


@settings(deadline=None, max_examples=10)  # the SDK takes half a second for each
@given(objects())
def test_a_brush_with_any_colour_is_read_by_its_alpha(mask: Mask) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (*mask.shape, 4), dtype=np.uint8)
    rgba[..., 3] = mask * 255
    code = sdk_encode(rgba.reshape(-1))
    assert np.array_equal(decode_brush(code, size_of(mask)), mask)


def test_a_large_brush_needs_long_runs() -> None:
    mask = np.zeros((500, 700), bool)
    mask[100:400, :] = True
    code = encode_brush(mask)
    decoded = np.asarray(sdk_decode(code)).reshape(500, 700, 4)
    assert np.array_equal(decoded[..., 3] == 255, mask)
    assert np.array_equal(decode_brush(code, (700, 500)), mask)


@settings(deadline=None)
@given(speckled())
def test_both_forms_of_coco_rle_come_back(mask: Mask) -> None:
    plain, text = coco_rle.uncompressed(mask), coco_rle.compressed(mask)
    for rle in (plain, text):
        assert np.array_equal(coco_rle.decoded(rle, size_of(mask)), mask)
    # pycocotools makes the same of both.
    made = coco.frPyObjects(plain, *mask.shape)  # type: ignore[arg-type]  # its stubs know one form only
    assert made["counts"].decode() == text["counts"]  # type: ignore[call-overload]


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


@settings(deadline=None)
@given(speckled())
def test_outlines_enclose_exactly_the_mask(mask: Mask) -> None:
    for inset in (0.0, 0.1, 0.4):
        assert np.array_equal(filled(joined(parts_of(mask, inset)), size_of(mask)), mask)


@settings(deadline=None)
@given(speckled())
def test_each_part_is_one_component_with_its_holes(mask: Mask) -> None:
    parts = parts_of(mask)
    number, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    assert len(parts) == number - 1
    together = np.zeros_like(mask)
    for part in parts:
        one = filled(joined([part]), size_of(mask))
        assert len(np.unique(labels[one])) == 1
        assert not (together & one).any()
        together |= one
    assert np.array_equal(together, mask)


@settings(deadline=None)
@given(speckled())
def test_pycocotools_draws_outlines_without_holes_exactly(mask: Mask) -> None:
    for part in parts_of(mask):
        solid = filled(part.outline, size_of(mask))
        drawn = coco_rle.from_polygons([part.outline.reshape(-1).tolist()], size_of(mask))
        assert np.array_equal(drawn, solid)


def test_an_outline_has_corners_only() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 1:8] = True
    mask[4, 3:5] = False
    (part,) = parts_of(mask)
    assert sorted(map(tuple, part.outline.tolist())) == [(1, 2), (1, 7), (8, 2), (8, 7)]
    (hole,) = part.holes
    assert sorted(map(tuple, hole.tolist())) == [(3, 4), (3, 5), (5, 4), (5, 5)]


def test_simplifying_keeps_three_corners() -> None:
    ring = np.asarray([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert len(simplified(ring, 100.0)) >= 3
    stairs = parts_of(np.tril(np.ones((40, 40), bool)))[0].outline
    assert len(simplified(stairs, 1.0)) < 10


def test_an_empty_mask_has_no_outline_and_no_box() -> None:
    empty = np.zeros((3, 4), bool)
    assert parts_of(empty) == []
    assert box_xywh(empty) is None
    with pytest.raises(ValueError, match="an empty mask has no outline"):
        joined([])


def test_a_polygon_over_the_edge_is_cut_off() -> None:
    square = np.asarray([[-5.0, -5.0], [3.0, -5.0], [3.0, 99.0], [-5.0, 99.0]])
    mask = filled(square, (6, 4))
    assert mask[:, :3].all()
    assert not mask[:, 3:].any()


def test_many_parts_are_joined_in_short_time() -> None:
    mask = np.zeros((200, 200), bool)
    mask[::4, ::4] = True
    ring = joined(parts_of(mask))
    assert np.array_equal(filled(ring, (200, 200)), mask)
