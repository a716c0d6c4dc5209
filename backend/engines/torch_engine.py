"""SAM 2 in PyTorch, built on the model's own parts.

`SAM2ImagePredictor` is not used: it needs torchvision, keeps the image as state between calls, and enlarges
every candidate. This does the same arithmetic without state; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backend.engines import packing
from backend.engines.cuda_graphs import Capture, Function, Recorded
from backend.engines.inputs import POSITIVE, model_input, prompt_arrays
from backend.engines.out_of_memory import translated
from backend.engines.tensor_segmenter import TensorSegmenter
from backend.engines.torch_model import build_model, computing, feature_shapes, image_features
from backend.engines.torch_tracker import TorchTracker
from backend.segmenter import Candidates, Embedding, Image, Prompts

# Points, a box counting as two, for which the decoder is recorded on CUDA; more are decoded without a recording.
RECORDED_POINTS = 8


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
        self._model = model
        self._device: torch.device = next(model.parameters()).device
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
            maps = self._encoder(self._tensor(np.stack([one.values for one in images])))
            # A copy each: a slice would keep the memory of the whole batch alive, and a layout that a file does not
            # keep would make what is read from it answer with other last digits.
            features = [
                tuple(level[index : index + 1].clone(memory_format=torch.contiguous_format) for level in maps)
                for index in range(len(images))
            ]
        return [Embedding(one.size_wh, levels) for one, levels in zip(images, features, strict=True)]

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """Answer the prompts: three candidates for a lone point, else one.

        Raises:
            ValueError: the prompts name no object, or their mask has another size than the logits of this model.
        """
        arrays = prompt_arrays(embedding.size_wh, prompts, self._side, self._mask_hw)
        decoder = self._decoders[prompts.is_lone_point]
        inputs = [
            self._tensor(array) for array in (arrays.coordinates, arrays.labels, arrays.mask) if array is not None
        ]
        with translated(self.device, "decoding"), self._lock, self._computing():
            logits, iou = decoder(*embedding.features, *inputs)
            return Candidates(logits[0].cpu().numpy(), iou[0].cpu().numpy())

    def track(self, frames: int, *, backward: bool = False) -> TorchTracker:
        """Begin to follow objects through a sequence of so many frames.

        Raises:
            ModelError: the model has no memory.
        """
        return TorchTracker(self._model, self._autocast_dtype, self._lock, frames, backward=backward)

    def decode_points(self, embedding: Embedding, points_xy: NDArray[np.float32]) -> list[Candidates]:
        """Three candidates for each of ``(N, 2)`` points, in one run of the decoder."""
        scaled = points_xy / np.asarray(embedding.size_wh, dtype=np.float32) * self._side
        with translated(self.device, "decoding"), self._lock, self._computing():
            coordinates = self._tensor(scaled[:, None].astype(np.float32))
            labels = self._tensor(np.full((len(scaled), 1), POSITIVE, dtype=np.int32))
            logits, iou = self._decode_tensors(*embedding.features, coordinates, labels, several=True)
            return [Candidates(*one) for one in zip(logits.cpu().numpy(), iou.cpu().numpy(), strict=True)]

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
        self._encoder, self._decoders = encoder, dict(decoders)

    def _encode_tensors(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(level.to(self._layout.dtype) for level in image_features(self._model, batch))

    def _decode_tensors(self, *tensors: torch.Tensor, several: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of one image, coordinates, labels, a mask or none, to ``(B, C, h, w)`` logits and ``(B, C)`` scores.

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
            repeat_image=coordinates.shape[0] > 1,
            high_res_features=details,
        )
        return logits.float(), iou.float()

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)

    def _computing(self) -> AbstractContextManager[None]:
        return computing(self._device, self._autocast_dtype)

    def _preprocess(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """To ``(1, 3, S, S)`` float32, as `SAM2Transforms` does."""
        return self._tensor(model_input([pixels], self._side)[0].values[None])


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
