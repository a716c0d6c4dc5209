"""The real model code: stateless, safe among threads, and honest about files that do not fit."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from backend.engines import torch_engine, torch_model
from backend.engines.inputs import PromptArrays
from backend.engines.torch_engine import TorchSegmenter, pieces
from backend.errors import ModelError
from backend.segmenter import Candidates, Prompts
from backend.weights.catalog import load_catalog
from tests.engine_contract import EngineContract

CPU = torch.device("cpu")
MODELS = load_catalog().models
Tensors = tuple[torch.Tensor, ...]


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
    return np.asarray(patches[rows][:, columns])


def point(x: float, y: float, *, positive: bool = True) -> Prompts:
    return Prompts(np.asarray([[x, y]], dtype=np.float32), np.asarray([positive]))


class TestTorch(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def segmenter(cls) -> TorchSegmenter:
        """With the shipped weights: the contract looks at what is in a mask."""
        return torch_engine.build(config_of("demo"), MODELS["demo"].checkpoint(Path()), CPU, None)


def test_same_click_on_a_scaled_picture_is_the_same_click(segmenter: TorchSegmenter) -> None:
    """Prompts are relative to the size that was encoded."""
    pixels = picture(0)
    small = segmenter.decode(segmenter.encode(pixels), point(30, 30))
    twice = np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1)
    large = segmenter.decode(segmenter.encode(twice), point(60, 60))
    assert np.abs(small.logits - large.logits).mean() < 0.1 * np.abs(small.logits).mean()


def test_eight_threads_on_two_pictures_get_their_own_masks(segmenter: TorchSegmenter) -> None:
    pictures = [picture(seed) for seed in (0, 1)]
    clicks = [(number % 2, point(10 + 12 * number, 5 + 8 * number)) for number in range(12)]

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


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_packing_keeps_the_answer(dtype: torch.dtype | None) -> None:
    torch.manual_seed(0)
    segmenter = torch_engine.build(config_of("demo"), None, CPU, dtype)
    assert segmenter.engine == ("torch-float32" if dtype is None else "torch-bfloat16")
    embedding = segmenter.encode(picture(0))
    data = segmenter.pack(embedding)
    # 16 maps of 48 x 48, 32 of 24 x 24, 128 of 12 x 12
    numbers = 16 * 48 * 48 + 32 * 24 * 24 + 128 * 12 * 12
    assert segmenter.size_of(embedding) == numbers * (4 if dtype is None else 2)
    assert 0 < len(data) - segmenter.size_of(embedding) < 2000
    again = segmenter.unpack(data)
    assert again.size_wh == (160, 120)
    np.testing.assert_array_equal(
        segmenter.decode(again, point(30, 30)).logits, segmenter.decode(embedding, point(30, 30)).logits
    )


def test_only_its_own_embeddings_are_read(segmenter: TorchSegmenter) -> None:
    data = segmenter.pack(segmenter.encode(picture(0)))
    half = torch_engine.build(config_of("demo"), None, CPU, torch.bfloat16)
    with pytest.raises(ValueError, match=r"engine: expected torch-bfloat16, got torch-float32\)$"):
        half.unpack(data)
    larger = torch_engine.build(config_of("tiny"), None, CPU, None)
    with pytest.raises(ValueError, match=r"^embedding: made by something else \(shapes: expected "):
        larger.unpack(data)
    foreign = save({"0": torch.zeros(3)}, metadata={"size_wh": "[160, 120]"})
    damaged = [b"", data[:5], data[:100], data[:-1], data + b"x", foreign, save({"0": torch.zeros(3)}), bytes(4000)]
    damaged += [data.replace(b"[160, 120]", new) for new in (b"[160, 0.5]", b"[160,    ]", b'{"a":   1}')]
    for wrong in damaged:
        with pytest.raises(ValueError, match=r"^embedding: "):
            segmenter.unpack(wrong)


def test_recorded_graphs_give_the_same_answers(segmenter: TorchSegmenter) -> None:
    """On the CPU, where a replay runs the function again into the same memory, as a CUDA graph does."""
    torch.manual_seed(0)
    recorded = torch_engine.build(config_of("demo"), None, CPU, None)
    replays: list[int] = []

    def capture(run: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        outputs = run()

        def replay() -> None:
            replays.append(1)
            for kept, new in zip(outputs, run(), strict=True):
                kept.copy_(new)

        return replay, outputs

    recorded.record_graphs(capture)
    embedding = recorded.encode(picture(0))
    plain = segmenter.encode(picture(0))
    start = segmenter.decode(plain, point(30, 30)).logits[0]
    many = Prompts(np.full((torch_engine.RECORDED_POINTS + 1, 2), 30, np.float32), np.ones(9, np.bool_))
    box = Prompts(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.asarray([9, 9, 90, 90], np.float32))
    refined = Prompts(point(30, 30).points_xy, np.ones(1, np.bool_), None, start)
    asked = [point(30, 30), point(90, 60), box, refined, many, point(30, 30)]
    answers = [recorded.decode(embedding, prompts) for prompts in asked]
    assert len(replays) == 1 + len(asked) - 1  # the encoder, and all but the many points
    replays.clear()
    answers += recorded.decode_batch([(embedding, point(30, 30)), *([(embedding, point(90, 60))] * 10)])[:2]
    asked += [point(30, 30), point(90, 60)]
    assert len(replays) == 3  # eleven lone points: eight, two and one
    for prompts, answer in zip(asked, answers, strict=True):
        expected = segmenter.decode(plain, prompts)
        np.testing.assert_allclose(answer.logits, expected.logits, atol=1e-4)
        np.testing.assert_allclose(answer.iou, expected.iou, atol=1e-5)


def test_prompts_that_are_alike_go_together() -> None:
    """As many points, and a mask or none; in few sizes, because each needs a recording."""
    mask = np.zeros((1, 1, 48, 48), np.float32)
    arrays = [
        PromptArrays(np.zeros((1, count, 2), np.float32), np.zeros((1, count), np.int32), mask if with_mask else None)
        for count, with_mask in [(1, False), (2, False), (1, True), (1, False), (2, False), *([(1, False)] * 9)]
    ]
    found = list(pieces(arrays))
    assert found == [[0, 3, 5, 6, 7, 8, 9, 10], [11, 12], [13], [1, 4], [2]]
    assert {len(piece) for piece in found} <= set(torch_engine.PIECES)


def test_a_point_more_than_asked_would_change_the_mask(segmenter: TorchSegmenter) -> None:
    """Why prompts are never padded to a recorded shape: label -1 is a token like every other."""
    embedding = segmenter.encode(picture(0))
    coordinates, labels = torch.tensor([[[30.0, 30.0]]]), torch.tensor([[1]], dtype=torch.int32)
    with torch.inference_mode():
        plain, _ = segmenter._decode_tensors(*embedding.features, coordinates, labels, several=True)
        padded, _ = segmenter._decode_tensors(
            *embedding.features,
            torch.cat([coordinates, torch.zeros(1, 7, 2)], dim=1),
            torch.cat([labels, torch.full((1, 7), -1, dtype=torch.int32)], dim=1),
            several=True,
        )
    assert (plain - padded).abs().max() > 0.01


@pytest.mark.parametrize("name", ["tiny", "small", "base-plus", pytest.param("large", marks=pytest.mark.slow)])
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
        assert torch.equal(tensor, halves[name].float()), name


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
    assert torch_model.pick_device("auto") == CPU
    with pytest.raises(ModelError, match=r"^SAM2_DEVICE=cuda, but torch .* sees no CUDA device; "):
        torch_model.pick_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [({}, None), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)],
)
def test_bfloat16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert torch_model.pick_autocast(CPU) == dtype
