"""The real model code: stateless, safe among threads, and honest about files that do not fit."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from backend.catalog import load_catalog
from backend.engines import torch_engine
from backend.engines.torch_engine import TorchSegmenter
from backend.errors import ModelError
from backend.segmenter import Candidates, Prompts

CPU = torch.device("cpu")
MODELS = load_catalog().models


def config_of(name: str) -> Path:
    config = MODELS[name].config_file()
    assert config is not None
    return config


@pytest.fixture(scope="module")
def segmenter() -> TorchSegmenter:
    torch.manual_seed(0)
    return torch_engine.build(config_of("demo"), None, CPU, None)


def picture(seed: int, size_wh: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """Coarse coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    rows = np.linspace(0, 5, size_wh[1]).round().astype(int)
    columns = np.linspace(0, 7, size_wh[0]).round().astype(int)
    return patches[rows][:, columns]


def point(x: float, y: float, *, positive: bool = True) -> Prompts:
    return Prompts(np.asarray([[x, y]], dtype=np.float32), np.asarray([positive]))


def test_lone_point_has_three_candidates_others_one(segmenter: TorchSegmenter) -> None:
    embedding = segmenter.encode(picture(0))
    assert embedding.size_wh == (160, 120)
    lone = segmenter.decode(embedding, point(30, 30))
    assert lone.logits.shape[0] == 3
    assert lone.logits.shape[1] == lone.logits.shape[2]
    assert lone.iou.shape == (3,)
    assert lone.logits.dtype == lone.iou.dtype == np.float32
    box = np.asarray([10, 10, 60, 60], dtype=np.float32)
    two = np.asarray([[30, 30], [90, 60]], dtype=np.float32)
    for prompts in (
        Prompts(two, np.asarray([True, False])),
        Prompts(two[:0], np.asarray([], dtype=np.bool_), box),
        Prompts(two[:1], np.asarray([True]), box),
    ):
        assert segmenter.decode(embedding, prompts).logits.shape[0] == 1


def test_decoding_leaves_no_trace(segmenter: TorchSegmenter) -> None:
    embedding = segmenter.encode(picture(0))
    before = segmenter.decode(embedding, point(30, 30))
    segmenter.encode(picture(1))
    segmenter.decode(embedding, point(90, 90))
    after = segmenter.decode(embedding, point(30, 30))
    np.testing.assert_array_equal(before.logits, after.logits)


def test_same_click_on_a_scaled_picture_is_the_same_click(segmenter: TorchSegmenter) -> None:
    """Prompts are relative to the size that was encoded."""
    pixels = picture(0)
    small = segmenter.decode(segmenter.encode(pixels), point(30, 30))
    twice = np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)
    large = segmenter.decode(segmenter.encode(twice), point(60, 60))
    assert np.abs(small.logits - large.logits).mean() < 0.1 * np.abs(small.logits).mean()


def test_eight_threads_on_two_pictures_get_their_own_masks(segmenter: TorchSegmenter) -> None:
    pictures = [picture(seed) for seed in (0, 1)]
    clicks = [(number % 2, point(10 + 6 * number, 5 + 4 * number)) for number in range(24)]

    def answer(asked: tuple[int, Prompts]) -> Candidates:
        which, prompts = asked
        return segmenter.decode(segmenter.encode(pictures[which]), prompts)

    alone = [answer(asked) for asked in clicks]
    barrier = threading.Barrier(8)
    with ThreadPoolExecutor(8, initializer=barrier.wait) as pool:
        together = list(pool.map(answer, clicks))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-3)
    different = segmenter.decode(segmenter.encode(pictures[1]), clicks[0][1])
    assert np.abs(alone[0].logits - different.logits).max() > 0.1


def test_autocast_and_inference_mode_hold_in_every_thread() -> None:
    torch.manual_seed(0)
    segmenter = torch_engine.build(config_of("demo"), None, CPU, torch.bfloat16)
    with ThreadPoolExecutor(1) as pool:
        embedding = pool.submit(segmenter.encode, picture(0)).result()
        candidates = pool.submit(segmenter.decode, embedding, point(30, 30)).result()
    assert embedding.features[0].dtype == torch.bfloat16
    assert all(level.is_inference() for level in embedding.features)
    assert candidates.logits.dtype == np.float32
    assert not torch.is_autocast_enabled("cpu")


def test_only_negative_points_are_refused(segmenter: TorchSegmenter) -> None:
    with pytest.raises(ValueError, match=r"^prompts: expected a box or a positive point, got none$"):
        segmenter.decode(segmenter.encode(picture(0)), point(1, 1, positive=False))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_pixels_are_checked(segmenter: TorchSegmenter, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"^pixels: expected \(H, W, 3\) uint8, got "):
        segmenter.encode(wrong)


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 200), (333, 7)])
def test_odd_sizes(segmenter: TorchSegmenter, size_wh: tuple[int, int]) -> None:
    pixels = picture(0, size_wh)
    assert np.isfinite(segmenter.decode(segmenter.encode(pixels), point(0, 0)).logits).all()


@pytest.mark.parametrize("name", ["tiny", "small", "base-plus", "large"])
def test_configurations_of_the_package_build(name: str) -> None:
    """The structure of every published model, with random weights; `large` stands in memory for a moment."""
    segmenter = torch_engine.build(config_of(name), None, CPU, None)
    assert segmenter.device == "cpu"


def test_folder_names_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "it's [my], {lab} = ü"
    folder.mkdir()
    (folder / "own.v2.yaml").write_text(config_of("demo").read_text(encoding="utf-8"), encoding="utf-8")
    assert torch_engine.build(folder / "own.v2.yaml", None, CPU, None).device == "cpu"


def weights_of(model: TorchSegmenter) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = model._model.state_dict()
    return weights


def test_weights_are_loaded_also_in_half_precision(segmenter: TorchSegmenter, tmp_path: Path) -> None:
    halves = {name: tensor.half() for name, tensor in weights_of(segmenter).items()}
    torch.save({"model": halves}, tmp_path / "half.pt")
    loaded = torch_engine.build(config_of("demo"), tmp_path / "half.pt", CPU, None)
    for name, tensor in weights_of(loaded).items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, halves[name].float())


@pytest.mark.parametrize("case", ["no model inside", "another architecture", "torn", "not a checkpoint"])
def test_files_that_do_not_fit_are_named(
    segmenter: TorchSegmenter, tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # sam2 logs all names that are missing
    path = tmp_path / "weights.pt"
    weights = weights_of(segmenter)
    if case == "no model inside":
        torch.save(weights, path)
    elif case == "another architecture":
        torch.save({"model": dict(list(weights.items())[:-1])}, path)
    elif case == "torn":
        torch.save({"model": weights}, path)
        path.write_bytes(path.read_bytes()[:100_000])
    else:
        path.write_bytes(b"<html>")
    with pytest.raises(ModelError) as caught:
        torch_engine.build(config_of("demo"), path, CPU, None)
    message = str(caught.value)
    assert message.startswith(f"the model sam2.1_demo.yaml with the weights {path} cannot be built (")
    assert message.endswith("); use the YAML that belongs to the weights")
    assert "\n" not in message


def test_yaml_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("model:\n  _target_: sam2.modeling.Nothing\n")
    with pytest.raises(ModelError, match=r"^the model own.yaml with the weights None cannot be built \("):
        torch_engine.build(tmp_path / "own.yaml", None, CPU, None)


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_engine.pick_device("auto") == CPU
    with pytest.raises(ModelError, match=r"^SAM2_DEVICE=cuda, but torch .* sees no CUDA device; "):
        torch_engine.pick_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [({}, None), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)],
)
def test_bfloat16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert torch_engine.pick_autocast(CPU) == dtype
