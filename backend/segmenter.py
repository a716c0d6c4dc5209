"""What the rest of the backend knows of a segmentation model: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backend.picture import Picture


@dataclass(frozen=True)
class Prompts:
    """What the annotator said about one object.

    Attributes:
        points_xy: ``(N, 2)`` float32, columns ``x, y`` in pixels of the upright image, origin top left.
        is_positive: ``(N,)`` bool, True where the point lies on the object.
        box_xyxy: ``(4,)`` float32, left, top, right, bottom in the same pixels; None without a box.
        mask_logits: ``(h, w)`` float32, a mask to start from, as `Candidates.logits` of the same model and image
            gave it; None starts from nothing.
    """

    points_xy: NDArray[np.float32]
    is_positive: NDArray[np.bool_]
    box_xyxy: NDArray[np.float32] | None = None
    mask_logits: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.points_xy.ndim != 2 or self.points_xy.shape[1] != 2:
            raise ValueError(f"points_xy: expected shape (N, 2), got {self.points_xy.shape}")
        if self.is_positive.shape != (len(self.points_xy),):
            raise ValueError(f"is_positive: expected shape ({len(self.points_xy)},), got {self.is_positive.shape}")
        if self.box_xyxy is not None and self.box_xyxy.shape != (4,):
            raise ValueError(f"box_xyxy: expected shape (4,), got {self.box_xyxy.shape}")
        if self.mask_logits is not None and self.mask_logits.ndim != 2:
            raise ValueError(f"mask_logits: expected shape (h, w), got {self.mask_logits.shape}")

    @property
    def names_an_object(self) -> bool:
        """False when there are only negative points: nothing to segment."""
        return self.box_xyxy is not None or bool(self.is_positive.any())

    @property
    def is_lone_point(self) -> bool:
        """One point and nothing else: the one prompt that may mean a part or the whole of a thing."""
        return self.box_xyxy is None and self.mask_logits is None and len(self.points_xy) == 1


@dataclass(frozen=True)
class Prepared:
    """A picture made ready for the encoder: of one size, however large the picture is.

    Attributes:
        size_wh: width and height in pixels of the picture.
        values: the encoder's input; only the engine that made it can read it.
    """

    size_wh: tuple[int, int]
    values: NDArray[Any]


@dataclass(frozen=True)
class Embedding:
    """An image as the model sees it.

    Attributes:
        size_wh: width and height in pixels of the image that was encoded; prompts are in these pixels.
        features: what the engine needs to decode; only the engine that made it can read it.
    """

    size_wh: tuple[int, int]
    features: tuple[Any, ...]


@dataclass(frozen=True)
class Candidates:
    """The masks that a model offers for one set of prompts.

    Attributes:
        logits: ``(C, h, w)`` float32 at the model's own low resolution, stretched over the whole image;
            above 0 is object.
        iou: ``(C,)`` float32, the model's own estimate of each mask's overlap with the truth, 0 to 1.
    """

    logits: NDArray[np.float32]
    iou: NDArray[np.float32]


@dataclass(frozen=True)
class Tracked:
    """One object's mask on one frame of a sequence.

    Attributes:
        logits: ``(h, w)`` float32 at the model's own low resolution, stretched over the whole frame; above 0 is
            object. All are negative where the object is absent.
        score: the model's own estimate of the mask's overlap with the truth, 0 to 1.
        presence: the model's own estimate that the object is in the frame at all, 0 to 1; below 0.5 it is absent.
    """

    logits: NDArray[np.float32]
    score: float
    presence: float


class Tracker(Protocol):
    """Follows objects through the frames of one sequence, in one direction. For one caller at a time.

    An object's memory holds its anchors and the last frames; what is no longer read is let go, so it stays of one
    size however long the sequence is. Every method that computes raises `backend.errors.OutOfMemory` when the
    device's memory does not suffice; the memory is then as it was before the call.
    """

    def anchor(self, object_id: str, frame: int, embedding: Embedding, mask: NDArray[np.bool_]) -> None:
        """Give an object's mask on a frame, before the first `step` that is to know it.

        Args:
            object_id: the object; a new one begins its track.
            frame: number of the frame in the sequence, from 0.
            embedding: of the frame.
            mask: ``(H, W)`` bool, of any size, stretched over the whole frame.

        Raises:
            ValueError: there is no such frame, or the mask has no two dimensions.
        """

    def step(self, object_id: str, frame: int, embedding: Embedding) -> Tracked:
        """Follow an object into a frame that is not an anchor of it, and remember its mask there.

        Raises:
            ValueError: there is no such frame, or the object has no anchor before it in the direction of the track.
        """

    def discard(self, object_id: str, frame: int) -> None:
        """Remember nothing of a frame that the object was followed into: what was found there is not believed.

        Raises:
            ValueError: the object was not followed into this frame.
        """

    def forget(self, object_id: str) -> None:
        """End an object's track and let go of its memory."""


Image = Prepared | NDArray[np.uint8]


class Segmenter(Protocol):
    """A model that encodes an image once and then answers prompts about it. Safe to call from threads.

    Every method that computes raises `backend.errors.OutOfMemory` when the device's memory does not suffice.
    """

    @property
    def device(self) -> str:
        """Where it runs, for people: `cpu`, `cuda:0`."""

    @property
    def engine(self) -> str:
        """What computes and how exactly, for people and as part of an embedding's key: `torch-float32`."""

    @property
    def engine_note(self) -> str:
        """Why not the engine that one would expect, a sentence; empty when there is nothing to say."""

    @property
    def input_side(self) -> int:
        """Side in pixels of the square that the model makes of every image."""

    def prepare(self, picture: Picture) -> Prepared:
        """Make a picture ready to be encoded. Needs no device: to be called before the encoder's turn comes."""

    def encode(self, image: Image) -> Embedding:
        """Encode an image: one that is prepared, or ``(H, W, 3)`` uint8, RGB, upright."""

    def encode_batch(self, batch: Sequence[Image]) -> list[Embedding]:
        """Encode several images of any sizes in one run of the encoder."""

    @property
    def decode_at_once(self) -> int:
        """How many prompts that wait are worth one call of `decode_batch`; 1 where one after the other is as fast."""

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """Answer the prompts: three candidates for a lone point, else one."""

    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        """Answer prompts of one image or of several, each as `decode` does, in their order.

        In few runs of the decoder where the engine gains by it.
        """

    def track(self, frames: int, *, backward: bool = False) -> Tracker:
        """Begin to follow objects through a sequence.

        Args:
            frames: how many there are in the sequence.
            backward: from later frames to earlier ones.

        Raises:
            ModelError: the model has no memory.
        """

    def size_of(self, embedding: Embedding) -> int:
        """The memory that an embedding holds, in bytes."""

    def pack(self, embedding: Embedding) -> bytes:
        """Serialise an embedding for a file."""

    def unpack(self, data: bytes) -> Embedding:
        """Read what `pack` wrote.

        Raises:
            ValueError: it is something else, or of another model.
        """

    def free_memory(self) -> None:
        """Give back what the device's allocator keeps for later; called after a failure for want of memory."""
