"""Fetched images on the disk (`DiskLru`), bounded in bytes, kept over restarts.

For each URL `<sha256 of the URL>.json` says which content it has and how the server calls that version;
`<sha256 of the URL>.<sha256 of the content>` is the content. Both are brought to the disk before they get their names,
the content first: whatever the note names is whole. One process owns the folder.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from backend.caching.disk_lru import DiskLru, Part, TooManyParts, touch, write_all
from backend.sources.memory_files import MemoryFile, MemoryFiles
from backend.sources.source_file import SourceFile

logger = logging.getLogger(__name__)
CONTENT = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{64}")
NOTE = re.compile(r"[0-9a-f]{64}\.json")
CLOCK_TOLERANCE_SECONDS = 60.0
MEMORY_BYTES = 256 << 20
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
    """Safe to use from many threads.

    Attributes:
        problem: why images are not kept on the disk, a sentence; None while they are.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        keep_newest: int = 32,
        clock: Callable[[], float] = time.time,
        spare_bytes: int = 0,
        memory_bytes: int = MEMORY_BYTES,
        kept: str = "fetched images are not kept in IMAGE_CACHE_DIR",
    ) -> None:
        """Finds what earlier processes left, and removes what they left half.

        Args:
            folder: made when missing.
            limit_bytes: least recently used images are removed above it.
            keep_newest: so many are never removed, because they may be about to be read.
            clock: wall clock, in seconds.
            spare_bytes: so much stays free on the disk, whatever is being fetched.
            memory_bytes: for images that no disk takes.
            kept: what `problem` says, in front of the reason.

        A folder that cannot be used is no error: `problem` says why.
        """
        self._folder = folder
        self._clock = clock
        self._kept = kept
        self._lock = threading.Lock()  # of the notes
        self._files = DiskLru(
            folder,
            CONTENT,
            limit_bytes,
            spare_bytes=spare_bytes,
            keep_newest=keep_newest,
            on_evicted=self._forget_evicted,
        )
        self._memory: MemoryFiles[Cached] = MemoryFiles(memory_bytes)
        self.problem: str | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise OSError(errno.EACCES, "the folder cannot be written to")
            self._remove_halves()
            self._files.start()
        except OSError as error:
            self._report(error)

    def find(self, url: str) -> Cached | None:
        """The image of a URL, if it is there."""
        key = _key(url)
        held = self._memory.get(key)
        if held is not None:
            return held[1]
        with self._lock:
            cached = self._whole(key)
            if cached is None:
                with suppress(OSError):  # a folder that cannot be used: `store` reports it
                    self._forget(key)
                return None
        touch(self._path(key, cached))
        return cached

    def path(self, url: str, cached: Cached) -> Path:
        """Where the content lies, if a disk has it."""
        return self._path(_key(url), cached)

    def age(self, cached: Cached) -> float:
        """Seconds since the last request to the server; infinite when the clock was set back meanwhile."""
        age = self._clock() - cached.checked
        return age if age >= -CLOCK_TOLERANCE_SECONDS else float("inf")

    def store(self, url: str, body: Iterable[bytes], etag: str = "", last_modified: str = "") -> Cached:
        """Take an image in piece by piece. Nothing is left behind when `body` raises.

        What no disk takes is kept in memory, for a while and up to a limit.

        Raises:
            TooManyParts: others that arrive at the same time fill the cache.
            OSError: neither disk nor memory takes it.
        """
        key, digest, size = _key(url), hashlib.sha256(), 0
        with ExitStack() as stack:
            part, spilled = self._opened(key, stack)
            for piece in body:
                digest.update(piece)
                size += len(piece)
                if part is not None and spilled is None:
                    try:
                        part.write(piece)
                        continue
                    except TooManyParts:
                        raise
                    except OSError as error:
                        spilled = self._spilled(error, part)
                if spilled is not None:
                    spilled.write(piece)
            cached = Cached(digest.hexdigest(), size, etag, last_modified, self._clock())
            if part is not None and spilled is None:
                try:
                    self._place(part, key, cached)
                    return cached
                except OSError as error:
                    spilled = self._spilled(error, part)
        if spilled is not None:
            self._memory.put(key, spilled, cached)
        return cached

    def source_file(self, url: str, cached: Cached, name: str) -> SourceFile:
        """An image that was found or stored, to be read now."""
        key = _key(url)
        held = self._memory.get(key)
        if held is not None and held[1].content == cached.content:
            return SourceFile(held[0].path, name, cached.content, held[0])
        return SourceFile(self._path(key, cached), name, cached.content)

    def confirm(self, url: str, cached: Cached, seconds_ago: float = 0.0) -> None:
        """Note that the server has still this version; `seconds_ago` makes the next question come earlier."""
        key, checked = _key(url), replace(cached, checked=self._clock() - seconds_ago)
        held = self._memory.get(key)
        if held is not None and held[1] == cached:
            self._memory.put(key, held[0], checked)
            return
        with self._lock:
            if self._read_note(key) == cached:
                try:
                    self._note(key, checked)
                except OSError as error:
                    self._report(error)

    def drop(self, url: str) -> None:
        """Forget a URL's image."""
        self._memory.pop(_key(url))
        with self._lock, suppress(OSError):  # of a disk that takes nothing
            self._forget(_key(url))

    def _opened(self, key: str, stack: ExitStack) -> tuple[Part | None, MemoryFile | None]:
        """Where an image goes."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)  # the cache may have been cleared by hand
            return stack.enter_context(self._files.part(key, PRIVATE)), None
        except OSError as error:
            return None, self._spilled(error)

    def _spilled(self, error: OSError, part: Part | None = None) -> MemoryFile:
        """A file in memory with what the disk took before it took no more."""
        self._report(error)
        file = MemoryFile(self._memory)
        for piece in part.content() if part is not None else ():
            file.write(piece)
        return file

    def _place(self, part: Part, key: str, cached: Cached) -> None:
        part.sync()
        with self._lock:
            self._files.place(part, self._path(key, cached).name)
            self._note(key, cached)
        self._memory.pop(key)
        if self.problem is not None:
            logger.info("images are kept on the disk again")
            self.problem = None

    def _report(self, error: OSError) -> None:
        """One line in the log for each new reason."""
        problem = f"{self._kept}: {error.strerror or type(error).__name__}"
        if problem != self.problem:
            self.problem = problem
            logger.warning("%s; free space there or check its owner and rights. Clicks go on, from memory", problem)

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
        with suppress(OSError):
            if cached is not None and self._path(key, cached).stat().st_size == cached.size:
                return cached
        return None

    def _read_note(self, key: str) -> Cached | None:
        with suppress(OSError, ValueError):
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
            write_all(part.file, NOTES.dump_json(cached))  # a few bytes: not counted
            part.sync()
            Path(str(part.file.name)).replace(self._note_path(key))

    def _note_path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _path(self, key: str, cached: Cached) -> Path:
        return self._folder / f"{key}.{cached.content}"


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
