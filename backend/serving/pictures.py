"""Pictures for browsers: what the model sees of an image, as a PNG that is made once and kept, bounded in bytes."""

from __future__ import annotations

import time
from pathlib import Path

from backend.caching.disk_lru import TooManyParts
from backend.caching.single_flight import SingleFlight
from backend.errors import Busy, SourceUnavailable
from backend.images.image_store import ImageInfo, ImageStore
from backend.images.png import png_of
from backend.sources.file_cache import Cached, FileCache
from backend.sources.image_sources import SPARE_BYTES
from backend.sources.source_file import SourceFile

VERSION = "1"  # another one where the same file gives other pixels than before
NOT_KEPT = "pictures for browsers are not kept in EMBEDDING_CACHE_DIR"


class PictureStore:
    """Makes and keeps pictures. Safe to call from threads."""

    def __init__(self, images: ImageStore, folder: Path, limit_bytes: int) -> None:
        """
        Args:
            folder: of its own; made when missing.
            limit_bytes: of what is kept there.
        """
        self._images = images
        self._cache = FileCache(folder, limit_bytes, spare_bytes=SPARE_BYTES, kept=NOT_KEPT)
        self._running: SingleFlight[str, Cached] = SingleFlight()

    @property
    def problem(self) -> str | None:
        """Why pictures are not kept, a sentence; None while they are."""
        return self._cache.problem

    def etag(self, info: ImageInfo) -> str:
        """Another one for other pixels, as RFC 9110 wants it."""
        return f'"{info.digest[:40]}-{VERSION}"'

    def png(self, file: SourceFile, info: ImageInfo, deadline: float) -> SourceFile:
        """The picture as a file: 8 bits, upright, of the image's size; its pixels are those that the model gets.

        Args:
            file, info: an image that was described.
            deadline: `time.monotonic` value until which to wait for memory, or for another thread that makes it.

        Raises:
            ImageError: the image cannot be read, or was exchanged meanwhile.
            Busy: other images take all the memory, or other pictures all the room.
            DeadlinePassed: the other thread took too long.
            SourceUnavailable: neither disk nor memory takes it.
        """
        key = f"{info.digest}:{VERSION}"
        what = f"the picture of {file.name!r}"
        cached = self._cache.find(key) or self._running.run(
            key, lambda: self._made(key, file, info, deadline), deadline, what
        )
        return self._cache.source_file(key, cached, file.name)

    def _made(self, key: str, file: SourceFile, info: ImageInfo, deadline: float) -> Cached:
        known = self._cache.find(key)  # another thread may have made it between our look and our turn
        if known is not None:
            return known
        try:
            with self._images.decoded(file, info, max(deadline, time.monotonic())) as picture:
                try:
                    return self._cache.store(key, png_of(picture))
                except TooManyParts:
                    raise Busy(f"too many pictures are made at once; {file.name!r} comes in a moment") from None
                except OSError as error:
                    reason = error.strerror or "the disk fails"
                    raise SourceUnavailable(
                        f"the picture of {file.name!r} cannot be kept: {reason}; free space in EMBEDDING_CACHE_DIR"
                    ) from error
        except BaseException:
            self._cache.drop(key)  # of a file that was exchanged under its name
            raise
