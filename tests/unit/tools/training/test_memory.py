"""The training of the memory: what it changes, what it must not, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demo import model as demo_model
from demo.moving import draw_moving
from tools.training import clips, memory


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "SCENES", 1)
    monkeypatch.setattr(clips, "FRAMES", 3)
    monkeypatch.setattr(clips, "DRAWN", 6)
    monkeypatch.setattr(memory, "SAVE_EVERY", 1)


def test_single_images_stay_as_they_are(tmp_path: Path) -> None:
    """To the bit: what is not of the memory alone is frozen."""
    before = demo_model.load_weights(demo_model.build_model())
    after = memory.trained(demo_model.WEIGHTS, tmp_path / "memory.pt", 2, seed=1).eval()
    changed = [name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])]
    assert changed
    assert all(any(part in name for part in memory.TRAINED) for name in changed)
    pixels = demo_model.normalised(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8), 192)
    points, labels = torch.tensor([[[90.0, 80.0]]]), torch.tensor([[1]], dtype=torch.int32)
    with torch.no_grad():
        one, other = (
            demo_model.decode(each, demo_model.encode(each, pixels), points, labels) for each in (before, after)
        )
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_stopped_training_goes_on(tmp_path: Path) -> None:
    """As if it had not been stopped, and not from the beginning."""
    whole = memory.trained(demo_model.WEIGHTS, tmp_path / "whole.pt", 2, seed=1).state_dict()
    with pytest.MonkeyPatch.context() as patch:
        saved: list[int] = []
        save = torch.save

        def once(state: dict[str, object], path: Path) -> None:
            save(state, path)
            saved.append(1)
            if len(saved) == 1:
                Path(path).replace(tmp_path / "part.pt")
                raise KeyboardInterrupt

        patch.setattr(torch, "save", once)
        with pytest.raises(KeyboardInterrupt):
            memory.trained(demo_model.WEIGHTS, tmp_path / "part.pt", 2, seed=1)
    again = memory.trained(demo_model.WEIGHTS, tmp_path / "part.pt", 2, seed=1).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_a_memory_is_new_or_goes_on(tmp_path: Path) -> None:
    shipped = demo_model.load_weights(demo_model.build_model()).state_dict()
    further = memory.trained(demo_model.WEIGHTS, tmp_path / "none", 0, seed=1, further=True).state_dict()
    assert all(torch.equal(value, shipped[name]) for name, value in further.items())
    new = memory.trained(demo_model.WEIGHTS, tmp_path / "none", 0, seed=1).state_dict()
    assert any(not torch.equal(value, shipped[name]) for name, value in new.items())


def test_weights_of_some_steps_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEEP_EVERY", 2)
    last = memory.trained(demo_model.WEIGHTS, tmp_path / "memory.pt", 3, seed=1)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["memory-00002.pt", "memory.pt"]
    kept = demo_model.load_weights(demo_model.build_model(), tmp_path / "memory-00002.pt").state_dict()
    assert any(not torch.equal(value.half(), kept[name].half()) for name, value in last.state_dict().items())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_is_remembered_is_the_own_answer(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """A model that says "gone" goes on with a memory that says so, where it is not taught the truth."""
    model = demo_model.load_weights(demo_model.build_model())
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(-50.0)
    remembered: list[torch.Tensor] = []
    encode = memory._memory

    def kept(*inputs: Any, given: bool) -> dict[str, Any]:
        remembered.append(inputs[4])
        return encode(*inputs, given=given)

    monkeypatch.setattr(memory, "TRUTH_SHARE", share)
    monkeypatch.setattr(memory, "_memory", kept)
    clip = clips.drawn_clip(model, np.random.default_rng(5))
    memory.clip_loss(model, clip, np.random.default_rng(5))
    assert [bool((one > 0).any()) for one in remembered] == [True, share > 0, share > 0]


def test_clip_of_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that goes is in it from the first frame on, and is followed before others."""
    monkeypatch.setattr(clips, "FRAMES", 4)
    monkeypatch.setattr(clips, "EVENTFUL", 1.0)
    monkeypatch.setattr(clips, "STRIDE_SHARES", (1.0, 0.0, 0.0))
    shown = np.full((12, 3), 900)
    shown[5:8, 1] = 0
    for number in range(20):
        rng = np.random.default_rng(number)
        numbers = clips.window(shown, rng)
        assert numbers is not None
        assert sorted(numbers) == list(range(min(numbers), min(numbers) + 4))
        assert shown[numbers[0], 1] > 0
        assert (shown[numbers][:, 1] == 0).any()
        assert clips.followed(shown[numbers], rng)[0] == 1
    assert clips.window(np.zeros((12, 2), int), np.random.default_rng(0)) is None


def test_most_clips_have_something_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that says "gone" learns from objects that are gone."""
    monkeypatch.setattr(clips, "FRAMES", 8)
    monkeypatch.setattr(clips, "EVENTFUL", 1.0)
    gone = []
    for number in range(8):
        rng = np.random.default_rng(number)
        shown = clips.areas(draw_moving(rng, (64, 64), "plain", "leaving", 28)) * 9  # as large as at 192
        numbers = clips.window(shown, rng)
        gone.append(numbers is not None and bool((shown[numbers][:, clips.followed(shown[numbers], rng)] == 0).any()))
    assert sum(gone) >= 7, gone


def test_every_part_of_the_memory_learns() -> None:
    model = demo_model.load_weights(demo_model.build_model())
    parameters = memory.unfrozen(model)
    rng = np.random.default_rng(5)
    loss, report = memory.clip_loss(model, clips.drawn_clip(model, rng), rng)
    torch.autograd.backward(loss)
    assert set(report) == {"loss", "presence", "IoU"}
    for part in ("memory_attention.", "memory_encoder.", "maskmem_tpos_enc", "obj_ptr_proj.", "pred_obj_score_head."):
        mine = [value.grad for name, value in parameters.items() if part in name]
        assert any(grad is not None and grad.abs().max() > 0 for grad in mine), part
    others = [value for name, value in model.named_parameters() if name not in parameters]
    assert all(value.grad is None for value in others)
