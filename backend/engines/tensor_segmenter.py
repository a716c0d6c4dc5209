"""What the engines share: the features of an embedding are tensors, and a file keeps them as they are."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from backend.engines import packing
from backend.engines.inputs import prepared
from backend.picture import Picture
from backend.segmenter import Candidates, Embedding, Image, Prepared, Prompts, Tracker


class TensorSegmenter(ABC):
    """A model behind one lock; see `backend.segmenter.Segmenter`."""

    engine_note = ""
    decode_at_once = 1  # every core works on one set of prompts already

    def __init__(self, side: int, mask_hw: Sequence[int], layout: packing.Layout) -> None:
        """
        Args:
            side: of the model's square input, in pixels.
            mask_hw: height and width of a mask that it starts from.
            layout: of its embeddings.
        """
        height, width = mask_hw
        self._side = side
        self._mask_hw = (int(height), int(width))
        self._layout = layout
        self._lock = threading.Lock()

    @property
    def input_side(self) -> int:
        """Side in pixels of the model's square input."""
        return self._side

    @property
    def engine(self) -> str:
        """The library and the precision: `torch-bfloat16`, `openvino-float32`."""
        return self._layout.engine

    def prepare(self, picture: Picture) -> Prepared:
        """Make a picture ready to be encoded, in the caller's thread."""
        return prepared(picture, self._side)

    def encode(self, image: Image) -> Embedding:
        """Encode an image: one that is prepared, or ``(H, W, 3)`` uint8, RGB, upright."""
        return self.encode_batch([image])[0]

    @abstractmethod
    def encode_batch(self, batch: Sequence[Image]) -> list[Embedding]:
        """Encode several images of any sizes."""

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """Answer the prompts: three candidates for a lone point, else one.

        Raises:
            ValueError: the prompts name no object, or their mask has another size than the logits of this model.
        """
        return self.decode_batch([(embedding, prompts)])[0]

    @abstractmethod
    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        """Answer prompts of one image or of several, each as `decode` does."""

    @abstractmethod
    def track(self, frames: int, *, backward: bool = False) -> Tracker:
        """Begin to follow objects through a sequence of so many frames."""

    def size_of(self, embedding: Embedding) -> int:
        """The memory that an embedding holds, in bytes."""
        return packing.size_of(embedding.features)

    def pack(self, embedding: Embedding) -> bytes:
        """Serialise an embedding for a file."""
        return packing.pack(embedding, self._layout)

    def unpack(self, data: bytes) -> Embedding:
        """Read what `pack` wrote.

        Raises:
            ValueError: it is something else, or of another engine or model.
        """
        return packing.unpack(data, self._layout)
