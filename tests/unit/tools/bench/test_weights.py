"""The random weights: a clean mask where it is promised, the same model either way."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from backend.geometry import masks
from backend.segmenter import Candidates
from backend.weights.catalog import load_catalog
from demo import model as demo_model
from tools.bench import weights

SIZE_WH = (320, 180)


@pytest.fixture(scope="module")
def config() -> Path:
    """The smallest of our models: the same code as the large ones."""
    found = load_catalog().models["demo"].config_file()
    assert found is not None
    return found


def parts_and_share(config: Path, *, clean: bool, xy: tuple[float, float]) -> tuple[int, float]:
    model = instantiate(OmegaConf.load(config).model, _recursive_=True)
    model.load_state_dict(weights.make(config, clean=clean))
    model.eval()
    picture = np.random.default_rng(3).integers(0, 256, (1, 192, 192, 3), dtype=np.uint8)
    with torch.inference_mode():
        features = demo_model.encode(model, demo_model.normalised(picture, 192))
        logits, iou = demo_model.decode(model, features, torch.tensor([[xy]]), torch.ones(1, 1, dtype=torch.int32))
    best, _ = masks.best(Candidates(logits[0, 1:].numpy(), iou[0, 1:].numpy()))
    mask = masks.full_size(best, SIZE_WH)
    return cv2.connectedComponents(mask.astype(np.uint8))[0] - 1, float(mask.mean())


@pytest.mark.parametrize("xy", [(20.0, 30.0), (150.0, 90.0)])
def test_clean_mask_is_one_part(config: Path, xy: tuple[float, float]) -> None:
    parts, share = parts_and_share(config, clean=True, xy=xy)
    assert parts == 1
    assert 0.05 <= share <= 0.40


def test_unaltered_weights_give_another_mask(config: Path) -> None:
    parts, share = parts_and_share(config, clean=False, xy=(20.0, 30.0))
    assert parts != 1 or not 0.05 <= share <= 0.40


def test_the_click_moves_the_edge(config: Path) -> None:
    """Else an engine that decodes wrong would give the same mask."""
    one = parts_and_share(config, clean=True, xy=(20.0, 30.0))
    other = parts_and_share(config, clean=True, xy=(150.0, 90.0))
    assert one != other


def test_only_values_differ(config: Path) -> None:
    clean, ragged = weights.make(config, clean=True), weights.make(config, clean=False)
    assert {name: value.shape for name, value in clean.items()} == {name: value.shape for name, value in ragged.items()}
    assert {value.dtype for value in clean.values()} == {value.dtype for value in ragged.values()}


def test_same_seed_same_weights(config: Path) -> None:
    one, two = weights.make(config, clean=True), weights.make(config, clean=True)
    assert all(torch.equal(one[name], two[name]) for name in one)
