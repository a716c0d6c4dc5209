"""Fetched images on the disk (`DiskLru`), bounded in bytes, kept over restarts.

For each URL `<sha256 of the URL>.json` says which content it has and how the server calls that version;
`<sha256 of the URL>.<sha256 of the content>` is the content. Both are brought to the disk before they get their names,
the content first: whatever the note names is whole. One process owns the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from backend.caching.disk_lru import DiskLru, touch, write_all

CONTENT = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{64}")
NOTE = re.compile(r"[0-9a-f]{64}\.json")
CLOCK_TOLERANCE_SECONDS = 60.0
PRIVATE = 0o600  # fetched with the backend's token


@dataclass(frozen=True)
class Cached:
    """A fetched image.

    Attributes:
        content: its SHA-256, 64 lower-case hex digits.
        size: in bytes.
        etag, last_modified: how the server names this version, for RFC 9110 section 13; empty when it does not.
        checked: time, in seconds of the wall clock, when the server last said that this is the version it has.
    """

    content: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: int
    etag: str
    last_modified: str
    checked: float


NOTES = TypeAdapter(Cached)


class FileCache:
    """Safe to use from many threads. Methods that write raise OSError when the disk does not take it."""

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        keep_newest: int = 32,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Finds what earlier processes left, and removes what they left half.

        Args:
            folder: made when missing.
            limit_bytes: least recently used images are removed above it.
            keep_newest: so many are never removed, because they may be about to be read.
            clock: wall clock, in seconds.
        """
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()  # of the notes
        self._files = DiskLru(folder, CONTENT, limit_bytes, keep_newest=keep_newest, on_evicted=self._forget_evicted)
        folder.mkdir(parents=True, exist_ok=True)
        self._remove_halves()
        self._files.start()

    def find(self, url: str) -> Cached | None:
        """The image of a URL, if it is there."""
        key = _key(url)
        with self._lock:
            cached = self._whole(key)
            if cached is None:
                with contextlib.suppress(OSError):  # a folder that cannot be used: `store` reports it
                    self._forget(key)
                return None
        touch(self._path(key, cached))
        return cached

    def path(self, url: str, cached: Cached) -> Path:
        """Where the content lies."""
        return self._path(_key(url), cached)

    def age(self, cached: Cached) -> float:
        """Seconds since the last request to the server; infinite when the clock was set back meanwhile."""
        age = self._clock() - cached.checked
        return age if age >= -CLOCK_TOLERANCE_SECONDS else float("inf")

    def store(self, url: str, body: Iterable[bytes], etag: str = "", last_modified: str = "") -> Cached:
        """Take an image in piece by piece. Nothing is left behind when `body` raises."""
        key, digest, size = _key(url), hashlib.sha256(), 0
        with self._files.part(key, PRIVATE) as part:
            for piece in body:
                digest.update(piece)
                size += len(piece)
                write_all(part, piece)
            os.fsync(part.fileno())
            cached = Cached(digest.hexdigest(), size, etag, last_modified, self._clock())
            with self._lock:
                self._files.place(part, self._path(key, cached).name)
                self._note(key, cached)
        return cached

    def confirm(self, url: str, cached: Cached, seconds_ago: float = 0.0) -> None:
        """Note that the server has still this version; `seconds_ago` makes the next question come earlier."""
        with self._lock:
            if self._read_note(_key(url)) == cached:
                self._note(_key(url), replace(cached, checked=self._clock() - seconds_ago))

    def drop(self, url: str) -> None:
        """Forget a URL's image."""
        with self._lock:
            self._forget(_key(url))

    def _remove_halves(self) -> None:
        """Of a killed process: contents that no note names, and notes without theirs."""
        named = set()
        for note in self._folder.iterdir():
            if NOTE.fullmatch(note.name):
                if (cached := self._whole(note.stem)) is not None:
                    named.add(self._path(note.stem, cached).name)
                else:
                    self._forget(note.stem)
        for path in self._folder.iterdir():
            if CONTENT.fullmatch(path.name) and path.name not in named:
                path.unlink(missing_ok=True)

    def _whole(self, key: str) -> Cached | None:
        """What the note of a URL says, if its content is there in full."""
        cached = self._read_note(key)
        with contextlib.suppress(OSError):
            if cached is not None and self._path(key, cached).stat().st_size == cached.size:
                return cached
        return None

    def _read_note(self, key: str) -> Cached | None:
        with contextlib.suppress(OSError, ValueError):
            return NOTES.validate_json(self._note_path(key).read_bytes())
        return None

    def _forget_evicted(self, path: Path) -> None:
        """Remove the note of a content that made room, unless it names a newer one."""
        key, content = path.name.split(".")
        cached = self._read_note(key)
        if cached is not None and cached.content == content:
            self._note_path(key).unlink(missing_ok=True)

    def _forget(self, key: str) -> None:
        if (cached := self._read_note(key)) is not None:
            self._path(key, cached).unlink(missing_ok=True)
        self._note_path(key).unlink(missing_ok=True)

    def _note(self, key: str, cached: Cached) -> None:
        with self._files.part(key) as part:
            write_all(part, NOTES.dump_json(cached))
            os.fsync(part.fileno())
            Path(str(part.name)).replace(self._note_path(key))

    def _note_path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _path(self, key: str, cached: Cached) -> Path:
        return self._folder / f"{key}.{cached.content}"


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
