"""Objects through a sequence with SAM 2's memory: `SAM2VideoPredictor` without its state and without its encoder runs.

The arithmetic is the model's own (`SAM2Base._track_step`, `_encode_new_memory`); what is ours is what it is given.
A frame's features come from the embedding that clicks use: the two fine levels are those of the video path already
(`conv_s0` and `conv_s1` are applied in both), and from the coarsest `no_mem_embed` is taken off again, which single
images have added and frames with a memory have not. The tests compare the masks with the predictor's.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from backend.engines.memory_bank import POINTER, POSITIONS, SPATIAL, Entry, MemoryBank, Reach
from backend.engines.out_of_memory import translated
from backend.engines.torch_model import computing
from backend.errors import ModelError
from backend.segmenter import Embedding, Tracked


class TorchTracker:
    """See `backend.segmenter.Tracker`. Objects do not know of each other, as in `SAM2VideoPredictor`."""

    def __init__(
        self,
        model: Any,
        autocast_dtype: torch.dtype | None,
        lock: threading.Lock,
        frames: int,
        *,
        backward: bool = False,
    ) -> None:
        """
        Args:
            model: a `SAM2Base` (the package has no types) in evaluation mode, on its device. Its image encoder is
                not used.
            autocast_dtype: None computes in the weights' own precision.
            lock: held while the model computes.
            frames: how many there are in the sequence.
            backward: from later frames to earlier ones.

        Raises:
            ModelError: the model has no memory.
            ValueError: there are no frames.
        """
        if not model.num_maskmem:
            raise ModelError("this model has no memory (num_maskmem is 0): it cannot follow objects through a sequence")
        if frames < 1:
            raise ValueError(f"frames: expected 1 or more, got {frames}")
        self._model = model
        self._autocast_dtype = autocast_dtype
        self._lock = lock
        self._frames = frames
        self._backward = backward
        self._device: torch.device = next(model.parameters()).device
        self._reach = Reach.of(model)
        self._banks: dict[str, MemoryBank] = {}

    def anchor(self, object_id: str, frame: int, embedding: Embedding, mask: NDArray[np.bool_]) -> None:
        """Give an object's mask on a frame; as `SAM2VideoPredictor.add_new_mask`."""
        self._check(frame)
        if mask.ndim != 2:
            raise ValueError(f"mask: expected shape (H, W), got {mask.shape}")
        given = self._fitted(mask)
        with translated(str(self._device), "remembering"), self._lock, computing(self._device, self._autocast_dtype):
            features, positions, sizes = self._levels(embedding)
            _, outputs, _, _ = self._model._track_step(
                frame, True, features, positions, sizes, None, given, {}, self._frames, self._backward, None
            )  # fmt: skip
            _, _, _, low, _, pointer, present = outputs
            # The predictor enlarges what it hands out, and remembers that.
            full = functional.interpolate(low, size=given.shape[-2:], mode="bilinear", align_corners=False)
            entry = self._entry(features, sizes, full, present, pointer, given=True)
        bank = self._banks.setdefault(object_id, MemoryBank(self._reach, self._backward))
        bank.anchors[frame] = entry
        bank.followed.pop(frame, None)

    def step(self, object_id: str, frame: int, embedding: Embedding) -> Tracked:
        """Follow an object into a frame, and remember its mask there."""
        self._check(frame)
        bank = self._banks.get(object_id)
        if bank is None or not bank.is_followed_to(frame):
            raise ValueError(f"object {object_id!r} has no anchor before frame {frame}")
        with translated(str(self._device), "following"), self._lock, computing(self._device, self._autocast_dtype):
            features, positions, sizes = self._levels(embedding)
            _, outputs, _, _ = self._model._track_step(
                frame, False, features, positions, sizes, None, None, bank.readable(), self._frames, self._backward,
                None,
            )  # fmt: skip
            _, _, scores, low, full, pointer, present = outputs
            entry = self._entry(features, sizes, full, present, pointer, given=False)
            found = Tracked(
                low[0, 0].float().cpu().numpy(), float(scores.float().max()), float(present.float().sigmoid())
            )
        bank.remember(frame, entry)
        return found

    def discard(self, object_id: str, frame: int) -> None:
        """Remember nothing of a frame that the object was followed into; the frames after it read what lies before."""
        bank = self._banks.get(object_id)
        if bank is None or bank.followed.pop(frame, None) is None:
            raise ValueError(f"object {object_id!r} was not followed into frame {frame}")

    def forget(self, object_id: str) -> None:
        """End an object's track and let go of its memory."""
        self._banks.pop(object_id, None)

    @property
    def held_bytes(self) -> int:
        """What the memory of all objects takes."""
        tensors = [
            value
            for bank in self._banks.values()
            for entry in (*bank.anchors.values(), *bank.followed.values())
            for name, value in entry.items()
            if name != POSITIONS
        ]
        return sum(value.untyped_storage().nbytes() for value in tensors)

    def _check(self, frame: int) -> None:
        if not 0 <= frame < self._frames:
            raise ValueError(f"frame: expected 0 to {self._frames - 1}, got {frame}")

    def _fitted(self, mask: NDArray[np.bool_]) -> torch.Tensor:
        """``(1, 1, S, S)`` float32, 0 or 1: the mask in the size of the model's input."""
        side = int(self._model.image_size)
        pixels = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()
        if mask.shape != (side, side):
            pixels = functional.interpolate(
                pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True
            )
            pixels = (pixels >= 0.5).float()
        return pixels.to(self._device)

    def _levels(self, embedding: Embedding) -> tuple[list[torch.Tensor], list[torch.Tensor], list[tuple[int, int]]]:
        """A frame as `SAM2Base._prepare_backbone_features` gives it.

        Returns:
            Features ``(h * w, 1, C)`` of each level, finest first; the position encoding of the coarsest, the only
            one that is read; height and width of each level.
        """
        model = self._model
        maps = [level.to(self._device) for level in embedding.features]
        if self._autocast_dtype is None:
            maps = [level.to(torch.float32) for level in maps]
        if model.directly_add_no_mem_embed:
            plain = maps[-1].float() - model.no_mem_embed.view(1, -1, 1, 1)
            maps[-1] = plain.to(maps[-1].dtype)
        positions = model.image_encoder.neck.position_encoding(maps[-1]).to(maps[-1].dtype)
        features = [_flat(level) for level in maps]
        return features, [_flat(positions)], [(int(level.shape[-2]), int(level.shape[-1])) for level in maps]

    def _entry(
        self,
        features: list[torch.Tensor],
        sizes: list[tuple[int, int]],
        full: torch.Tensor,
        present: torch.Tensor,
        pointer: torch.Tensor,
        *,
        given: bool,
    ) -> Entry:
        """A frame's memory; the spatial one in bfloat16, as the predictor keeps it."""
        spatial, positions = self._model._encode_new_memory(features, sizes, full, present, is_mask_from_pts=given)
        return {SPATIAL: spatial.to(torch.bfloat16), POSITIONS: positions, POINTER: pointer}


def _flat(level: torch.Tensor) -> torch.Tensor:
    """``(1, C, h, w)`` to ``(h * w, 1, C)``."""
    return level.flatten(2).permute(2, 0, 1)
