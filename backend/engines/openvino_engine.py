"""SAM 2 in OpenVINO, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from backend.engines import packing
from backend.engines.inputs import model_input, prompt_arrays
from backend.engines.openvino_decoder import FEW_TOKENS
from backend.engines.openvino_runtime import compile_options, has_bfloat16, load_openvino
from backend.engines.out_of_memory import translated
from backend.engines.tensor_segmenter import TensorSegmenter
from backend.engines.torch_model import without_encoder
from backend.engines.torch_tracker import TorchTracker
from backend.errors import ModelError
from backend.segmenter import Candidates, Embedding, Image, Prompts

# Positions of points need more than the 8 bits of bfloat16: a pixel of 1024 is 10.
EXACT = ("points", "mask")


class OpenVinoSegmenter(TensorSegmenter):
    """The graphs of `openvino_export`, compiled, behind one lock."""

    device = "cpu"

    def __init__(
        self,
        graphs: Mapping[str, Any],
        *,
        bfloat16: bool | None = None,
        build_model: Callable[[], Any] | None = None,
    ) -> None:
        """
        Args:
            graphs: `openvino.Model` by the names in `openvino_export.GRAPHS`.
            bfloat16: compute the image encoder and the decoder in it; None where the processor does.
            build_model: builds the `SAM2Base` that the graphs were made of, when its memory is first needed.

        Raises:
            ModelError: they cannot be compiled here.
        """
        core = load_openvino().Core()
        bfloat16 = has_bfloat16(core) if bfloat16 is None else bfloat16
        fast, exact = compile_options(bfloat16=bfloat16), compile_options(bfloat16=False)
        try:
            self._requests = {
                name: core.compile_model(graph, "CPU", exact if name in EXACT else fast).create_infer_request()
                for name, graph in graphs.items()
            }
        except RuntimeError as error:
            reason = next(iter(str(error).splitlines()), "no reason given")
            raise ModelError(f"OpenVINO cannot compile this model ({reason}); set SAM2_ENGINE=torch") from error
        layout = packing.Layout(
            "openvino-bfloat16" if bfloat16 else "openvino-float32",
            tuple(_channels_first([int(length) for length in output.shape]) for output in graphs["image"].outputs),
            torch.bfloat16 if bfloat16 else torch.float32,
        )
        super().__init__(int(graphs["image"].input(0).shape[2]), graphs["mask"].input(0).shape[2:], layout)
        self._build_model = build_model
        self._memory_model: Any = None
        self._building = threading.Lock()

    def encode_batch(self, batch: Sequence[Image]) -> list[Embedding]:
        """Encode several images of any sizes, one after the other: every core works on each already."""
        embeddings = []
        for image in model_input(batch, self._side):
            with translated(self.device, "encoding"), self._lock:
                maps = self._run("image", image.values[None])
                features = tuple(torch.from_numpy(level).to(self._layout.dtype).permute(0, 3, 1, 2) for level in maps)
            embeddings.append(Embedding(image.size_wh, features))
        return embeddings

    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        """Answer prompts one after the other."""
        return [self._decode(embedding, prompts) for embedding, prompts in asked]

    def _decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        arrays = prompt_arrays(embedding.size_wh, prompts, self._side, self._mask_hw)
        with translated(self.device, "decoding"), self._lock:
            sparse, dense = self._run("points", arrays.coordinates, arrays.labels)
            if arrays.mask is not None:
                (dense,) = self._run("mask", arrays.mask)
            features = (_array(level) for level in embedding.features)
            graph = "few-tokens" if sparse.shape[1] <= FEW_TOKENS else "decoder"
            several, several_iou, single, single_iou = self._run(graph, sparse, dense, *features)
        if prompts.is_lone_point:
            return Candidates(several[0], several_iou[0])
        return Candidates(single[0], single_iou[0])

    def track(self, frames: int, *, backward: bool = False) -> TorchTracker:
        """Begin to follow objects through a sequence of so many frames.

        The memory computes in torch, on the features that OpenVINO's encoder made: its attention is over as many
        tokens as there are memories, which graphs of fixed shapes do not have.

        Raises:
            ModelError: the model has no memory, or cannot be built.
        """
        if self._build_model is None:
            raise ModelError("this engine was made without a model for its memory: it cannot follow objects")
        with self._building:
            if self._memory_model is None:
                self._memory_model = without_encoder(self._build_model())
        return TorchTracker(self._memory_model, None, self._lock, frames, backward=backward)

    def unpack(self, data: bytes) -> Embedding:
        """Read what `pack` wrote; in memory it lies as `encode_batch` leaves it."""
        embedding = super().unpack(data)
        features = tuple(level.contiguous(memory_format=torch.channels_last) for level in embedding.features)
        return Embedding(embedding.size_wh, features)

    def free_memory(self) -> None:
        """Nothing to do: what OpenVINO keeps are the weights and the memory of one run."""

    def _run(self, name: str, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Outputs in the graph's order, copied: the next run overwrites the request's own."""
        results = self._requests[name].infer(dict(enumerate(inputs)), share_inputs=True)
        return [results[index] for index in range(len(results))]


def _channels_first(shape: Sequence[int]) -> tuple[int, ...]:
    """Of ``(1, h, w, C)``, as the graphs have it, to ``(1, C, h, w)``, as embeddings do."""
    count, height, width, channels = shape
    return (count, channels, height, width)


def _array(level: torch.Tensor) -> NDArray[Any]:
    """``(1, h, w, C)`` float32, a view where the engine computes in that: NumPy has no bfloat16."""
    array: NDArray[Any] = level.float().permute(0, 2, 3, 1).numpy()
    return array
