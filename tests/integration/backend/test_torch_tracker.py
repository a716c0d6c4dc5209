"""Objects through a sequence: the masks of `SAM2VideoPredictor`, from the embeddings that clicks use.

Both sides have the same weights and the same frames; the predictor runs its own encoder. Its filling of small holes
(`fill_hole_area`) is off: it needs an extension that is compiled for CUDA, and the predictor goes on without it.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray
from sam2 import sam2_video_predictor
from sam2.build_sam import build_sam2_video_predictor

from backend.engines import torch_engine
from backend.engines.torch_engine import TorchSegmenter
from backend.engines.torch_tracker import TorchTracker
from backend.errors import ModelError
from backend.segmenter import Embedding, Tracked
from backend.serving.status_page import resident_bytes
from backend.weights.catalog import load_catalog

CPU = torch.device("cpu")
WIDTH, HEIGHT = 160, 120
SAME = 0.999  # mean IoU
SPREAD = 20.0  # of the logits
SHARP, LOUD = 8.0, 3.0  # how much more attention makes of the memory than weights as they begin
Masks = dict[tuple[str, int], NDArray[np.float32]]


def frames(count: int) -> list[NDArray[np.uint8]]:
    """Two discs of one colour on patches; one goes right, one goes down."""
    patches = np.random.default_rng(3).integers(60, 200, (6, 8, 3), dtype=np.uint8)
    ground = np.repeat(np.repeat(patches, HEIGHT // 6, axis=0), WIDTH // 8, axis=1)
    drawn = []
    for number in range(count):
        picture = ground.copy()
        for thing in ("right", "down"):
            picture[disc(thing, number)] = (230, 40, 40)
        drawn.append(picture)
    return drawn


def disc(thing: str, frame: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    x, y = (30 + 4 * frame, 40) if thing == "right" else (110, 30 + 4 * frame)
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 < 18**2)


def config_of(name: str) -> Path:
    config = load_catalog().models[name].config_file()
    assert config is not None
    return config


def built(name: str, *, shipped: bool) -> TorchSegmenter:
    torch.manual_seed(4)
    spec = load_catalog().models[name]
    segmenter = torch_engine.build(config_of(name), spec.checkpoint(Path()) if shipped else None, CPU, None)
    if not shipped:
        _livened(segmenter._model)
    return segmenter


def _livened(model: Any) -> None:
    """Weights as they begin answer with flat masks of absent objects, and a memory that says almost nothing.

    The objects are there, masks have both signs, and what is remembered counts.
    """
    with torch.no_grad():
        for layer in model.memory_attention.layers:
            for part in (layer.cross_attn_image.q_proj, layer.cross_attn_image.k_proj):
                part.weight.mul_(SHARP)
            layer.cross_attn_image.out_proj.weight.mul_(LOUD)
        for layer in model.memory_encoder.fuser.layers:
            layer.gamma.fill_(0.5)
        for embedding in (model.maskmem_tpos_enc, model.no_mem_embed):
            embedding.normal_(0.0, 0.5)
        decoder = model.sam_mask_decoder
        decoder.pred_obj_score_head.layers[-1].bias.fill_(1.0)
        for network in decoder.output_hypernetworks_mlps:
            network.layers[-1].weight.mul_(SPREAD)


def stock(segmenter: TorchSegmenter, name: str) -> Any:
    """The predictor of the package, with the segmenter's weights."""
    GlobalHydra.instance().clear()
    config = config_of(name)
    with initialize_config_dir(config_dir=str(config.parent), version_base="1.2"):
        predictor = build_sam2_video_predictor(config.name, device="cpu")
    predictor.load_state_dict(segmenter._model.state_dict())
    predictor.fill_hole_area = 0
    return predictor


@pytest.fixture
def same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """The predictor gets frames as arrays; it reads JPEG files by itself, which would change them."""

    def load(video_path: list[Any], **_: object) -> tuple[torch.Tensor, int, int]:
        return torch.from_numpy(np.stack([one.values for one in video_path])), HEIGHT, WIDTH

    monkeypatch.setattr(sam2_video_predictor, "load_video_frames", load)


Anchors = dict[str, dict[int, NDArray[np.bool_]]]


def predicted(predictor: Any, inputs: list[Any], anchors: Anchors, start: int, *, backward: bool) -> Masks:
    """``(H, W)`` logits of each object and frame, by the package."""
    state = predictor.init_state(inputs)
    for thing, masks in anchors.items():
        for frame, mask in masks.items():
            predictor.add_new_mask(state, frame, thing, mask)
    passed = predictor.propagate_in_video(state, start_frame_idx=start, reverse=backward)
    return {
        (thing, frame): logits[number, 0].numpy()
        for frame, things, logits in passed
        for number, thing in enumerate(things)
        if frame not in anchors[thing]
    }


def tracked(
    segmenter: TorchSegmenter, embeddings: list[Embedding], anchors: Anchors, start: int, *, backward: bool
) -> dict[tuple[str, int], Tracked]:
    tracker = segmenter.track(len(embeddings), backward=backward)
    for thing, masks in anchors.items():
        for frame, mask in masks.items():
            tracker.anchor(thing, frame, embeddings[frame], mask)
    numbers = range(start, -1, -1) if backward else range(start, len(embeddings))
    return {
        (thing, frame): tracker.step(thing, frame, embeddings[frame])
        for frame in numbers
        for thing in anchors
        if frame not in anchors[thing]
    }


def enlarged(found: Tracked) -> NDArray[np.float32]:
    logits = torch.from_numpy(found.logits)[None, None]
    full = torch.nn.functional.interpolate(logits, size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)
    return np.asarray(full[0, 0].numpy())


def check_same(
    segmenter: TorchSegmenter, predictor: Any, anchors: Anchors, count: int, start: int, *, backward: bool = False
) -> None:
    pictures = frames(count)
    inputs = [segmenter._preprocess(picture)[0].numpy() for picture in pictures]
    theirs = predicted(predictor, [_Values(one) for one in inputs], anchors, start, backward=backward)
    embeddings = [segmenter.unpack(segmenter.pack(segmenter.encode(picture))) for picture in pictures]
    ours = tracked(segmenter, embeddings, anchors, start, backward=backward)
    assert ours.keys() == theirs.keys()
    overlaps, shares, apart = [], [], []
    for key, logits in theirs.items():
        mine = enlarged(ours[key])
        one, other = mine > 0, logits > 0
        union = np.count_nonzero(one | other)
        overlaps.append(1.0 if union == 0 else np.count_nonzero(one & other) / union)
        shares.append(other.mean())
        apart.append(float(np.abs(mine - logits).mean() / logits.std()))
        assert 0 <= ours[key].score <= 1
        assert ours[key].presence > 0.5
    assert np.mean(overlaps) >= SAME
    assert np.mean(apart) < 1e-3
    assert 0.003 < np.mean(shares) < 0.98, shares  # there is something to compare
    if len(anchors) > 1:  # and each object has its own answer
        last = max(frame for _, frame in theirs)
        first, second = (theirs[thing, 0 if backward else last] for thing in anchors)
        assert np.abs(first - second).max() > 0.1


class _Values:
    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values


CASES: dict[str, tuple[dict[str, tuple[int, ...]], int, bool]] = {
    "two objects": ({"right": (0,), "down": (0,)}, 0, False),
    "backward": ({"right": (19,), "down": (19,)}, 19, True),
    "an object that begins later": ({"right": (0,), "down": (6,)}, 6, False),
    "an anchor behind and one ahead": ({"right": (2, 12)}, 2, False),
}


@pytest.fixture(scope="module")
def demo() -> tuple[TorchSegmenter, Any]:
    segmenter = built("demo", shipped=True)
    return segmenter, stock(segmenter, "demo")


@pytest.mark.parametrize("name", sorted(CASES))
def test_masks_of_the_video_predictor(demo: tuple[TorchSegmenter, Any], same_frames: None, name: str) -> None:
    """Over more frames than the bank holds: what it let go of was not read."""
    given, start, backward = CASES[name]
    anchors = {thing: {frame: disc(thing, frame) for frame in numbers} for thing, numbers in given.items()}
    check_same(*demo, anchors, 20, start, backward=backward)


@pytest.mark.slow
def test_masks_of_the_video_predictor_tiny(same_frames: None) -> None:
    """The structure that people use, with random weights."""
    segmenter = built("tiny", shipped=False)
    anchors = {thing: {0: disc(thing, 0)} for thing in ("right", "down")}
    check_same(segmenter, stock(segmenter, "tiny"), anchors, 3, 0)


def test_memory_stays_of_one_size(demo: tuple[TorchSegmenter, Any]) -> None:
    """It grows until it holds the frames that the model reads, and no further; a forgotten object holds nothing."""
    segmenter, _ = demo
    embedding = segmenter.encode(frames(1)[0])
    tracker = segmenter.track(100)
    tracker.anchor("right", 0, embedding, disc("right", 0))
    held = []
    for frame in range(1, 40):
        tracker.step("right", frame, embedding)
        held.append(tracker.held_bytes)
    assert held[20] > held[0]
    assert len(set(held[20:])) == 1
    spatial = 64 * 12 * 12 * 2  # channels, cells, bytes
    assert held[-1] < 9 * spatial + 16 * 128 * 4 + 1
    tracker.forget("right")
    assert tracker.held_bytes == 0


@pytest.mark.slow
def test_process_stays_of_one_size(demo: tuple[TorchSegmenter, Any]) -> None:
    """Three objects over 500 frames: what the process holds at frame 500 is what it held at frame 100."""
    segmenter, _ = demo
    embeddings = [segmenter.encode(one) for one in frames(2)]
    tracker = segmenter.track(501)
    things = ("first", "second", "third")
    for number, thing in enumerate(things):
        tracker.anchor(thing, 0, embeddings[0], disc("right" if number % 2 else "down", number))
    held: dict[int, int] = {}
    for frame in range(1, 501):
        for thing in things:
            tracker.step(thing, frame, embeddings[frame % 2])
        if frame in (100, 500):
            gc.collect()
            held[frame] = resident_bytes() or 0
    assert held[100] > 0
    assert held[500] - held[100] < 8_000_000, held  # the memories of all frames would be 23 MB


def test_next_mask_depends_on_what_is_remembered(demo: tuple[TorchSegmenter, Any]) -> None:
    segmenter, _ = demo
    pictures = frames(3)
    answers = []
    for before in (1, 2):
        tracker = segmenter.track(3)
        tracker.anchor("right", 0, segmenter.encode(pictures[0]), disc("right", 0))
        if before == 1:
            tracker.step("right", 1, segmenter.encode(pictures[1]))
        answers.append(tracker.step("right", 2, segmenter.encode(pictures[2])).logits)
    assert np.abs(answers[0] - answers[1]).max() > 0.01


def test_discarded_frame_is_not_remembered(demo: tuple[TorchSegmenter, Any]) -> None:
    """As if the object had not been followed into it."""
    segmenter, _ = demo
    embeddings = [segmenter.encode(one) for one in frames(3)]
    answers = {}
    for way in ("remembered", "discarded", "passed over"):
        tracker = segmenter.track(3)
        tracker.anchor("right", 0, embeddings[0], disc("right", 0))
        if way != "passed over":
            tracker.step("right", 1, embeddings[1])
        if way == "discarded":
            tracker.discard("right", 1)
        answers[way] = tracker.step("right", 2, embeddings[2])
    assert np.array_equal(answers["discarded"].logits, answers["passed over"].logits)
    assert answers["discarded"].score == answers["passed over"].score
    assert np.abs(answers["discarded"].logits - answers["remembered"].logits).max() > 0.01
    for name, frame in (("right", 0), ("right", 1), ("left", 2)):
        with pytest.raises(ValueError, match=rf"^object '{name}' was not followed into frame {frame}$"):
            tracker.discard(name, frame)


def test_same_memory_in_bfloat16_features(demo: tuple[TorchSegmenter, Any]) -> None:
    """Features that OpenVINO keeps in bfloat16 are read as well."""
    segmenter, _ = demo
    embedding = segmenter.encode(frames(1)[0])
    halves = Embedding(embedding.size_wh, tuple(level.to(torch.bfloat16) for level in embedding.features))
    tracker = segmenter.track(2)
    tracker.anchor("right", 0, halves, disc("right", 0))
    found = tracker.step("right", 1, halves)
    assert np.isfinite(found.logits).all()


def test_model_without_a_memory_is_refused(demo: tuple[TorchSegmenter, Any]) -> None:
    segmenter, _ = demo
    without = type("Model", (), {"num_maskmem": 0})
    with pytest.raises(ModelError, match=r"^this model has no memory \(num_maskmem is 0\): it cannot follow objects"):
        TorchTracker(without, None, segmenter._lock, 3)
    with pytest.raises(ValueError, match=r"^frames: expected 1 or more, got 0$"):
        segmenter.track(0)
