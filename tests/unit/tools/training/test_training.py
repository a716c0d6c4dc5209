"""What the training is made of: prompts that mean what they say, a loss that falls, a schedule that ends."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from demo import model
from demo.scenes import STYLES
from tools.training import curriculum, losses, pool, prompts, train
from tools.training.team import Team

SIZE = 128
pytestmark = pytest.mark.timeout(600)  # training steps on a CPU that others use too


def owner_map() -> NDArray[np.uint8]:
    owner = np.zeros((SIZE, SIZE), dtype=np.uint8)
    owner[20:60, 10:50] = 1
    owner[70:110, 60:120] = 2
    return owner


@pytest.mark.parametrize(
    ("points", "kind"),
    [(points, kind) for points, kinds in prompts.KINDS_BY_POINTS.items() for kind in kinds],
)
def test_prompts_point_where_they_say(points: int, kind: str) -> None:
    owner = owner_map()
    for seed in range(25):
        drawn = prompts.first_prompt(np.random.default_rng(seed), owner, kind, points)
        assert len(drawn.points) == points
        meant = {drawn.target, drawn.partner or drawn.target}
        for x, y, label in drawn.points:
            found = owner[min(int(y), SIZE - 1), min(int(x), SIZE - 1)]
            if label == 1 and kind != "pair-neg":
                assert found in meant
            if label == 0:
                assert found != drawn.target
        if drawn.brush is not None:
            assert (owner[drawn.brush] == drawn.target).mean() > 0.4


def test_prompts_for_a_neighbour_do_without_one() -> None:
    owner = np.where(owner_map() == 1, 1, 0).astype(np.uint8)
    for points, kinds in prompts.KINDS_BY_POINTS.items():
        for kind in kinds:
            drawn = prompts.first_prompt(np.random.default_rng(1), owner, kind, points)
            assert (drawn.target, drawn.partner, len(drawn.points)) == (1, None, points)


def test_correction_lands_in_wrong_part_with_right_label() -> None:
    """A correction lands in the wrong part with the right label."""
    target = torch.zeros(3, 32, 32)
    target[:, 8:16, 8:24] = 1
    logits = torch.where(target > 0, 5.0, -5.0)
    logits[0, 8:16, 16:24] = -5  # the right half is missing
    logits[1, 20:30, 2:10] = 5  # a piece too much
    points, labels = prompts.correction(torch.Generator().manual_seed(1), logits, target, SIZE)
    assert labels.tolist() == [[1], [0], [1]]
    cells = (points[:, 0] / 4).int().tolist()
    assert 16 <= cells[0][0] < 24
    assert 8 <= cells[0][1] < 16
    assert 2 <= cells[1][0] < 10
    assert 20 <= cells[1][1] < 30
    assert bool(target[2, cells[2][1], cells[2][0]])


def test_a_stroke_becomes_a_mask_prompt() -> None:
    stroke = prompts.painted_stroke((20, 64), (100, 64), SIZE, radius=8)
    assert stroke.sum() == pytest.approx(80 * 16 + np.pi * 64, rel=0.05)
    logits = prompts.stroke_logits(stroke, 32, 10.0)
    assert logits.shape == (32, 32)
    assert set(np.unique(logits)) == {-10.0, 10.0}
    assert logits[16, 15] == 10


def test_loss_prefers_right_mask_over_the_neighbours() -> None:
    """The loss prefers the right mask and minds the neighbour most."""
    target, rivals = torch.zeros(1, 32, 32), torch.zeros(1, 32, 32)
    target[:, :10, :10] = 1
    rivals[:, 20:30, 20:30] = 1
    quality = torch.ones(1, 1)
    right = torch.where(target > 0, 6.0, -6.0)[:, None]
    leaking = torch.where(rivals > 0, 6.0, right[:, 0])[:, None]
    spilling = right.clone()
    spilling[:, :, 20:30, :10] = 6.0

    def loss(logits: torch.Tensor) -> float:
        return float(losses.mask_loss(logits, quality, target, rivals, foreground=1.0, rival=3.0)[0])

    assert loss(right) < 0.1
    assert loss(right) < loss(spilling) < loss(leaking)
    iou = losses.mask_loss(leaking, quality, target, rivals, foreground=1.0, rival=3.0)[1]
    assert iou.item() == pytest.approx(0.5)
    empty = torch.full((1, 1, 32, 32), -1.0)
    assert losses.true_iou(empty, torch.zeros(1, 32, 32)).item() == 1


def test_rows_without_mask_prompt_are_as_if_none_given() -> None:
    """Rows without a mask prompt are answered as if none was given."""
    torch.manual_seed(3)
    network = model.build_model().eval()
    features = model.encode(network, model.normalised(np.zeros((2, 40, 64, 3), dtype=np.uint8), network.image_size))
    points, labels = torch.full((2, 1, 2), 50.0), torch.ones(2, 1, dtype=torch.int32)
    masks = torch.full((2, 1, network.image_size // 4, network.image_size // 4), torch.nan)
    masks[1] = 4.0
    with torch.no_grad():
        plain, _ = model.decode(network, features, points, labels)
        mixed, _ = model.decode(network, features, points, labels, masks)
    assert torch.allclose(plain[0], mixed[0], atol=1e-5)
    assert not torch.allclose(plain[1], mixed[1], atol=1e-3)


def test_a_pool_is_drawn_once_and_a_broken_file_again(tmp_path: Path) -> None:
    file = tmp_path / "pool.npz"
    first = pool.load_or_draw(file, 1, STYLES, 6, 64)
    assert first.images.shape == (6, 64, 64, 3)
    assert first.owners.max() <= 4
    assert all(owner.any() for owner in first.owners)
    stamp = file.stat().st_mtime_ns
    again = pool.load_or_draw(file, 1, STYLES, 6, 64)
    assert file.stat().st_mtime_ns == stamp
    assert np.array_equal(first.images, again.images)
    file.write_bytes(file.read_bytes()[:1000])
    assert np.array_equal(pool.load_or_draw(file, 1, STYLES, 6, 64).owners, first.owners)
    images, owners = first.batch(np.random.default_rng(2), 4, noise=8)
    assert (images.shape, owners.shape) == ((4, 64, 64, 3), (4, 64, 64))


def test_the_learning_rate_rises_falls_and_ends() -> None:
    for stage in curriculum.CURRICULUM:
        rates = [curriculum.learning_rate(stage, step) for step in range(stage.horizon)]
        assert max(rates) == pytest.approx(stage.rate, rel=0.01)
        assert int(np.argmax(rates)) < stage.horizon * 0.15
        assert rates[-1] == pytest.approx(stage.rate * stage.last, rel=0.2)
        assert stage.steps <= stage.horizon
        assert sum(stage.points) == pytest.approx(1)


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    short = dataclasses.replace(curriculum.CURRICULUM[1], name="short", scenes=5, steps=2, clicks=1, others=1)
    whole = train.run_stage(short, (1, 0), tmp_path / "whole", None, Team())
    train.run_stage(dataclasses.replace(short, steps=1), (1, 0), tmp_path / "parts", None, Team())
    parts = train.run_stage(short, (1, 0), tmp_path / "parts", None, Team())
    one, two = (torch.load(file, weights_only=True)["model"] for file in (whole, parts))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    assert any(not torch.equal(value, model.build_model().state_dict()[name]) for name, value in one.items())
