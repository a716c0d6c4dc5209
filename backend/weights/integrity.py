"""Is this file the one that its SHA-256 names? Asked often, hashed once.

After a file was hashed, a note beside it (`<file>.verified`) holds the digest with the size and the time of
change that were seen. As long as those two are the same, the file is not read again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 lower-case hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def matches(path: Path, sha256: str) -> bool:
    """True when the file is there and has this digest; reads it only if the note is missing or stale."""
    if not path.is_file():
        return False
    if _note_of(path) == _seen(path, sha256):
        return True
    if file_sha256(path) != sha256:
        return False
    remember(path, sha256)
    return True


def remember(path: Path, sha256: str) -> None:
    """Write the note. A folder that cannot be written to only costs the next start another hash."""
    try:
        note_path(path).write_text(json.dumps(_seen(path, sha256)), encoding="utf-8")
    except OSError as error:
        logger.debug("cannot note that %s is verified: %s", path, error)


def note_path(path: Path) -> Path:
    """Where the note about a file lies."""
    return path.with_name(path.name + ".verified")


def _seen(path: Path, sha256: str) -> dict[str, str | int]:
    status = path.stat()
    return {"sha256": sha256, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _note_of(path: Path) -> object:
    try:
        return json.loads(note_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
