"""Drawn scenes that move: the same seed draws the same, and each kind does what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from demo.moving import KINDS, STYLES, MovingScene, draw_moving

SIZE_WH = (96, 72)
FRAMES = 24


def drawn(kind: str, seed: int = 3, style: str = "plain") -> MovingScene:
    return draw_moving(np.random.default_rng(seed), SIZE_WH, style, kind, FRAMES)


def sizes(scene: MovingScene, item: int) -> list[int]:
    return [int(scene.mask(frame, item).sum()) for frame in range(FRAMES)]


@pytest.mark.parametrize("style", STYLES)
def test_same_seed_draws_the_same(style: str) -> None:
    one, other = (drawn("motion", style=style) for _ in range(2))
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.owners, other.owners)
    assert one.images.shape == (FRAMES, 72, 96, 3)
    assert one.labels == other.labels
    assert not np.array_equal(one.images, drawn("motion", seed=4, style=style).images)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_move(kind: str) -> None:
    scene = drawn(kind)
    assert 1 <= len(scene.labels) <= 4
    first = scene.owners[0]
    assert any((scene.owners[frame] != first).mean() > 0.02 for frame in range(1, FRAMES))
    # What is drawn is where the masks are: colours stay with the object.
    numbers, counts = np.unique(scene.owners, return_counts=True)
    assert counts[numbers > 0].max() > 50 * FRAMES


def test_object_leaves_and_comes_back() -> None:
    for seed in range(8):
        seen = [one > 0 for one in sizes(drawn("leaving", seed), 0)]
        gone = seen.index(False)
        assert any(seen[:gone])
        assert any(seen[gone:])


def test_object_is_hidden_by_the_post() -> None:
    """In some scenes wholly, for some frames; the post itself is no object."""
    hidden = 0
    for seed in range(8):
        scene = drawn("occlusion", seed)
        for item in range(len(scene.labels)):
            seen = sizes(scene, item)
            hidden += max(seen) > 100 and min(seen) < 0.5 * max(seen)
    assert hidden >= 4


def test_objects_grow_and_shrink() -> None:
    ratios = []
    for seed in range(6):
        seen = [one for one in sizes(drawn("scale", seed), 0) if one]
        ratios.append(max(seen) / min(seen))
    assert np.median(ratios) > 1.3


def test_two_alike_have_one_colour() -> None:
    scene = drawn("alike")
    assert len(scene.labels) == 2
    assert scene.labels[0] == scene.labels[1]
    means = [scene.images[0][scene.mask(0, item)].mean(axis=0) for item in range(2)]
    assert np.abs(means[0] - means[1]).max() < 15


def test_wrong_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"^unknown style 'sketch' or kind 'motion'; known: plain, "):
        draw_moving(rng, SIZE_WH, "sketch", "motion", 3)
    with pytest.raises(ValueError, match=r"^frames must be at least 1, got 0$"):
        draw_moving(rng, SIZE_WH, "plain", "motion", 0)
