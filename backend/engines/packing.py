"""An embedding as bytes: safetensors, with a header that says what made it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from backend.segmenter import Embedding

FORMAT = "labelrig-embedding-1"
LENGTH_BYTES = 8  # of the header, little endian, as safetensors begins


@dataclass(frozen=True)
class Layout:
    """What the embeddings of one engine look like.

    Attributes:
        engine: the engine's name, precision included.
        shapes: of the features, in their order.
        dtype: of the features.
    """

    engine: str
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype

    def header(self, size_wh: tuple[int, int]) -> dict[str, str]:
        """The metadata of a file; safetensors takes strings only."""
        return {
            "format": FORMAT,
            "engine": self.engine,
            "shapes": json.dumps(self.shapes),
            "size_wh": json.dumps(size_wh),
        }


def pack(embedding: Embedding, layout: Layout) -> bytes:
    """Serialise an embedding whose features are tensors."""
    tensors = {str(index): level.detach().cpu().contiguous() for index, level in enumerate(embedding.features)}
    return save(tensors, metadata=layout.header(embedding.size_wh))


def unpack(data: bytes, layout: Layout) -> Embedding:
    """Read what `pack` wrote; the features lie in host memory.

    Raises:
        ValueError: it is something else, torn, or of another engine or model.
    """
    size_wh = _size_wh(_metadata(data), layout)
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ValueError(f"embedding: not readable ({error})") from error
    levels = tuple(tensors.get(str(index)) for index in range(len(tensors)))
    features = tuple(level for level in levels if level is not None)
    seen = [(tuple(level.shape), level.dtype) for level in features]
    if seen != [(shape, layout.dtype) for shape in layout.shapes]:
        raise ValueError(f"embedding: expected {layout.shapes} {layout.dtype}, got {seen}")
    return Embedding(size_wh, features)


def size_of(features: Sequence[torch.Tensor]) -> int:
    """The memory that they hold, in bytes: whole storages, each once."""
    storages = {level.untyped_storage().data_ptr(): level.untyped_storage().nbytes() for level in features}
    return sum(storages.values())


def _metadata(data: bytes) -> dict[str, str]:
    """The string map in a safetensors header, which the library itself reads from files only."""
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if len(data) < LENGTH_BYTES or length > len(data) - LENGTH_BYTES:
        raise ValueError(f"embedding: {len(data)} bytes are no safetensors file")
    try:
        header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])
    except ValueError as error:
        raise ValueError("embedding: the header is not JSON") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError("embedding: the header has no metadata")
    return metadata


def _size_wh(metadata: dict[str, str], layout: Layout) -> tuple[int, int]:
    try:
        width, height = json.loads(metadata.get("size_wh", ""))
    except (TypeError, ValueError) as error:
        raise ValueError("embedding: the header names no image size") from error
    if type(width) is not int or type(height) is not int or width < 1 or height < 1:
        raise ValueError(f"embedding: expected a size in pixels, got {width} x {height}")
    expected = layout.header((width, height))
    wrong = sorted(key for key, value in expected.items() if metadata.get(key) != value)
    if wrong:
        raise ValueError(
            f"embedding: made by something else ({wrong[0]}: expected {expected[wrong[0]]}, "
            f"got {metadata.get(wrong[0])})"
        )
    return width, height
