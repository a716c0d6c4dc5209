"""Polygons of a mask: filled again they are the mask, and what is left out is small."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from masks.polygons import polygons

Ring = NDArray[np.float64]


def filled(rings: list[Ring], shape: tuple[int, int], *, even_odd: bool) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside a ring: crossings counted along each row, by either fill rule."""
    height, width = shape
    out = np.zeros(shape, dtype=bool)
    for ring in rings:
        crossings = np.zeros((height, width + 1))
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            rows = np.arange(int(np.ceil(min(y0, y1) - 0.5)), int(np.ceil(max(y0, y1) - 0.5)))
            if len(rows):
                x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                np.add.at(crossings, (rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)), np.sign(y1 - y0))
        winding = np.cumsum(crossings, axis=1)[:, :width]
        out |= winding % 2 != 0 if even_odd else winding != 0
    return out


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def area(ring: Ring) -> float:
    ahead = np.roll(ring, -1, axis=0)
    return abs(float((ring[:, 0] * ahead[:, 1] - ring[:, 1] * ahead[:, 0]).sum())) / 2


def blobs(seed: int, size_wh: tuple[int, int] = (200, 150), sigma: float = 12) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).random(size_wh[::-1]).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray(smooth > np.quantile(smooth, 0.6))  # type: ignore[arg-type]


def disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[: 2 * radius + 9, : 2 * radius + 15]
    return np.asarray((x - radius - 6) ** 2 + (y - radius - 4) ** 2 <= radius**2)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("even_odd", [False, True])
def test_a_filled_polygon_is_the_mask(seed: int, even_odd: bool) -> None:
    mask = blobs(seed)
    assert iou(filled(polygons(mask, 1.5), mask.shape, even_odd=even_odd), mask) >= 0.98  # type: ignore[arg-type]


@pytest.mark.parametrize("radius", [20, 35, 50, 120])
@pytest.mark.parametrize("tolerance", [0.5, 1.0, 1.5])
def test_a_polygon_is_neither_small_nor_large(radius: int, tolerance: float) -> None:
    """Pixel centres would give a ring half a pixel inside, chords one that is inside by up to the tolerance."""
    mask = disc(radius)
    (ring,) = polygons(mask, tolerance)
    assert iou(filled([ring], mask.shape, even_odd=True), mask) >= 0.98  # type: ignore[arg-type]
    off_by = (area(ring) - mask.sum()) / (2 * np.pi * radius)
    assert abs(off_by) < 0.1  # pixels, along the whole edge


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)))
@settings(max_examples=300)
def test_without_simplifying_every_pixel_is_kept(mask: NDArray[np.bool_]) -> None:
    """Rings run along pixel edges: any mask comes back bit for bit, holes and touching corners included."""
    rings = polygons(mask, 0.1)
    for even_odd in (False, True):
        np.testing.assert_array_equal(filled(rings, mask.shape, even_odd=even_odd), mask)  # type: ignore[arg-type]


@given(
    hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30)),
    st.floats(0.1, 20),
)
@settings(max_examples=200)
def test_rings_are_rings(mask: NDArray[np.bool_], tolerance: float) -> None:
    rings = polygons(mask, tolerance)
    assert bool(rings) == mask.any()
    for ring in rings:
        assert len(ring) >= 3
        assert np.isfinite(ring).all()
        assert (ring >= 0).all()
        assert (ring <= (mask.shape[1], mask.shape[0])).all()


def test_a_box_is_its_four_corners() -> None:
    mask = np.zeros((9, 12), dtype=bool)
    mask[2:7, 3:11] = True
    (ring,) = polygons(mask, 1.5)
    assert {(x, y) for x, y in ring.tolist()} == {(3, 2), (11, 2), (11, 7), (3, 7)}


@pytest.mark.parametrize(("side", "has_hole"), [(2, False), (3, False), (4, True), (12, True)])
def test_holes_of_more_than_a_few_pixels_are_kept(side: int, has_hole: bool) -> None:
    mask = np.ones((30, 40), dtype=bool)
    mask[9 : 9 + side, 14 : 14 + side] = False
    (ring,) = polygons(mask, 1.5)
    expected = mask if has_hole else np.ones_like(mask)
    for even_odd in (False, True):
        np.testing.assert_array_equal(filled([ring], mask.shape, even_odd=even_odd), expected)
    assert area(ring) == pytest.approx(expected.sum())


def test_several_holes_hang_on_bridges() -> None:
    mask = np.ones((40, 90), dtype=bool)
    for left in (5, 30, 55):
        mask[10:30, left : left + 15] = False
    (ring,) = polygons(mask, 1.5)
    for even_odd in (False, True):
        np.testing.assert_array_equal(filled([ring], mask.shape, even_odd=even_odd), mask)


def test_an_object_inside_a_hole_is_a_part_of_its_own() -> None:
    mask = np.ones((40, 40), dtype=bool)
    mask[5:35, 5:35] = False
    mask[15:25, 15:25] = True
    outer, inner = polygons(mask, 1.5)
    assert area(inner) == pytest.approx(100)
    np.testing.assert_array_equal(filled([outer, inner], mask.shape, even_odd=True), mask)


def test_parts_come_largest_first_and_dust_is_left_out() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[2:8, 2:10] = True
    mask[20:35, 20:50] = True
    mask[2:5, 50:53] = True
    first, second = polygons(mask, 1.5)
    assert (area(first), area(second)) == (450, 48)
    assert len(polygons(mask, 0.5)) == 3


@pytest.mark.parametrize("tolerance", [1.5, 100])
@pytest.mark.parametrize("shape", ["pixel", "row", "diagonal"])
def test_the_only_part_is_never_left_out(shape: str, tolerance: float) -> None:
    mask = np.zeros((20, 30), dtype=bool)
    if shape == "pixel":
        mask[7, 9] = True
    elif shape == "row":
        mask[7, 3:25] = True
    else:
        mask[np.arange(15), np.arange(15)] = True
    (ring,) = polygons(mask, tolerance)
    assert len(ring) >= 3
    assert area(ring) > 0


def test_the_number_of_parts_is_bounded() -> None:
    mask = np.zeros((300, 300), dtype=bool)
    mask[np.arange(300) % 10 < 5] = True
    mask[:, np.arange(300) % 10 >= 5] = False
    assert mask[0, 0]
    assert len(polygons(mask, 0.5)) == 64


def test_gaps_at_the_edge_are_no_holes() -> None:
    comb = np.ones((12, 601), dtype=bool)
    comb[:10, 1::2] = False  # 300 gaps, more than holes are kept
    rings = polygons(comb, 0.1)
    np.testing.assert_array_equal(filled(rings, comb.shape, even_odd=True), comb)
