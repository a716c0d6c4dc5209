"""Fetched images in memory, for when no disk takes them: files without a name, bounded in bytes."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class MemoryFile:
    """A file that lives as long as this object."""

    def __init__(self, files: MemoryFiles[T]) -> None:
        """
        Raises:
            OSError: the system has no more files.
        """
        self._files = files
        self._descriptor = os.memfd_create("labelrig-image", os.MFD_CLOEXEC)
        self.size = 0

    @property
    def path(self) -> Path:
        """Where this process reads it."""
        return Path(f"/proc/self/fd/{self._descriptor}")

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            OSError: the memory for such files is used up.
        """
        self._files.grow(len(data))
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self._descriptor)
            self._files.shrink(self.size)


class MemoryFiles(Generic[T]):
    """By key, with what is known of each; those used longest ago make room. Safe to use from many threads."""

    def __init__(self, limit_bytes: int) -> None:
        """
        Args:
            limit_bytes: of all files that live, those that were forgotten and are still read included.
        """
        self._limit = limit_bytes
        self._lock = threading.RLock()  # a file that is forgotten may end, and shrink, while it is held
        self._held = 0
        self._files: OrderedDict[str, tuple[MemoryFile, T]] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Of all files that live."""
        with self._lock:
            return self._held

    def get(self, key: str) -> tuple[MemoryFile, T] | None:
        """A file and what is known of it; it counts as just used."""
        with self._lock:
            found = self._files.get(key)
            if found is not None:
                self._files.move_to_end(key)
            return found

    def put(self, key: str, file: MemoryFile, known: T) -> None:
        """Keep a file until others need its room."""
        with self._lock:
            self._files[key] = (file, known)
            self._files.move_to_end(key)

    def pop(self, key: str) -> None:
        """Forget a file."""
        with self._lock:
            self._files.pop(key, None)

    def grow(self, size: int) -> None:
        """Take bytes.

        Raises:
            OSError: there are not so many, not even when all that is kept is forgotten.
        """
        with self._lock:
            while self._held + size > self._limit and self._files:
                self._files.popitem(last=False)
            if self._held + size > self._limit:
                raise OSError(errno.ENOSPC, f"no disk takes it, and memory holds {self._limit >> 20} MB of others")
            self._held += size

    def shrink(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._held -= size
