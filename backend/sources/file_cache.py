"""Fetched images on the disk, bounded in bytes, kept over restarts.

For each URL `<sha256 of the URL>.json` says which content it has and how the server calls that version;
`<sha256 of the URL>.<sha256 of the content>` is the content. Both are written under another name, brought to the disk
and then renamed, the content first: whatever the note names is whole. One process owns the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

logger = logging.getLogger(__name__)
SHA256 = re.compile(r"[0-9a-f]{64}")
OURS = re.compile(r"[0-9a-f]{64}(\.[0-9a-f]{64}|\.json|\.[^.]*\.part)")
CLOCK_TOLERANCE_SECONDS = 60.0


@dataclass(frozen=True)
class Cached:
    """A fetched image.

    Attributes:
        content: its SHA-256, 64 lower-case hex digits.
        size: in bytes.
        etag, last_modified: how the server names this version, for RFC 9110 section 13; empty when it does not.
        checked: time, in seconds of the wall clock, when the server last said that this is the version it has.
    """

    content: str
    size: int
    etag: str
    last_modified: str
    checked: float


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
            keep_newest: so many are never removed, because somebody may be about to read them.
            clock: wall clock, in seconds.
        """
        self._folder = folder
        self._limit = limit_bytes
        self._keep = keep_newest
        self._clock = clock
        self._lock = threading.Lock()
        self._notes: dict[str, Cached] = {}
        self._sizes: OrderedDict[str, int] = OrderedDict()  # file name -> bytes, least recently used first
        folder.mkdir(parents=True, exist_ok=True)
        self._scan()
        with self._lock:
            self._evict()

    @property
    def bytes_used(self) -> int:
        """What the images take on the disk."""
        with self._lock:
            return sum(self._sizes.values())

    def find(self, url: str) -> Cached | None:
        """The image of a URL, if it is there."""
        key = _key(url)
        with self._lock:
            cached = self._notes.get(key)
            if cached is None:
                return None
            try:
                whole = self._path(key, cached).stat().st_size == cached.size
            except OSError:
                whole = False
            if not whole:
                self._forget(key)
                return None
            self._sizes.move_to_end(self._path(key, cached).name)
        with contextlib.suppress(OSError):  # the order of use, for the next start; worth no failure
            os.utime(self._note_path(key))
        return cached

    def path(self, url: str, cached: Cached) -> Path:
        """Where the content lies."""
        return self._path(_key(url), cached)

    def age(self, cached: Cached) -> float:
        """Seconds since the server was last asked; infinite when the clock was set back meanwhile."""
        age = self._clock() - cached.checked
        return age if age >= -CLOCK_TOLERANCE_SECONDS else float("inf")

    def store(self, url: str, body: Iterable[bytes], etag: str = "", last_modified: str = "") -> Cached:
        """Take an image in piece by piece. Nothing is left behind when `body` raises."""
        key, digest, size = _key(url), hashlib.sha256(), 0
        handle, name = tempfile.mkstemp(prefix=f"{key}.", suffix=".part", dir=self._folder)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for piece in body:
                    digest.update(piece)
                    size += len(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            cached = Cached(digest.hexdigest(), size, etag, last_modified, self._clock())
            with self._lock:
                part.replace(self._path(key, cached))
                self._note(key, cached)
                self._sizes.pop(self._path(key, cached).name, None)
                self._sizes[self._path(key, cached).name] = size
                self._evict()
        finally:
            part.unlink(missing_ok=True)
        return cached

    def confirm(self, url: str, cached: Cached, seconds_ago: float = 0.0) -> None:
        """Note that the server has still this version; `seconds_ago` makes the next question come earlier."""
        with self._lock:
            if self._notes.get(_key(url)) == cached:
                self._note(_key(url), replace(cached, checked=self._clock() - seconds_ago))

    def drop(self, url: str) -> None:
        """Forget a URL's image."""
        with self._lock:
            self._forget(_key(url))

    def _scan(self) -> None:
        used: list[tuple[int, str, Cached]] = []
        for path in self._folder.glob("*.json"):
            key = path.stem
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                fields = json.loads(path.read_text(encoding="utf-8"))
                cached = Cached(
                    str(fields["content"]),
                    int(fields["size"]),
                    str(fields["etag"]),
                    str(fields["last_modified"]),
                    float(fields["checked"]),
                )
                if SHA256.fullmatch(cached.content) and self._path(key, cached).stat().st_size == cached.size:
                    used.append((path.stat().st_mtime_ns, key, cached))
        for _, key, cached in sorted(used, key=lambda one: one[0]):
            self._notes[key] = cached
            self._sizes[self._path(key, cached).name] = cached.size
        whole = set(self._sizes) | {f"{key}.json" for key in self._notes}
        for path in self._folder.iterdir():
            if path.name not in whole and OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _evict(self) -> None:
        used = sum(self._sizes.values())
        while used > self._limit and len(self._sizes) > self._keep:
            name, size = next(iter(self._sizes.items()))
            key, content = name.split(".")
            cached = self._notes.get(key)
            if cached is not None and cached.content == content:
                self._forget(key)
            else:  # an older version of a file that has changed
                self._remove(name)
            used -= size

    def _forget(self, key: str) -> None:
        cached = self._notes.pop(key, None)
        self._note_path(key).unlink(missing_ok=True)
        if cached is not None:
            self._remove(self._path(key, cached).name)

    def _remove(self, name: str) -> None:
        self._sizes.pop(name, None)
        (self._folder / name).unlink(missing_ok=True)

    def _note(self, key: str, cached: Cached) -> None:
        part = self._note_path(key).with_suffix(".note.part")
        with part.open("w", encoding="utf-8") as file:
            json.dump(asdict(cached), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._note_path(key))
        self._notes[key] = cached

    def _note_path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _path(self, key: str, cached: Cached) -> Path:
        return self._folder / f"{key}.{cached.content}"


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
