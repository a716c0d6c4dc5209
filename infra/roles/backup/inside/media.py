"""The uploaded files: listed with their hashes, and seen to be the same when they are in the snapshot."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.roles.backup.inside.restic import say

SHOWN_EVERY = 5.0


@dataclass(frozen=True)
class MediaFile:
    """One file: its path below the folder, size, hash, and what tells that it was changed."""

    path: str
    bytes: int
    sha256: str
    seen: tuple[int, int, int]

    def line(self) -> str:
        """A line of `media.jsonl`."""
        return json.dumps({"path": self.path, "bytes": self.bytes, "sha256": self.sha256}) + "\n"


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_media(folder: Path, cache: Path) -> list[MediaFile]:
    """Every file of a folder. Hashes of files that did not change are taken from the cache, which is written anew."""
    known = _read(cache)
    found: list[MediaFile] = []
    last = time.monotonic()
    for path, seen in walk(folder):
        before = known.get(path)
        if before is None or before.seen != seen:
            try:
                before = MediaFile(path, seen[0], hash_file(folder / path), seen)
            except FileNotFoundError:  # deleted a moment ago: no row points at it, or it counts as lost
                continue
        found.append(before)
        if time.monotonic() - last > SHOWN_EVERY:
            last = time.monotonic()
            say(f"uploaded files: {len(found)} read")
    new = cache.with_suffix(".new")
    new.write_text("".join(json.dumps([one.path, one.bytes, one.sha256, one.seen]) + "\n" for one in found), "utf-8")
    new.replace(cache)
    return found


def walk(folder: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Every plain file below a folder, in order: its path there; its size, time of change and number."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(at, name)
            try:
                seen = path.lstat()
            except FileNotFoundError:
                continue
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), (seen.st_size, seen.st_mtime_ns, seen.st_ino)


def changed_since(folder: Path, files: list[MediaFile]) -> list[str]:
    """The files of a list that are not there any more, or not as they were listed."""
    now = dict(walk(folder))
    return [one.path for one in files if now.get(one.path) != one.seen]


def read_list(text: str) -> dict[str, tuple[int, str]]:
    """Path -> size and hash, of a `media.jsonl`."""
    rows = (json.loads(line) for line in text.splitlines() if line)
    return {str(row["path"]): (int(row["bytes"]), str(row["sha256"])) for row in rows}


def _read(cache: Path) -> Mapping[str, MediaFile]:
    try:
        rows = [json.loads(line) for line in cache.read_text("utf-8").splitlines()]
        return {str(row[0]): MediaFile(row[0], row[1], row[2], (row[3][0], row[3][1], row[3][2])) for row in rows}
    except (OSError, ValueError, IndexError, TypeError):
        return {}
