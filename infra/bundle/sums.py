"""Checksum lists in the form of `sha256sum`, and checksums of files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import IO

CHUNK = 1024**2
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def sums_text(sums: Mapping[str, str]) -> str:
    """A checksum list: path -> SHA-256 in hex. Paths hold no line breaks and no backslashes."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))


def read_sums(text: str) -> dict[str, str]:
    """Read a checksum list.

    Raises:
        ValueError: a line is none of such a list, or names a path again.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise ValueError(f"not a line of a checksum list: {line[:100]!r}")
        found[match[2]] = match[1]
    return found


def sha256(file: IO[bytes], tell: Callable[[int], None] = lambda _count: None) -> str:
    """The SHA-256 of what is left of a file, in hex.

    Args:
        tell: called with the length of each piece that was read.
    """
    digest = hashlib.sha256()
    while piece := file.read(CHUNK):
        digest.update(piece)
        tell(len(piece))
    return digest.hexdigest()
