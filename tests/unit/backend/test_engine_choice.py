"""Which engine serves, what is said about it, and what the self-check measures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from backend.engines import choose, openvino_export, self_check, torch_engine
from backend.engines.cuda_graphs import Recorded
from backend.engines.out_of_memory import translated
from backend.errors import ModelError, OutOfMemory
from backend.segmenter import Candidates, Embedding, Prompts
from backend.weights.catalog import ModelFiles

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


class Engine:
    """Answers every prompt with a disc around the middle of what was named."""

    def __init__(self, engine: str, radius: float = 12.0, note: str = "") -> None:
        self.engine = engine
        self.engine_note = note
        self.radius = radius
        self.recorded: list[object] = []
        self.freed = 0
        self.fails = False

    def encode(self, pixels: NDArray[np.uint8]) -> Embedding:
        return Embedding((pixels.shape[1], pixels.shape[0]), ())

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        box = np.empty((0, 2)) if prompts.box_xyxy is None else prompts.box_xyxy.reshape(2, 2)
        x, y = np.concatenate([prompts.points_xy, box]).mean(axis=0) / embedding.size_wh * 64
        rows, columns = np.mgrid[:64, :64]
        disc = self.radius - np.hypot(columns - x, rows - y)
        count = 3 if prompts.is_lone_point else 1
        return Candidates(np.repeat(disc[None], count, axis=0).astype(np.float32), np.ones(count, np.float32))

    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        raise AssertionError("the choice asks about one prompt at a time")

    def record_graphs(self, capture: object) -> None:
        if self.fails:
            raise OutOfMemory("recording the graphs needs more memory than cuda:0 has free")
        self.recorded.append(capture)

    def free_memory(self) -> None:
        self.freed += 1


class World:
    """The places that `choose` reaches for: torch, OpenVINO, the converter, the device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        config = folder / "model.yaml"
        config.write_text("model: {}\n")
        self.files = ModelFiles("tiny", config, folder / "tiny.pt", "0" * 64, known=False)
        self.place = CPU
        self.openvino = Engine("openvino-float32")
        self.torch = Engine("torch-float32")
        self.conversions = 0
        self.refusal: ModelError | None = None
        monkeypatch.setattr(choose, "pick_device", lambda _: self.place)
        monkeypatch.setattr(choose, "build_model", lambda *_: object())
        monkeypatch.setattr(choose, "TorchSegmenter", lambda *_: Engine("torch-float32"))
        monkeypatch.setattr(choose, "OpenVinoSegmenter", lambda _, build_model: self.openvino)
        monkeypatch.setattr(openvino_export, "convert", self._convert)
        monkeypatch.setattr(torch_engine, "build", self._build)
        monkeypatch.setattr(choose, "capture_on", lambda place: place)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)

    def load(self, engine: choose.EngineChoice = "auto", device: Any = "auto") -> Any:
        return choose.load_segmenter(self.files, device, engine, None)

    def _convert(self, model: object) -> dict[str, object]:
        if self.refusal is not None:
            raise self.refusal
        self.conversions += 1
        return {}

    def _build(self, config: Path, checkpoint: Path, place: torch.device, dtype: object, note: str = "") -> Engine:
        self.torch.engine_note = note
        return self.torch


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


def test_auto_on_the_cpu_takes_openvino_whose_masks_agree(world: World) -> None:
    assert world.load() is world.openvino
    assert world.conversions == 1
    assert world.openvino.engine_note == ""


def test_auto_on_cuda_takes_torch_with_recorded_graphs(world: World) -> None:
    world.place = CUDA
    assert world.load() is world.torch
    assert world.torch.recorded == [CUDA]
    assert world.conversions == 0


def test_no_room_for_recorded_graphs_is_no_failure(world: World) -> None:
    world.place, world.torch.fails = CUDA, True
    assert world.load() is world.torch
    assert world.torch.engine_note.startswith("without recorded CUDA graphs: recording the graphs needs more memory")
    assert world.torch.freed == 1


def test_torch_when_asked_for(world: World) -> None:
    assert world.load("torch") is world.torch
    assert world.conversions == 0
    assert world.torch.engine_note == ""


def test_openvino_runs_on_the_cpu_of_a_machine_with_cuda(world: World) -> None:
    world.place = CUDA
    assert world.load("openvino") is world.openvino


def test_openvino_on_cuda_is_a_contradiction(world: World) -> None:
    with pytest.raises(ModelError, match=r"^SAM2_ENGINE=openvino computes on the CPU, but SAM2_DEVICE=cuda; "):
        world.load("openvino", "cuda")


@pytest.mark.parametrize("case", ["other masks", "no conversion"])
def test_what_does_not_work_falls_back_and_says_so(world: World, case: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    if case == "other masks":
        world.openvino.radius = 11.5
        reason = "the masks of openvino-float32 agree with torch's by a mean IoU of 0.9"
    else:
        world.refusal = ModelError("OpenVINO cannot convert the image part of this model (why)")
        reason = str(world.refusal)
    assert world.load() is world.torch
    assert world.torch.engine_note.startswith(f"torch instead of OpenVINO: {reason}")
    assert [record.getMessage() for record in caplog.records] == [
        world.torch.engine_note.replace("torch instead of", "SAM2_ENGINE=auto: torch serves instead of")
    ]
    with pytest.raises(ModelError) as caught:
        world.load("openvino")
    assert str(caught.value).startswith(reason)


def test_self_check_measures_masks() -> None:
    assert self_check.mean_iou(Engine("a"), Engine("b")) == 1.0  # type: ignore[arg-type]
    smaller = self_check.mean_iou(Engine("a"), Engine("b", radius=6.0))  # type: ignore[arg-type]
    assert smaller == pytest.approx(0.25, abs=0.02)
    assert self_check.mean_iou(Engine("a", radius=-1.0), Engine("b", radius=-1.0)) == 1.0  # type: ignore[arg-type]


def test_self_check_prompts_lie_in_the_picture() -> None:
    picture = self_check.drawn_picture()
    assert picture.shape == (self_check.HEIGHT, self_check.WIDTH, 3)
    assert picture.dtype == np.uint8
    for prompts in self_check.drawn_prompts():
        corners = np.empty((0, 2)) if prompts.box_xyxy is None else prompts.box_xyxy.reshape(2, 2)
        places = np.concatenate([prompts.points_xy, corners])
        assert (places >= 0).all()
        assert (places <= (self_check.WIDTH, self_check.HEIGHT)).all()


class Recorder:
    """Captures as CUDA does: the same memory read and written at each replay."""

    def __init__(self) -> None:
        self.replays = 0

    def __call__(
        self, run: Callable[[], tuple[torch.Tensor, ...]]
    ) -> tuple[Callable[[], None], tuple[torch.Tensor, ...]]:
        outputs = run()

        def replay() -> None:
            self.replays += 1
            for kept, new in zip(outputs, run(), strict=True):
                kept.copy_(new)

        return replay, outputs


def test_recorded_shapes_are_replayed_and_others_run() -> None:
    recorder = Recorder()
    function = Recorded(lambda a, b: (a + b, a * b), recorder)
    function.record(torch.zeros(2), torch.zeros(2))
    first = function(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    second = function(torch.tensor([5.0, 6.0]), torch.tensor([7.0, 8.0]))
    assert recorder.replays == 2
    assert [one.tolist() for one in first] == [[4.0, 6.0], [3.0, 8.0]]  # the second replay left them alone
    assert [one.tolist() for one in second] == [[12.0, 14.0], [35.0, 48.0]]
    other = function(torch.ones(3), torch.ones(3))
    assert other[0].tolist() == [2.0, 2.0, 2.0]
    whole = function(torch.ones(2, dtype=torch.int32), torch.ones(2, dtype=torch.int32))
    assert whole[0].dtype == torch.int32
    assert recorder.replays == 2


def test_want_of_memory_is_one_error_whoever_meets_it() -> None:
    """The first is what torch's own allocator raises; the others are known from its sources."""

    def too_much() -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    def cuda() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def host() -> None:
        raise MemoryError

    for fail in (too_much, cuda, host):
        with pytest.raises(OutOfMemory, match=r"^encoding needs more memory than cuda:0 has free; "):  # noqa: SIM117
            with translated("cuda:0", "encoding"):
                fail()
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), translated("cpu", "encoding"):
        raise RuntimeError("shapes differ")
