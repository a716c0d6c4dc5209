"""A segmenter without a model, at the seam `backend.segmenter.Segmenter`, and the pieces around it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from backend import __version__
from backend.picture import Picture
from backend.segmenter import Candidates, Embedding, Image, Prepared, Prompts, Tracked
from backend.weights.catalog import ModelFiles

SIDE = 64
MODEL = ModelFiles("demo", Path("x.yaml"), Path("x.pt"), "0123456789abcdef" * 4, known=False)
VERSION = f"demo@01234567+{__version__}"  # of that model, as Label Studio is told

V1 = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Person"/><Label value="Boat"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true">
    <Label value="Person"/><Label value="Boat"/></KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true">
    <Label value="Person"/><Label value="Boat"/></RectangleLabels>
</View>"""

V2 = """<View>
  <Image name="image" value="$image"/>
  <Labels name="label" toName="image"><Label value="Person"/><Label value="Boat"/></Labels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <Rectangle name="box" toName="image" smart="true"/>
  <Brush name="brush" toName="image" smart="false"/>
</View>"""


class FakeTracker:
    """Objects stay where they were given last; on the frames of `absent` none is there, and those of `unsure` have a
    low score. `discarded` says what was.
    """

    def __init__(self, frames: int, absent: frozenset[int], unsure: frozenset[int] = frozenset()) -> None:
        self._frames = frames
        self._absent = absent
        self._unsure = unsure
        self._masks: dict[str, NDArray[np.bool_]] = {}
        self.discarded: list[tuple[str, int]] = []

    def anchor(self, object_id: str, frame: int, embedding: Embedding, mask: NDArray[np.bool_]) -> None:
        self._check(frame)
        if mask.ndim != 2:
            raise ValueError(f"mask: expected shape (H, W), got {mask.shape}")
        rows, columns = (np.arange(SIDE) * length // SIDE for length in mask.shape)
        self._masks[object_id] = mask[np.ix_(rows, columns)]

    def step(self, object_id: str, frame: int, embedding: Embedding) -> Tracked:
        self._check(frame)
        if object_id not in self._masks:
            raise ValueError(f"object {object_id!r} has no anchor before frame {frame}")
        if frame in self._absent:
            return Tracked(np.full((SIDE, SIDE), -1024, np.float32), 0.25, 0.125)
        score = 0.25 if frame in self._unsure else 0.75
        return Tracked(np.where(self._masks[object_id], 4.0, -4.0).astype(np.float32), score, 0.875)

    def discard(self, object_id: str, frame: int) -> None:
        self._check(frame)
        if object_id not in self._masks:
            raise ValueError(f"object {object_id!r} was not followed into frame {frame}")
        self.discarded.append((object_id, frame))

    def forget(self, object_id: str) -> None:
        self._masks.pop(object_id, None)

    def _check(self, frame: int) -> None:
        if not 0 <= frame < self._frames:
            raise ValueError(f"frame: expected 0 to {self._frames - 1}, got {frame}")


class FakeSegmenter:
    """Answers with a box, or with squares around the positive points; a lone point has three candidates."""

    device = "fake"
    engine = "fake-float32"
    engine_note = ""
    input_side = 4 * SIDE
    decode_at_once = 1

    def __init__(self) -> None:
        self.encoded: list[NDArray[np.uint8]] = []
        self.decoded: list[Prompts] = []
        self.batches: list[int] = []  # prompts that were decoded together
        self.gate: threading.Event | None = None
        self.freed = 0
        self.absent: frozenset[int] = frozenset()
        self.unsure: frozenset[int] = frozenset()
        self.trackers: list[FakeTracker] = []

    def track(self, frames: int, *, backward: bool = False) -> FakeTracker:
        self.trackers.append(FakeTracker(frames, self.absent, self.unsure))
        return self.trackers[-1]

    def prepare(self, picture: Picture) -> Prepared:
        return Prepared(picture.size_wh, picture.piece((0, 0, *picture.size_wh)))

    def encode(self, image: Image) -> Embedding:
        pixels = image.values if isinstance(image, Prepared) else image
        if self.gate is not None:
            assert self.gate.wait(30)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"pixels: expected (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
        self.encoded.append(pixels)
        return Embedding((pixels.shape[1], pixels.shape[0]), ())

    def encode_batch(self, batch: Sequence[Image]) -> list[Embedding]:
        return [self.encode(image) for image in batch]

    def size_of(self, embedding: Embedding) -> int:
        return 1000

    def pack(self, embedding: Embedding) -> bytes:
        return json.dumps(embedding.size_wh).encode()

    def unpack(self, data: bytes) -> Embedding:
        width, height = json.loads(data)
        return Embedding((width, height), ())

    def free_memory(self) -> None:
        self.freed += 1

    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        self.batches.append(len(asked))
        return [self.decode(embedding, prompts) for embedding, prompts in asked]

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        if not prompts.names_an_object:
            raise ValueError("prompts: expected a box or a positive point, got none")
        if prompts.mask_logits is not None and prompts.mask_logits.shape != (SIDE, SIDE):
            raise ValueError(f"mask_logits: expected shape {(SIDE, SIDE)}, got {prompts.mask_logits.shape}")
        self.decoded.append(prompts)
        scale = SIDE / np.asarray(embedding.size_wh)
        inside = np.zeros((SIDE, SIDE), dtype=bool)
        if prompts.box_xyxy is not None:
            x0, y0, x1, y1 = np.rint(prompts.box_xyxy * np.tile(scale, 2)).astype(int)
            inside[y0:y1, x0:x1] = True
        drawn = zip(prompts.points_xy * scale, prompts.is_positive, strict=True)
        for (x, y), positive in sorted(drawn, key=lambda one: not one[1]):  # a negative point takes away
            rows = slice(max(0, int(y) - 8), int(y) + 8)
            inside[rows, max(0, int(x) - 8) : int(x) + 8] = positive
        one = np.where(inside, 4.0, -4.0).astype(np.float32)
        if not prompts.is_lone_point:
            return Candidates(one[None], np.asarray([0.75], dtype=np.float32))
        nothing, everything = np.full_like(one, -4), np.full_like(one, 4)
        return Candidates(np.stack([nothing, one, everything]), np.asarray([0.25, 0.875, 0.5], dtype=np.float32))


def region(
    kind: str,
    x: float,
    y: float,
    *,
    label: str | None = "Person",
    size_wh: tuple[int, int] = (64, 48),
    id: str = "r1",
    positive: bool | None = None,
    **value: float,
) -> dict[str, object]:
    """One entry of `context.result`, as the editor sends it."""
    labels = {} if label is None else {"labels": [label]}
    if label is not None and kind.endswith("labels"):
        labels[kind] = [label]
    entry: dict[str, object] = {
        "original_width": size_wh[0],
        "original_height": size_wh[1],
        "image_rotation": 0,
        "value": {"x": x, "y": y, **value, **labels},
        "id": id,
        "from_name": {"k": "point", "r": "box"}.get(kind[0], "label"),
        "to_name": "image",
        "type": kind,
        "origin": "manual",
    }
    if positive is not None:
        entry["is_positive"] = positive
    return entry


def click(*regions: dict[str, object], config: str = V1, image: str = "set/a.png") -> dict[str, object]:
    """Body of an interactive `POST /predict`."""
    return {
        "tasks": [
            {
                "id": 17,
                "data": {"image": f"/data/local-files/?d={quote(image)}"},
                "meta": {},
                "project": 3,
                "annotations": [{"id": 1, "result": [{"value": {"rle": [1, 2, 3]}}]}],
                "drafts": [],
                "predictions": [],
            }
        ],
        "project": "3.1767225600",
        "label_config": config,
        "params": {"login": None, "password": None, "context": {"result": list(regions)}},
    }
