"""What the backend knows of images: digest and size for every click, pixels only for the encoder.

N clicks on one image are one hash and one decode. A warm click needs `describe` alone, which then is a lookup
and reads nothing.

The digest names the content in the embedding cache, so pixels must be those that were hashed. The file is read
once for the digest and once, from the system's cache, for the pixels; after the decode it must still carry the
stamp (inode, size, time of change) it had when it was hashed, else the pixels are refused.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.budget import MemoryBudget
from backend.caching.byte_lru import ByteLru
from backend.caching.single_flight import SingleFlight
from backend.errors import ImageError
from backend.images import images
from backend.images.images import DecodedPicture
from backend.picture import ArrayPicture, Picture
from backend.sources.source_file import SourceFile
from masks.pages import pages_of

KNOWN_IMAGES = 20_000  # a description is about 300 bytes
# SHA-256 rather than BLAKE2: processors of servers compute it in hardware (16 MiB: 12 ms against 31 ms measured).
DIGEST = "sha256"
PATIENCE_SECONDS = 90.0
KEPT_SHARE = 1 / 2  # of the memory for kept pixels, which one image may take,
KEPT_WORK_SHARE = 1 / 8  # and of the memory for work: as an array it takes nearly twice as much while it is decoded
T = TypeVar("T")
Read = Callable[[SourceFile, int, MemoryBudget | None, float | None], NDArray[np.uint8]]
SizeOf = Callable[[SourceFile, int, MemoryBudget | None, float | None], tuple[int, int]]


@dataclass(frozen=True)
class FileStamp:
    """Which state of a file was seen; another content without another stamp needs ill will."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """From `os.stat`."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class ImageInfo:
    """An image without its pixels.

    Attributes:
        digest: SHA-256 of the file's bytes, 64 hex digits; of a page that is not its first, of that and its place.
        size_wh: width and height in pixels, upright.
        pages: how many the file has, of which this is the first; see `masks.pages`.
        stamp: the file that was hashed; None is not checked.
    """

    digest: str
    size_wh: tuple[int, int]
    pages: int = field(default=1, compare=False)
    stamp: FileStamp | None = field(default=None, compare=False, repr=False)


class TaskImage(NamedTuple):
    """An image as a task names it."""

    url: str
    task_id: str | None = None


class ImageStore:
    """Descriptions by the file's identity, pixels by content. Safe to call from threads."""

    def __init__(
        self,
        pixel_limit: int,
        memory_bytes: int,
        read: Read | None = None,
        size_of: SizeOf | None = None,
        work: MemoryBudget | None = None,
    ) -> None:
        """
        Args:
            pixel_limit: larger images are refused.
            memory_bytes: for decoded pixels; 0 keeps none.
            read, size_of: of `backend.images.images`, unless a test brings its own.
            work: bounds the memory of all that is being decoded at once; None bounds nothing.
        """
        self._pixel_limit = pixel_limit
        self._read = read or images.read
        self._size_of = size_of or images.size_of
        self._work = work
        self._largest_kept = memory_bytes * KEPT_SHARE
        if work is not None:
            self._largest_kept = min(self._largest_kept, work.limit * KEPT_WORK_SHARE)
        self._infos: ByteLru[str, ImageInfo] = ByteLru(KNOWN_IMAGES)
        self._pixels: ByteLru[str, NDArray[np.uint8]] = ByteLru(memory_bytes)
        self._describing: SingleFlight[str, ImageInfo] = SingleFlight()
        self._decoding: SingleFlight[str, NDArray[np.uint8]] = SingleFlight()

    @property
    def memory_bytes(self) -> int:
        """What the decoded pixels hold now."""
        return self._pixels.held

    def describe(self, file: SourceFile, deadline: float | None = None) -> ImageInfo:
        """Digest and size of an image.

        Args:
            deadline: `time.monotonic` value until which to wait for another thread that reads the same file.

        Raises:
            ImageError: the file cannot be read, or is no image that is served.
            DeadlinePassed: the other thread took too long.
            Busy: other images took all the memory for too long.
        """
        known = self._infos.get(file.identity)
        if known is not None:
            return known
        return self._describing.run(
            file.identity, lambda: self._describe(file, deadline), _limit(deadline), f"reading the image {file.name!r}"
        )

    def use(
        self,
        file: SourceFile,
        info: ImageInfo,
        make: Callable[[Picture], T],
        deadline: float | None = None,
        *,
        keep: bool = True,
    ) -> T:
        """What is made of an image's pixels, which are there for as long as that takes.

        An image of usual size is kept decoded. A very large one is decoded each time and read piece by piece: all of
        its pixels as an array would take as much memory again.

        Args:
            make: gets the picture; what it returns must not refer to it.
            deadline, keep: as of `pixels`.

        Raises:
            ImageError, DeadlinePassed, Busy: as `pixels`.
        """
        if keep and images.CHANNELS * info.size_wh[0] * info.size_wh[1] <= self._largest_kept:
            return make(ArrayPicture(self.pixels(file, info, deadline)))
        with self.decoded(file, info, deadline) as picture:
            return make(picture)

    @contextmanager
    def decoded(self, file: SourceFile, info: ImageInfo, deadline: float | None = None) -> Iterator[DecodedPicture]:
        """An image that was described, decoded for as long as the context lasts; nothing of it is kept.

        Raises:
            ImageError, Busy: as `pixels`; at the end of the context too, where the file was exchanged meanwhile.
        """
        with images.decoded(file, self._pixel_limit, self._work, deadline) as picture:
            yield picture
        self._check(file, info)

    def pixels(
        self, file: SourceFile, info: ImageInfo, deadline: float | None = None, *, keep: bool = True
    ) -> NDArray[np.uint8]:
        """The pixels of an image that was described.

        Args:
            deadline: as of `describe`.
            keep: False leaves the memory to the images that are open.

        Returns:
            ``(H, W, 3)`` uint8, RGB, upright; shared, so it cannot be written to.

        Raises:
            ImageError: the file cannot be read, or is not the one that `info` describes any more.
            DeadlinePassed: another thread decodes it and took too long.
            Busy: other images took all the memory for too long.
        """
        known = self._pixels.get(info.digest)
        if known is not None:
            return known
        return self._decoding.run(
            info.digest, lambda: self._decode(file, info, deadline, keep), _limit(deadline),
            f"decoding the image {file.name!r}",
        )  # fmt: skip

    def _describe(self, file: SourceFile, deadline: float | None) -> ImageInfo:
        # Read again: another thread may have finished between our lookup and our turn.
        known = self._infos.get(file.identity)
        if known is not None:
            return known
        try:
            with file.path.open("rb", buffering=0) as handle:
                stamp = FileStamp.of(os.fstat(handle.fileno()))
                digest = hashlib.file_digest(handle, DIGEST).hexdigest()
                unchanged = FileStamp.of(os.fstat(handle.fileno())) == stamp
        except OSError as error:
            raise _unreadable(file, error) from error
        size_wh = self._size_of(file, self._pixel_limit, self._work, deadline)
        pages = pages_of(file.path)
        if pages.place:  # what was known of the file by its digest was of its first page
            digest = hashlib.new(DIGEST, f"{digest}:{pages.place}".encode()).hexdigest()
        if not unchanged or _stamp_of(file.path) != stamp:
            raise _changed(file)
        info = ImageInfo(digest, size_wh, pages.count, stamp)
        self._infos.put(file.identity, info, 1)
        return info

    def _decode(self, file: SourceFile, info: ImageInfo, deadline: float | None, keep: bool) -> NDArray[np.uint8]:
        known = self._pixels.get(info.digest)
        if known is not None:
            return known
        pixels = self._read(file, self._pixel_limit, self._work, deadline)
        self._check(file, info)
        pixels.flags.writeable = False
        if keep:
            self._pixels.put(info.digest, pixels, pixels.nbytes)
        return pixels

    def _check(self, file: SourceFile, info: ImageInfo) -> None:
        """
        Raises:
            ImageError: the file is not the one that was described any more.
        """
        if info.stamp is not None and _stamp_of(file.path) != info.stamp:
            self._infos.pop(file.identity)
            raise _changed(file)


def _limit(deadline: float | None) -> float:
    return time.monotonic() + PATIENCE_SECONDS if deadline is None else deadline


def _stamp_of(path: Path) -> FileStamp | None:
    try:
        return FileStamp.of(path.stat())
    except OSError:
        return None


def _changed(file: SourceFile) -> ImageError:
    return ImageError(f"the image {file.name!r} was exchanged while it was being read; click again")


def _unreadable(file: SourceFile, error: OSError) -> ImageError:
    return ImageError(f"the image {file.name!r} cannot be read: {error.strerror or type(error).__name__}")
