"""Embeddings on the disk: they survive a restart, a kill and a second process in the same folder.

One file an entry, and no list of them: the folder itself says what is there, so nothing can disagree with it.

- An entry is written beside its place under a lock (`flock`) and moved there in one step. Whatever carries an
  entry's name is therefore complete, as far as a killed process goes. What a power cut does to it, the length and
  the checksum tell. There is no fsync: a lost entry costs one run of the encoder.
- A leftover of a killed writer is recognised by its free lock and removed at the next start.
- The header names the key, so an entry can never be taken for another.
- Only files that carry our own kind of name, inside our own sub-folder, are ever touched.
- The time of the last change is the time of the last use; the entries used longest ago make room.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path

from backend.embedding import disk_entry
from backend.embedding.disk_entry import ENTRY, HEADER, PART

logger = logging.getLogger(__name__)
FOLDER = "labelrig-embeddings"
SPARE_BYTES = 1024**3  # left free for whatever else lives on the disk
WAITING_WRITES = 8
RETRY_SECONDS = 600.0
# How much this process writes, as a part of the limit, before it looks again at what others wrote.
LOOK_AGAIN = 1 / 16
# Making room goes down to this part of the limit, so that not every write has to look through the folder.
LOW_WATER = 0.95


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
    """Bytes by key, below one folder. Safe to call from threads; never raises for what the disk does.

    The sum of the files stays within the limit with one process. Each further process in the same folder may add up
    to `LOOK_AGAIN` of it before it notices.
    """

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
        self._folder = folder / FOLDER
        self._spare_bytes = spare_bytes
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._stats_lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._problem: str | None = None
        self._off_until = clock()
        self._write_lock = threading.Lock()  # writes and making room, one after the other
        self._seen_bytes = 0  # at the last look at the folder
        self._written_bytes = 0  # since then
        self._waiting = threading.BoundedSemaphore(WAITING_WRITES)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="embedding-writer")

    def start(self) -> None:
        """Make the folder, remove what killed writers left, and make room if the limit has shrunk."""
        with self._write_lock:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                if not os.access(self._folder, os.W_OK | os.X_OK):
                    raise OSError(errno.EACCES, "the folder cannot be written to")
                self._remove_leftovers()
                self._make_room(0)
            except OSError as error:
                self._switch_off(error)

    @property
    def stats(self) -> DiskStats:
        """What happened so far."""
        held = self._seen_bytes + self._written_bytes
        with self._stats_lock:
            return DiskStats(held, self._limit_bytes, self._problem, **self._counts)

    def __contains__(self, key: str) -> bool:
        """True when there is an entry of this name; only `read` finds out whether it is sound."""
        return os.path.isfile(self._path(key))  # unlike Path.is_file, False where nothing may be looked at

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry, which now counts as just used; None when there is none that is sound."""
        path = self._path(key)
        try:
            payload = disk_entry.read(path, key)
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
        with self._write_lock:
            if self._clock() < self._off_until:
                return False
            try:
                if key in self:
                    return True
                self._folder.mkdir(parents=True, exist_ok=True)  # somebody may have cleared the cache by hand
                if not self._place(key, payload):
                    return False
            except OSError as error:
                self._switch_off(error)
                return False
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

    def _place(self, key: str, payload: bytes) -> bool:
        """False when the entry is too large, or another process came between."""
        size = HEADER.size + len(payload)
        if size > self._limit_bytes:
            return False
        self._make_room(size)
        free = shutil.disk_usage(self._folder).free
        if free < self._spare_bytes + size:
            raise OSError(errno.ENOSPC, f"less than {self._spare_bytes // 1024**2} MiB would stay free on its disk")
        if not disk_entry.place(self._path(key), key, payload):
            return False
        self._written_bytes += size
        self._count("written")
        return True

    def _make_room(self, size: int) -> None:
        """Remove the entries used longest ago until `size` more bytes fit. Looks at the folder only when it must."""
        limit = self._limit_bytes
        known = self._seen_bytes + self._written_bytes
        if size and known + size <= limit and self._written_bytes + size <= limit * LOOK_AGAIN:
            return
        entries = self._entries()
        held, evicted = sum(one[1] for one in entries), 0
        if held + size > limit:
            goal = max(0, min(int(limit * LOW_WATER), limit - size))
            for _, entry_size, path in sorted(entries):
                if held <= goal:
                    break
                with contextlib.suppress(FileNotFoundError):  # another process made room too
                    path.unlink()
                held -= entry_size
                evicted += 1
        self._seen_bytes, self._written_bytes = held, 0
        self._count("evicted", evicted)

    def _entries(self) -> list[tuple[int, int, Path]]:
        """Time of the last use, size and path of each."""
        found = []
        with os.scandir(self._folder) as listing:
            for one in listing:
                if ENTRY.fullmatch(one.name):
                    with contextlib.suppress(FileNotFoundError):
                        status = one.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            found.append((status.st_mtime_ns, status.st_size, Path(one.path)))
        return found

    def _remove_leftovers(self) -> None:
        with os.scandir(self._folder) as listing:
            parts = [Path(one.path) for one in listing if PART.fullmatch(one.name)]
        for part in parts:
            disk_entry.remove_if_left(part)

    def _switch_off(self, error: OSError) -> None:
        """Write nothing for a while; one line in the log for each new reason."""
        reason = f"embeddings are not kept in EMBEDDING_CACHE_DIR: {error.strerror or type(error).__name__}"
        self._off_until = self._clock() + RETRY_SECONDS
        with self._stats_lock:
            told, self._problem = self._problem == reason, reason
        if not told:
            logger.warning("%s; free space there or check its owner and rights. Clicks go on", reason)

    def _switch_on(self) -> None:
        with self._stats_lock:
            was_off, self._problem = self._problem is not None, None
        if was_off:
            logger.info("embeddings are kept on the disk again")

    def _count(self, name: str, times: int = 1) -> None:
        with self._stats_lock:
            self._counts[name] += times

    def _path(self, key: str) -> Path:
        return disk_entry.path_of(self._folder, key)
