"""Drawn scenes: the same seed gives the same scene, and the masks are what can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from demo import palette, shapes
from demo.layout import MIN_AREA, MIN_VISIBLE, place
from demo.scenes import STYLES, draw_scene

SIZE_WH = (320, 180)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("style", STYLES)
def test_the_same_seed_draws_the_same_scene(style: str) -> None:
    first, second = (draw_scene(rng(5), SIZE_WH, style) for _ in range(2))
    other = draw_scene(rng(6), SIZE_WH, style)

    assert np.array_equal(first.image, second.image)
    assert [item.label for item in first.objects] == [item.label for item in second.objects]
    for one, two in zip(first.objects, second.objects, strict=True):
        assert np.array_equal(one.mask, two.mask)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("style", STYLES)
def test_shapes_types_and_names_are_as_documented(style: str) -> None:
    for seed in range(6):
        scene = draw_scene(rng(seed), SIZE_WH, style)
        assert scene.style == style
        assert scene.image.shape == (180, 320, 3)
        assert scene.image.dtype == np.uint8
        assert 1 <= len(scene.objects) <= 4
        for item in scene.objects:
            assert item.mask.shape == (180, 320)
            assert item.mask.dtype == np.bool_
            assert item.label in palette.LABELS
            assert item.kind in shapes.KINDS


@pytest.mark.parametrize("style", STYLES)
def test_visible_masks_are_disjoint_and_not_tiny(style: str) -> None:
    for seed in range(8):
        scene = draw_scene(rng(seed, 1), SIZE_WH, style)
        masks = np.stack([item.mask for item in scene.objects])
        assert masks.sum(axis=0).max() == 1
        assert masks.mean(axis=(1, 2)).min() > 0.5 * MIN_AREA * MIN_VISIBLE


def test_a_later_object_hides_an_earlier_one() -> None:
    hidden = 0
    for seed in range(10):
        alone, both = (draw_scene(rng(seed), SIZE_WH, "cluttered", count=count) for count in (3, 3))
        assert np.array_equal(alone.image, both.image)
        placed = place(rng(seed), ["ellipse", "box", "blob"], SIZE_WH, overlap=True)
        rasters = [shapes.rasterise(item.points * 240, SIZE_WH).placed(SIZE_WH) for item in placed]
        hidden += any((rasters[i] & rasters[j]).any() for i in range(len(rasters)) for j in range(i))
    assert hidden >= 5


def test_the_colour_under_a_mask_is_the_objects_own() -> None:
    scene = draw_scene(rng(11), SIZE_WH, "plain")
    ground = ~np.any([item.mask for item in scene.objects], axis=0)
    means = [scene.image[item.mask].mean(axis=0) for item in scene.objects]
    for mean, item in zip(means, scene.objects, strict=True):
        assert scene.image[item.mask].std(axis=0).max() < 25
        assert np.linalg.norm(mean - scene.image[ground].mean(axis=0)) > 40


def test_thermal_scenes_are_grey() -> None:
    image = draw_scene(rng(3), SIZE_WH, "thermal").image.astype(int)
    assert np.ptp(image, axis=2).max() == 0


@pytest.mark.parametrize("style", STYLES)
def test_one_seed_gives_one_layout_at_every_size(style: str) -> None:
    small, large = (draw_scene(rng(4, 2), size, style) for size in ((160, 90), (640, 360)))
    assert [item.label for item in small.objects] == [item.label for item in large.objects]
    for one, two in zip(small.objects, large.objects, strict=True):
        reduced = two.mask.reshape(90, 4, 160, 4).mean((1, 3)) >= 0.5
        assert (one.mask & reduced).sum() / (one.mask | reduced).sum() > 0.9


@pytest.mark.parametrize("size_wh", [(16, 16), (17, 31), (333, 16), (16, 200), (101, 67)])
@pytest.mark.parametrize("style", STYLES)
def test_small_and_odd_sizes(size_wh: tuple[int, int], style: str) -> None:
    scene = draw_scene(rng(9), size_wh, style)
    assert scene.image.shape == (size_wh[1], size_wh[0], 3)
    assert scene.objects
    assert scene.objects[0].mask.any()


def test_the_count_is_kept_where_there_is_room() -> None:
    for count in (1, 2, 3):
        assert len(draw_scene(rng(1), SIZE_WH, "plain", count=count).objects) == count
    assert 4 <= len(draw_scene(rng(1), SIZE_WH, "cluttered", count=30).objects) <= 30


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"^unknown style 'oil'; known: plain, textured, thermal, sar, cluttered$",
    ):
        draw_scene(rng(1), SIZE_WH, "oil")
    with pytest.raises(ValueError, match=r"^size_wh must be at least 16x16 pixels, got 15x40$"):
        draw_scene(rng(1), (15, 40), "plain")
    with pytest.raises(ValueError, match=r"^count must be at least 1, got 0$"):
        draw_scene(rng(1), SIZE_WH, "plain", count=0)


def test_shrunken_objects_keep_place_and_form() -> None:
    """Shrunken objects stay where they were and keep their form."""
    full, small = (draw_scene(rng(2), (600, 400), "plain", count=3, shrink=shrink) for shrink in (None, (0.25, 0.25)))
    assert len(full.objects) == len(small.objects) == 3
    for one, two in zip(full.objects, small.objects, strict=True):
        (rows, columns), (few_rows, few_columns) = np.nonzero(one.mask), np.nonzero(two.mask)
        assert len(few_rows) == pytest.approx(len(rows) / 16, rel=0.1)
        assert few_rows.max() + few_rows.min() == pytest.approx(rows.max() + rows.min(), abs=3)
        assert few_columns.max() + few_columns.min() == pytest.approx(columns.max() + columns.min(), abs=3)


def test_every_object_is_shrunk_by_a_factor_of_its_own() -> None:
    full, small = (draw_scene(rng(2), (600, 400), "thermal", count=3, shrink=shrink) for shrink in ((1, 1), (0.1, 0.9)))
    ratios = [two.mask.sum() / one.mask.sum() for one, two in zip(full.objects, small.objects, strict=True)]
    assert all(0.01 * 0.5 <= ratio <= 0.81 * 1.1 for ratio in ratios)
    assert np.ptp(ratios) > 0.02


@pytest.mark.parametrize("shrink", [(0, 0.5), (0.5, 0.2), (0.5, 1.5)])
def test_a_wrong_range_is_refused(shrink: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="shrink must be a rising range in"):
        draw_scene(rng(1), SIZE_WH, "plain", shrink=shrink)
