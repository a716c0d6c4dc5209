"""Outlines and fills, over random masks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given

from masks.measure import box_xywh
from masks.outlines import joined, parts_of, simplified
from masks.raster import filled
from tests.unit.masks.strategies import Mask, speckled


def size_of(mask: Mask) -> tuple[int, int]:
    return mask.shape[1], mask.shape[0]


@given(speckled())
def test_outlines_enclose_exactly_the_mask(mask: Mask) -> None:
    for inset in (0.0, 0.1, 0.4):
        assert np.array_equal(filled(joined(parts_of(mask, inset)), size_of(mask)), mask)


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


@given(speckled())
def test_diagonal_neighbours_are_one_part(mask: Mask) -> None:
    parts = parts_of(mask, diagonal=True)
    number, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    assert len(parts) == number - 1
    together = np.zeros_like(mask)
    for part in parts:
        one = filled(joined([part]), size_of(mask))
        assert len(np.unique(labels[one])) == 1
        together |= one
    assert np.array_equal(together, mask)
    # Every hole is one background area that no gap, not even a diagonal one, opens to the outside.
    number, labels = cv2.connectedComponents(np.pad(~mask, 1, constant_values=True).view(np.uint8), connectivity=4)
    assert sum(len(part.holes) for part in parts) == number - 2


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
