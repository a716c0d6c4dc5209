"""Files that a command makes for people: written as a whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

from core.errors import FileAccessError


def write_file(path: Path, text: str) -> None:
    """Write a file in one step, and make its folder.

    Raises:
        FileAccessError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise FileAccessError(f"{path}: cannot be written: {error.strerror}") from None
