"""Outlines, rasters, surfaces and inner points."""

from __future__ import annotations

import numpy as np
import pytest

from demo import clicks, shapes, textures


def circle(radius: float, centre: tuple[float, float]) -> shapes.Points:
    angles = np.arange(400) * 2 * np.pi / 400
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + centre


@pytest.mark.parametrize("kind", shapes.KINDS)
def test_outlines_stay_within_their_radius(kind: str) -> None:
    for seed in range(20):
        points = shapes.outline(np.random.default_rng(seed), kind)
        assert points.ndim == 2
        assert points.shape[1] == 2
        assert np.hypot(*points.T).max() <= 1.0001
        assert np.hypot(*points.T).max() > 0.7


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^unknown kind of shape 'cube'; known: ellipse, polygon, star, "):
        shapes.outline(np.random.default_rng(0), "cube")
    with pytest.raises(ValueError, match=r"^unknown pattern 'fog'; known: stripes, checks, dots, clouds$"):
        textures.pattern(np.random.default_rng(0), "fog", (4, 4), (0, 0), 8.0)


def test_a_circle_covers_its_area() -> None:
    raster = shapes.rasterise(circle(30, (50, 40)), (100, 80))
    assert raster.coverage.sum() == pytest.approx(np.pi * 30**2, rel=0.02)
    mask = raster.placed((100, 80))
    assert mask.sum() == pytest.approx(np.pi * 30**2, rel=0.02)
    rows, columns = np.nonzero(mask)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((50, 40), abs=0.3)
    assert np.any((raster.coverage > 0.1) & (raster.coverage < 0.9))


def test_shape_is_cut_at_the_border_and_empty_beyond() -> None:
    """A shape over the border is cut and one beyond it is empty."""
    half = shapes.rasterise(circle(20, (0, 30)), (60, 60)).placed((60, 60))
    assert half.sum() == pytest.approx(np.pi * 200, rel=0.04)
    assert not shapes.rasterise(circle(5, (200, 200)), (60, 60)).placed((60, 60)).any()


@pytest.mark.parametrize("kind", textures.PATTERNS)
def test_surfaces_stay_in_range_and_do_not_depend_on_the_cut(kind: str) -> None:
    whole = textures.pattern(np.random.default_rng(3), kind, (60, 50), (0, 0), 100.0)
    part = textures.pattern(np.random.default_rng(3), kind, (40, 30), (20, 20), 100.0)
    assert whole.shape == (50, 60)
    assert np.abs(whole).max() <= 1.3
    if kind != "clouds":
        assert np.allclose(whole[20:, 20:], part, atol=1e-4)


def test_depth_counts_from_the_edge() -> None:
    mask = np.zeros((7, 9), dtype=bool)
    mask[1:6, 2:7] = True
    assert clicks.depth(mask)[3].tolist() == [0, 0, 1, 2, 3, 2, 1, 0, 0]
    assert clicks.depth(np.ones((3, 3), dtype=bool))[1].tolist() == [1, 2, 1]


def test_inner_points_lie_inside_ring_and_single_pixel() -> None:
    """Inner points lie inside even of a ring and of a single pixel."""
    ys, xs = np.mgrid[0:500, 0:700]
    radius = np.hypot(xs - 350, ys - 250)
    ring = (radius < 200) & (radius > 120)
    x, y = clicks.inner_point(ring)
    assert ring[y, x]
    assert abs(radius[y, x] - 160) < 12
    for seed in range(20):
        x, y = clicks.random_inner_point(np.random.default_rng(seed), ring)
        assert 130 < radius[y, x] < 190
    dot = np.zeros((500, 700), dtype=bool)
    dot[123, 456] = True
    assert clicks.inner_point(dot) == (456, 123)
    assert clicks.box_of(dot) == (456, 123, 457, 124)


def test_an_empty_mask_is_refused() -> None:
    empty = np.zeros((4, 6), dtype=bool)
    with pytest.raises(ValueError, match=r"^an empty mask of 6x4 pixels has no inner point$"):
        clicks.inner_point(empty)
    with pytest.raises(ValueError, match=r"^an empty mask of 6x4 pixels has no box$"):
        clicks.box_of(empty)
