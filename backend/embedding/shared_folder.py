"""Embeddings in a folder that processes on several hosts share, as over NFS. A call takes as long as its server does.

No process keeps a list, and no lock keeps an entry right:

- An entry is written beside its place, brought to the server's disk, and moved there in one step.
- Who reads it checks it, so that a torn or foreign file is removed and counts as absent.
- Reading sets the time of its last use. Who has written much looks whether the folder is too large, and removes what
  was used longest ago. A lock file spares others the same look; two that look at once remove the same entries.
- Times of use are the server's, whatever the clocks of the hosts are.
- Only files that carry our own kind of name are ever touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

from backend.caching.disk_lru import write_all
from backend.embedding.entries import ENTRY, HEADER, digest_of, header_of, name_of, read_entry

PART = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{16}\.part")
LOCK = "labelrig-making-room.lock"
# A process that has written this part of the limit looks whether there is too much; so does one that has just begun.
LOOK_AGAIN = 1 / 64
LOW_WATER = 0.9  # making room goes down to this part of the limit
LOCK_SECONDS = 900.0  # an older lock is that of a process that was killed
PART_SECONDS = 3600.0  # so is an older part
SPARE_BYTES = 1 << 30  # left free for whatever else lies there
GONE = (errno.ENOENT, errno.ESTALE)  # another host removed it


class DamagedEntry(ValueError):
    """An entry was torn or foreign, and is removed."""


class SharedFolder:
    """Synchronous, and without a thread of its own. `write` is for one thread, all else for any."""

    def __init__(
        self,
        path: Path,
        limit_bytes: int,
        spare_bytes: int = SPARE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            path: who owns it, and who may write to it, is not ours to say: it must be there.
            limit_bytes: largest sum of the entries' sizes. Each process that writes may add `LOOK_AGAIN` of it before
                it notices.
            spare_bytes: so much stays free there; else nothing is written.
            clock: the wall clock, seconds; what killed processes left is told by its age.
        """
        self.path = path
        self.limit_bytes = limit_bytes
        self.removed = 0
        self._spare_bytes = spare_bytes
        self._clock = clock
        self._written: int | None = None  # since the last look

    def read(self, key: str) -> bytes | None:
        """The bytes of an entry, which now counts as just used; None when there is none.

        Raises:
            DamagedEntry: there was one, and it is removed.
            OSError: it cannot be read.
        """
        path = self.path / name_of(key)
        try:
            with path.open("rb", buffering=0) as file:
                payload = read_entry(file, key)
                if payload is not None:
                    with contextlib.suppress(OSError):  # another user's entry, in a folder that all may write to
                        os.utime(file.fileno())
        except FileNotFoundError:
            return None
        if payload is None:
            self.discard(key)
            raise DamagedEntry(f"{path.name[:12]} is damaged")
        return payload

    def discard(self, key: str) -> None:
        """Remove an entry that proved useless."""
        with contextlib.suppress(OSError):
            (self.path / name_of(key)).unlink()

    def write(self, key: str, payload: bytes) -> bool:
        """Write an entry, once there is room for it; False when it was there, or is larger than the limit.

        Raises:
            OSError: it cannot be written, or what is there cannot be removed.
        """
        path, size = self.path / name_of(key), HEADER.size + len(payload)
        if size > self.limit_bytes or os.path.isfile(path):
            return False
        if self._written is None or self._written + size > self.limit_bytes * LOOK_AGAIN:
            self._make_room(size)
        if self._spare_bytes and shutil.disk_usage(self.path).free - size < self._spare_bytes:
            raise OSError(errno.ENOSPC, f"less than {self._spare_bytes >> 20} MiB would stay free there")
        part = self.path / f"{digest_of(key)}.{secrets.token_hex(8)}.part"
        try:
            with part.open("xb", buffering=0) as file:
                write_all(file, header_of(key, payload))
                write_all(file, payload)
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        self._written = (self._written or 0) + size
        return True

    def _make_room(self, size: int) -> None:
        """Look at all files, unless another process does at this moment."""
        if not self._lock():
            return
        try:
            self._remove_oldest(size)
            self._written = 0
        finally:
            with contextlib.suppress(OSError):
                (self.path / LOCK).unlink()

    def _lock(self) -> bool:
        lock = self.path / LOCK
        for _ in range(2):
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                return True
            except FileExistsError:
                pass
            with contextlib.suppress(FileNotFoundError):  # its owner was done meanwhile
                if abs(self._clock() - lock.stat().st_mtime) < LOCK_SECONDS:
                    return False
                lock.unlink()
        return False

    def _remove_oldest(self, size: int) -> None:
        """Until so many bytes more have room.

        Raises:
            OSError: something may not be removed.
        """
        now = self._clock()
        found: list[tuple[float, int, str]] = []
        refused: OSError | None = None
        with os.scandir(self.path) as listing:
            for one in listing:
                is_part = PART.fullmatch(one.name) is not None
                if not is_part and ENTRY.fullmatch(one.name) is None:
                    continue
                try:
                    status = one.stat(follow_symlinks=False)
                    if is_part and now - status.st_mtime > PART_SECONDS:
                        os.unlink(one.path)
                except OSError as error:
                    refused = error if error.errno not in GONE else refused
                    continue
                if not is_part and stat.S_ISREG(status.st_mode):
                    found.append((status.st_mtime, status.st_size, one.path))
        held = size + sum(one[1] for one in found)
        goal = self.limit_bytes * LOW_WATER if held > self.limit_bytes else held
        for _, entry_size, path in sorted(found):
            if held <= goal:
                break
            try:
                os.unlink(path)
                self.removed += 1
            except OSError as error:
                if error.errno not in GONE:
                    refused = error
                    continue
            held -= entry_size
        if refused is not None:
            raise refused
