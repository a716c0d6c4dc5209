"""Files below one folder, bounded by the sum of their sizes: they survive a restart, a kill and a second process.

There is no list of them: the folder itself says what is there, so nothing can disagree with it.

- A file is written beside its place under a lock (`flock`) and moved there in one step. Whatever carries an entry's
  name is therefore complete, as far as a killed process goes.
- A leftover of a killed writer is recognised by its free lock and removed at the next start.
- Only files that carry our own kind of name are ever touched.
- The time of the last change is the time of the last use; the files used longest ago make room.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO
from pathlib import Path

PART = re.compile(r"[0-9a-f]{64}\.[^.]*\.part")
# How much this process writes, as a part of the limit, before it counts again what others wrote.
COUNT_AGAIN = 1 / 16
# Making room goes down to this part of the limit, so that not every write has to scan the folder.
LOW_WATER = 0.95
RESERVED_AHEAD = 4 << 20  # counted at a time, so that a large file does not scan the folder for each piece
PIECE = 1 << 20


class TooManyParts(OSError):
    """Files that are being written would take more than the limit."""


class Part:
    """A file that is being written, and is counted while it is."""

    def __init__(self, files: DiskLru, file: FileIO) -> None:
        self.file = file
        self.size = 0
        self.reserved = 0
        self._files = files

    def write(self, data: bytes) -> None:
        """Append all of it, or as much as the disk takes.

        Raises:
            OSError: the disk is full, or what is being written would fill the limit.
        """
        self._files.reserve(self, self.size + len(data))
        write_all(self.file, data)
        self.size += len(data)

    def content(self) -> Iterator[bytes]:
        """What was written, in pieces."""
        for start in range(0, self.size, PIECE):
            yield os.pread(self.file.fileno(), min(PIECE, self.size - start), start)

    def sync(self) -> None:
        """Bring it to the disk."""
        os.fsync(self.file.fileno())


class DiskLru:
    """Safe to call from threads.

    The sum of the files stays within the limit with one process. Each further process in the same folder may add up
    to `COUNT_AGAIN` of it before it notices.
    """

    def __init__(
        self,
        folder: Path,
        names: re.Pattern[str],
        limit_bytes: int,
        *,
        spare_bytes: int = 0,
        keep_newest: int = 0,
        on_evicted: Callable[[Path], object] | None = None,
    ) -> None:
        """
        Args:
            folder: of the files; made by `start`.
            names: of the files, in full. They and what ends in `.part` may be removed.
            limit_bytes: largest sum of the files' sizes.
            spare_bytes: so much stays free on the disk; else nothing is placed.
            keep_newest: so many are never removed, whatever their size: they may be about to be read.
            on_evicted: called with each file that made room.
        """
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.evicted = 0
        self._names = names
        self._spare_bytes = spare_bytes
        self._keep_newest = keep_newest
        self._on_evicted = on_evicted
        self._lock = threading.Lock()  # placing and making room, one after the other
        self._seen_bytes = 0  # when the folder was last scanned
        self._placed_bytes = 0  # since then
        self._coming_bytes = 0  # of parts

    @property
    def held_bytes(self) -> int:
        """On the disk, as far as this process knows, with what is being written."""
        return self._seen_bytes + self._placed_bytes + self._coming_bytes

    def start(self) -> None:
        """Make the folder, remove what killed writers left, and make room if the limit has shrunk.

        Raises:
            OSError: the folder cannot be used.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with os.scandir(self.folder) as listing:
            parts = [Path(one.path) for one in listing if PART.fullmatch(one.name)]
        for part in parts:
            _remove_if_left(part)
        with self._lock:
            self._make_room(0)

    @contextlib.contextmanager
    def part(self, key: str, mode: int = 0o666) -> Iterator[Part]:
        """A new file to write to and then to `place`; it is removed at the end unless it was placed.

        Args:
            key: 64 lower-case hex digits, for its name.
            mode: who may read it, less the process's umask.

        Raises:
            FileNotFoundError, BlockingIOError: another process's start removed it as a leftover; also from `place`.
            OSError: it cannot be written.
        """
        path = self.folder / f"{key}.{secrets.token_hex(8)}.part"
        try:
            with open(path, "x+b", buffering=0, opener=partial(os.open, mode=mode)) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part = Part(self, file)
                try:
                    yield part
                finally:
                    self._release(part)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def reserve(self, part: Part, size: int) -> None:
        """Count a part with so many bytes, which are about to be written; room is made for them.

        Raises:
            TooManyParts: several parts together would be above the limit.
            OSError: too little of the disk would stay free.
        """
        if size <= part.reserved:
            return
        with self._lock:
            others = self._coming_bytes - part.reserved
            ahead = part.reserved + min(RESERVED_AHEAD, self.limit_bytes // 64)
            more = max(size, min(ahead, self.limit_bytes - others)) - part.reserved
            if others and self._coming_bytes + more > self.limit_bytes:
                raise TooManyParts(errno.ENOSPC, f"others that arrive now take all of its {self.limit_bytes >> 20} MB")
            self._make_room(self._coming_bytes + more)
            self._check_spare(more)
            self._coming_bytes += more
            part.reserved += more

    def _release(self, part: Part) -> None:
        with self._lock:
            self._coming_bytes -= part.reserved
            part.reserved = 0

    def _check_spare(self, more: int) -> None:
        if self._spare_bytes and shutil.disk_usage(self.folder).free - more < self._spare_bytes:
            raise OSError(errno.ENOSPC, f"less than {self._spare_bytes // 1024**2} MiB would stay free on its disk")

    def place(self, part: Part, name: str) -> None:
        """Make room for a part and give it its name, in one step.

        Raises:
            OSError: it cannot be moved, or too little of the disk would stay free.
        """
        with self._lock:
            self._make_room(part.size + self._coming_bytes - part.reserved)
            self._check_spare(0)
            touch(part.file.fileno())
            Path(str(part.file.name)).replace(self.folder / name)
            self._placed_bytes += part.size
            self._coming_bytes -= part.reserved
            part.reserved = 0

    def _make_room(self, size: int) -> None:
        """Remove the files used longest ago until `size` more bytes fit. Scans the folder only when it must."""
        limit = self.limit_bytes
        known = self._seen_bytes + self._placed_bytes
        if size and known + size <= limit and self._placed_bytes + size <= limit * COUNT_AGAIN:
            return
        files = sorted(self._files())
        held = sum(one[1] for one in files)
        if held + size > limit:
            goal = max(0, min(int(limit * LOW_WATER), limit - size))
            removable = max(0, len(files) - max(0, self._keep_newest - bool(size)))
            for _, file_size, path in files[:removable]:
                if held <= goal:
                    break
                with contextlib.suppress(FileNotFoundError):  # another process made room too
                    path.unlink()
                if self._on_evicted is not None:
                    self._on_evicted(path)
                held -= file_size
                self.evicted += 1
        self._seen_bytes, self._placed_bytes = held, 0

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Time of the last use, size and path of each."""
        with os.scandir(self.folder) as listing:
            for one in listing:
                if self._names.fullmatch(one.name):
                    with contextlib.suppress(FileNotFoundError):
                        status = one.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            yield status.st_mtime_ns, status.st_size, Path(one.path)


def touch(file: Path | int) -> None:
    """Count a file as just used; where the folder cannot be written to, nothing happens.

    The clock's own time: the system's would be the same for all within some milliseconds.
    """
    now = time.time_ns()
    with contextlib.suppress(OSError):
        os.utime(file, ns=(now, now))


def write_all(file: FileIO, data: bytes) -> None:
    """One call to the system, unless it takes only a part.

    Raises:
        OSError: the disk does not take it.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file.fileno(), rest) :]


def _remove_if_left(part: Path) -> None:
    # FileNotFoundError: just moved to its place. NFS locks for writing only what is open for writing.
    with contextlib.suppress(FileNotFoundError, BlockingIOError), part.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
