"""Embeddings on the disk (`DiskLru`), each an entry (`backend.embedding.entries`).

What a power cut does to an entry, its length and checksum tell. There is no fsync: a lost entry costs one run of the
encoder.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path

from backend.caching.disk_lru import DiskLru, touch
from backend.embedding.entries import ENTRY, HEADER, digest_of, header_of, name_of, read_entry

logger = logging.getLogger(__name__)
FOLDER = "labelrig-embeddings"
SPARE_BYTES = 1024**3  # left free for whatever else lives on the disk
WAITING_WRITES = 8
RETRY_SECONDS = 600.0


@dataclass(frozen=True)
class DiskStats:
    """What the store did since the start.

    Attributes:
        held_bytes: on the disk, as far as this process knows.
        problem: why nothing is written, as a sentence for people; None when all is well.
        dropped: entries that were not written because too many waited.
        damaged: entries that were found damaged, and removed.
    """

    held_bytes: int = 0
    limit_bytes: int = 0
    problem: str | None = None
    hits: int = 0
    misses: int = 0
    written: int = 0
    dropped: int = 0
    evicted: int = 0
    damaged: int = 0


class DiskStore:
    """Bytes by key, below one folder. Safe to call from threads; never raises for what the disk does."""

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        spare_bytes: int = SPARE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            folder: entries go into a sub-folder of it, which is made.
            limit_bytes: largest sum of the files' sizes.
            spare_bytes: so much stays free on the disk; else nothing is written.
            clock: seconds, monotonic.
        """
        self._files = DiskLru(folder / FOLDER, ENTRY, limit_bytes, spare_bytes=spare_bytes)
        self._clock = clock
        self._stats_lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._problem: str | None = None
        self._off_until = clock()
        self._waiting = threading.BoundedSemaphore(WAITING_WRITES)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="embedding-writer")

    def start(self) -> None:
        """Make the folder, remove what killed writers left, and make room if the limit has shrunk."""
        try:
            self._files.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._files.folder, os.W_OK | os.X_OK):
                raise OSError(errno.EACCES, "the folder cannot be written to")
            self._files.start()
        except OSError as error:
            self._switch_off(error)

    @property
    def stats(self) -> DiskStats:
        """What happened so far."""
        files = self._files
        with self._stats_lock:
            return DiskStats(files.held_bytes, files.limit_bytes, self._problem, evicted=files.evicted, **self._counts)

    def __contains__(self, key: str) -> bool:
        """True when there is an entry of this name; only `read` finds out whether it is sound."""
        return os.path.isfile(self._path(key))  # unlike Path.is_file, False where nothing may be read

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry, which now counts as just used; None when there is none that is sound."""
        path = self._path(key)
        try:
            payload = _read(path, key)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                logger.warning("the cached embedding %s cannot be read: %s", path.name[:12], error.strerror)
            self._count("misses")
            return None
        if payload is None:
            logger.warning("the cached embedding %s is damaged; it is removed and computed anew", path.name[:12])
            self.discard(key)
        self._count("misses" if payload is None else "hits")
        return payload

    def discard(self, key: str) -> None:
        """Remove an entry that proved useless."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()
        self._count("damaged")

    def write(self, key: str, payload: bytes) -> bool:
        """Write an entry now; False when it is not on the disk afterwards."""
        if self._clock() < self._off_until:
            return False
        try:
            if key in self:
                return True
            if HEADER.size + len(payload) > self._files.limit_bytes:
                return False
            self._files.folder.mkdir(parents=True, exist_ok=True)  # the cache may have been cleared by hand
            with self._files.part(digest_of(key)) as part:
                part.write(header_of(key, payload))
                part.write(payload)
                self._files.place(part, self._path(key).name)
        except (FileNotFoundError, BlockingIOError):  # another process's start took it for a leftover
            return False
        except OSError as error:
            self._switch_off(error)
            return False
        self._count("written")
        self._switch_on()
        return True

    def write_later(self, key: str, pack: Callable[[], bytes]) -> bool:
        """Write an entry in the store's own thread; False when too many wait already and it is not written.

        Args:
            pack: makes the bytes, in that thread.
        """
        if not self._waiting.acquire(blocking=False):
            self._count("dropped")
            return False
        try:
            future = self._writer.submit(self._pack_and_write, key, pack)
        except RuntimeError:  # closed
            self._waiting.release()
            return False
        future.add_done_callback(self._written)
        return True

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything that waits now is written; False when that took too long."""
        try:
            self._writer.submit(lambda: None).result(timeout_seconds)
        except (FutureTimeoutError, RuntimeError):  # RuntimeError: closed
            return False
        return True

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Write what waits, as far as time allows, and end the thread."""
        self.flush(timeout_seconds)
        self._writer.shutdown(wait=False, cancel_futures=True)

    def _pack_and_write(self, key: str, pack: Callable[[], bytes]) -> None:
        if self._clock() >= self._off_until and key not in self:
            self.write(key, pack())

    def _written(self, future: Future[None]) -> None:
        self._waiting.release()
        if not future.cancelled() and (error := future.exception()) is not None:
            logger.error("an embedding could not be packed for the disk", exc_info=error)

    def _switch_off(self, error: OSError) -> None:
        """Write nothing for a while; one line in the log for each new reason."""
        reason = f"embeddings are not kept in EMBEDDING_CACHE_DIR: {error.strerror or type(error).__name__}"
        self._off_until = self._clock() + RETRY_SECONDS
        with self._stats_lock:
            is_known, self._problem = self._problem == reason, reason
        if not is_known:
            logger.warning("%s; free space there or check its owner and rights. Clicks go on", reason)

    def _switch_on(self) -> None:
        with self._stats_lock:
            was_off, self._problem = self._problem is not None, None
        if was_off:
            logger.info("embeddings are kept on the disk again")

    def _count(self, name: str) -> None:
        with self._stats_lock:
            self._counts[name] += 1

    def _path(self, key: str) -> Path:
        return self._files.folder / name_of(key)


def _read(path: Path, key: str) -> bytes | None:
    """The payload of an entry, which now counts as just used; None when it is damaged, or of another key.

    Raises:
        OSError: it cannot be read; FileNotFoundError when it is not there.
    """
    with path.open("rb", buffering=0) as file:
        payload = read_entry(file, key)
        if payload is not None:
            touch(file.fileno())
        return payload
