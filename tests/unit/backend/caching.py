"""What the tests of the caches share: an encoder that can be held, and images as files."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.errors import ImageError
from backend.images.image_store import ImageInfo
from backend.picture import Picture
from backend.segmenter import Candidates, Embedding, Prepared, Prompts
from backend.sources.source_file import SourceFile

WAIT = 30.0  # a test that waits so long has failed
EMBEDDING_BYTES = 1000


class Encoder:
    """A segmenter whose embedding is the mean of the image. It can be held at `gate`, and made to fail."""

    device = "fake"
    decode_at_once = 1

    def __init__(self, engine: str = "fake-float32") -> None:
        self.engine = engine
        self.encoded: list[float] = []
        self.batches: list[int] = []
        self.freed = 0
        self.errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Semaphore(0)  # one for each encoder run

    def prepare(self, picture: Picture) -> Prepared:
        return Prepared(picture.size_wh, picture.piece((0, 0, *picture.size_wh)))

    def encode(self, image: Prepared | NDArray[np.uint8]) -> Embedding:
        pixels = image.values if isinstance(image, Prepared) else image
        self.began.release()
        assert self.gate.wait(WAIT)
        if self.errors:
            raise self.errors.pop(0)
        self.encoded.append(float(pixels.mean()))
        return Embedding((pixels.shape[1], pixels.shape[0]), (float(pixels.mean()),))

    def encode_batch(self, batch: Sequence[Prepared | NDArray[np.uint8]]) -> list[Embedding]:
        self.batches.append(len(batch))
        return [self.encode(image) for image in batch]

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        raise AssertionError("a cache never decodes")

    def decode_batch(self, asked: Sequence[tuple[Embedding, Prompts]]) -> list[Candidates]:
        raise AssertionError("a cache never decodes")

    def size_of(self, embedding: Embedding) -> int:
        return EMBEDDING_BYTES

    def pack(self, embedding: Embedding) -> bytes:
        return struct.pack("<4sIId", b"MEAN", *embedding.size_wh, *embedding.features)

    def unpack(self, data: bytes) -> Embedding:
        if len(data) != struct.calcsize("<4sIId") or data[:4] != b"MEAN":
            raise ValueError("not of this model")
        _, width, height, mean = struct.unpack("<4sIId", data)
        return Embedding((width, height), (mean,))

    def free_memory(self) -> None:
        self.freed += 1

    def hold(self) -> None:
        """Let encoder runs begin, but not end, until `gate` is set."""
        self.gate.clear()

    def wait_until_begun(self) -> None:
        assert self.began.acquire(timeout=WAIT)


def info(number: int = 0) -> ImageInfo:
    return ImageInfo(f"{number:064x}", (8, 6))


def pixels(value: int = 7) -> NDArray[np.uint8]:
    return np.full((6, 8, 3), value, dtype=np.uint8)


def soon() -> float:
    """A deadline that a working test never reaches."""
    return time.monotonic() + WAIT


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does and tells nobody."""
    limit = soon()
    while not condition():
        assert time.monotonic() < limit, "did not happen"
        threading.Event().wait(0.002)


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Results of calls that begin at the same moment, in threads; what a call raises is its result."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait(WAIT)
        return call(number)

    with ThreadPoolExecutor(count) as threads:
        calls = [threads.submit(one, number) for number in range(count)]
        return [one.exception() or one.result() for one in calls]


class Folder:
    """Images as files, opened as `ImageSources.open` does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened: list[str] = []

    def draw(self, name: str, value: int) -> str:
        """An 8x6 image of one grey; returns its URL."""
        Image.fromarray(pixels(value)).save(self.path / name)
        return name

    def file(self, name: str) -> SourceFile:
        status = (self.path / name).stat()
        return SourceFile(self.path / name, name, f"{name}:{status.st_size}:{status.st_mtime_ns}")

    def open(self, url: str, task_id: str | None, deadline: float) -> SourceFile:
        self.opened.append(url)
        if not (self.path / url).exists():
            raise ImageError(f"the image {url!r} is not there")
        return self.file(url)
