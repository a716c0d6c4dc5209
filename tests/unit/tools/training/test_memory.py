"""The training of the memory: what it changes, what it must not, and that it goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from demo import model as demo_model
from tools.training import memory


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SCENES", 1)
    monkeypatch.setattr(memory, "FRAMES", 3)
    monkeypatch.setattr(memory, "STRIDES", (1,))
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


def test_what_leaves_is_among_what_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that says "gone" learns from objects that are gone."""
    monkeypatch.setattr(memory, "FRAMES", 6)
    monkeypatch.setattr(memory, "STRIDES", (1, 2, 3))
    monkeypatch.setattr(memory, "OBJECTS", 1)
    monkeypatch.setattr(memory, "KIND_SHARES", (0, 0, 0, 1, 0))
    model = demo_model.load_weights(demo_model.build_model())
    clips = [memory.drawn_clip(model, np.random.default_rng(number)) for number in range(8)]
    gone = [bool((clip.truth.flatten(2).sum(2) == 0).any()) for clip in clips]
    assert sum(gone) >= 6, gone


def test_every_part_of_the_memory_learns() -> None:
    model = demo_model.load_weights(demo_model.build_model())
    parameters = memory.unfrozen(model)
    rng = np.random.default_rng(5)
    loss, report = memory.clip_loss(model, memory.drawn_clip(model, rng), rng)
    torch.autograd.backward(loss)
    assert set(report) == {"loss", "presence", "IoU"}
    for part in ("memory_attention.", "memory_encoder.", "maskmem_tpos_enc", "obj_ptr_proj.", "pred_obj_score_head."):
        mine = [value.grad for name, value in parameters.items() if part in name]
        assert any(grad is not None and grad.abs().max() > 0 for grad in mine), part
    others = [value for name, value in model.named_parameters() if name not in parameters]
    assert all(value.grad is None for value in others)
