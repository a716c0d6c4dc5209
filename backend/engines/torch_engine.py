"""SAM 2 in PyTorch, built on the model's own parts.

`SAM2ImagePredictor` is not used: it needs torchvision, keeps the image as state between calls, and enlarges
every candidate. This does the same arithmetic without state; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backend.engines import packing
from backend.engines.cuda_graphs import Capture, Function, Recorded
from backend.engines.inputs import PromptArrays, model_input, prompt_arrays
from backend.engines.out_of_memory import translated
from backend.engines.tensor_segmenter import TensorSegmenter
from backend.engines.torch_model import build_model, computing, feature_shapes, image_features
from backend.engines.torch_tracker import TorchTracker
from backend.segmenter import Candidates, Embedding, Image, Prompts

# Points, a box counting as two, for which the decoder is recorded on CUDA; more are decoded without a recording.
RECORDED_POINTS = 8
# Prompts in one run of the decoder: few sizes, so that a recording of each serves any number of clicks.
PIECES = (8, 4, 2, 1)
# What is recorded for the larger pieces: points (a box counting as two), with a mask to start from or without.
RECORDED_TOGETHER = ((1, False), (2, False), (2, True))


class TorchSegmenter(TensorSegmenter):
    """A SAM 2 model behind one lock."""

    def __init__(self, model: Any, autocast_dtype: torch.dtype | None, engine_note: str = "") -> None:
        """
        Args:
            model: a `SAM2Base` (the package has no types) in evaluation mode, on its device.
            autocast_dtype: None computes in the weights' own precision.
            engine_note: why it is this engine, for people, where another was to be expected.
        """
        dtype = autocast_dtype or torch.float32
        layout = packing.Layout(f"torch-{str(dtype).removeprefix('torch.')}", feature_shapes(model), dtype)
        super().__init__(int(model.image_size), model.sam_prompt_encoder.mask_input_size, layout)
        self.engine_note = engine_note
        self.decode_at_once = 1
        self._model = model
        self._device: torch.device = next(model.parameters()).device
        if self._device.type == "cuda":
            self.decode_at_once = PIECES[0]  # a GPU is idle for most of a single click
        self._autocast_dtype = autocast_dtype
        with torch.inference_mode():
            self._positions: torch.Tensor = model.sam_prompt_encoder.get_dense_pe()
        self._encoder: Function = self._encode_tensors
        self._decoders: dict[bool, Function] = {
            several: partial(self._decode_tensors, several=several) for several in (False, True)
        }

    @property
    def device(self) -> str:
        """Where it runs: `cpu`, `cuda:0`."""
        return str(self._device)

    def encode_batch(self, batch: Sequence[Image]) -> list[Embedding]:
        """Encode several images of any sizes in one run of the encoder."""
        images = model_input(batch, self._side)
        if not images:
            return []
        with translated(self.device, "encoding"), self._lock, self._computing():
            # Put together on the device: on the host, eight images would be copied once more, a hundred megabytes.
            maps = self._encoder(torch.cat([self._tensor(one.values[None]) for one in images]))
            # A copy each: a slice would keep the memory of the whole batch alive, and a layout that a file does not
            # keep would make what is read from it answer with other last digits.
            features = [
                tuple(level[index : index + 1].clone(memory_format=torch.contiguous_format) for level in maps)
                for index in range(len(images))
            ]
        return [Embedding(one.size_wh, levels) for one, levels in zip(images, features, strict=True)]

    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        """Answer prompts of one image or of several, in as few runs of the decoder as their numbers of points allow.

        Prompts of other numbers are not padded to one: see `cuda_graphs`.

        Raises:
            ValueError: prompts name no object, or their mask has another size than the logits of this model.
        """
        arrays = [prompt_arrays(one.size_wh, prompts, self._side, self._mask_hw) for one, prompts in asked]
        found: dict[int, Candidates] = {}
        with translated(self.device, "decoding"), self._lock, self._computing():
            for piece in pieces(arrays):
                several = asked[piece[0]][1].is_lone_point
                features = _together([asked[index][0].features for index in piece])
                logits, iou = self._decoders[several](*features, *self._inputs([arrays[index] for index in piece]))
                answers = zip(logits.cpu().numpy(), iou.cpu().numpy(), strict=True)
                found |= {index: Candidates(*answer) for index, answer in zip(piece, answers, strict=True)}
        return [found[index] for index in range(len(asked))]

    def track(self, frames: int, *, backward: bool = False) -> TorchTracker:
        """Begin to follow objects through a sequence of so many frames.

        Raises:
            ModelError: the model has no memory.
        """
        return TorchTracker(self._model, self._autocast_dtype, self._lock, frames, backward=backward)

    def unpack(self, data: bytes) -> Embedding:
        """Read what `pack` wrote, onto the model's device."""
        embedding = super().unpack(data)
        with translated(self.device, "an embedding"):
            return Embedding(embedding.size_wh, tuple(level.to(self._device) for level in embedding.features))

    def free_memory(self) -> None:
        """Give back what CUDA's allocator keeps for later; the CPU's keeps nothing."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def record_graphs(self, capture: Capture) -> None:
        """Replay recorded graphs from now on: for one image, and for each number of points that is common.

        Raises:
            OutOfMemory: the device has no room for them.
        """
        encoder = Recorded(self._encode_tensors, capture)
        decoders = {several: Recorded(self._decoders[several], capture) for several in (False, True)}
        features = [torch.zeros(shape, dtype=self._layout.dtype, device=self._device) for shape in self._layout.shapes]
        mask = torch.zeros((1, 1, *self._mask_hw), device=self._device)
        with translated(self.device, "recording the graphs"), self._lock, self._computing():
            encoder.record(torch.zeros((1, 3, self._side, self._side), device=self._device))
            for count in range(1, RECORDED_POINTS + 1):
                coordinates = torch.zeros((1, count, 2), device=self._device)
                labels = torch.ones((1, count), dtype=torch.int32, device=self._device)
                decoders[count == 1].record(*features, coordinates, labels)
                decoders[False].record(*features, coordinates, labels, mask)
            for size in PIECES[:-1]:
                many = [level.repeat(size, 1, 1, 1) for level in features]
                for count, with_mask in RECORDED_TOGETHER:
                    coordinates = torch.zeros((size, count, 2), device=self._device)
                    labels = torch.ones((size, count), dtype=torch.int32, device=self._device)
                    start = [mask.repeat(size, 1, 1, 1)] if with_mask else []
                    decoders[count == 1].record(*many, coordinates, labels, *start)
        self._encoder, self._decoders = encoder, dict(decoders)

    def _encode_tensors(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(level.to(self._layout.dtype) for level in image_features(self._model, batch))

    def _decode_tensors(self, *tensors: torch.Tensor, several: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Features, coordinates, labels, and a mask or none, to ``(B, C, h, w)`` logits and ``(B, C)`` scores.

        As `SAM2ImagePredictor._predict`; what is the same for every prompt is kept instead of made again.
        """
        levels = len(self._layout.shapes)
        *details, image = tensors[:levels]
        coordinates, labels, *masks = tensors[levels:]
        prompt_encoder = self._model.sam_prompt_encoder
        # Outside of autocast: a position in bfloat16 would be off by several pixels.
        with torch.autocast(self._device.type, enabled=False):
            sparse, dense = prompt_encoder(points=(coordinates, labels), boxes=None, masks=masks[0] if masks else None)
        logits, iou, _, _ = self._model.sam_mask_decoder(
            image_embeddings=image,
            image_pe=self._positions,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            repeat_image=False,
            high_res_features=details,
        )
        return logits.float(), iou.float()

    def _inputs(self, arrays: Sequence[PromptArrays]) -> list[torch.Tensor]:
        """Coordinates and labels of prompts that are alike, and their masks where they have some."""
        coordinates = np.concatenate([one.coordinates for one in arrays])
        labels = np.concatenate([one.labels for one in arrays])
        masks = [one.mask for one in arrays if one.mask is not None]
        found: list[NDArray[Any]] = [coordinates, labels, *([np.concatenate(masks)] if masks else [])]
        return [self._tensor(array) for array in found]

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)

    def _computing(self) -> AbstractContextManager[None]:
        return computing(self._device, self._autocast_dtype)

    def _preprocess(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """To ``(1, 3, S, S)`` float32, as `SAM2Transforms` does."""
        return self._tensor(model_input([pixels], self._side)[0].values[None])


def pieces(arrays: Sequence[PromptArrays]) -> Iterator[list[int]]:
    """Which prompts make one run: those with as many points and with a mask or none, in the sizes of `PIECES`."""
    alike: dict[tuple[int, bool], list[int]] = {}
    for index, one in enumerate(arrays):
        alike.setdefault((one.labels.shape[1], one.mask is not None), []).append(index)
    for left in alike.values():
        while left:
            size = next(size for size in PIECES if size <= len(left))
            yield left[:size]
            del left[:size]


def _together(features: Sequence[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
    """Features of several images with the images in front; of one image, without a copy of it."""
    first = features[0]
    if all(one is first for one in features):
        return [level.expand(len(features), -1, -1, -1) for level in first]
    return [torch.cat(levels) for levels in zip(*features, strict=True)]


def build(
    config: Path,
    checkpoint: Path | None,
    device: torch.device,
    autocast_dtype: torch.dtype | None,
    engine_note: str = "",
) -> TorchSegmenter:
    """Build the model from any YAML file, see `torch_model.build_model`.

    Raises:
        ModelError: the YAML or the weights cannot be used.
    """
    return TorchSegmenter(build_model(config, checkpoint, device), autocast_dtype, engine_note)
