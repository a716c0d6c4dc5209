"""Text files as editors of every system save them.

Notepad and PowerShell put a byte order mark in front, or write UTF-16; both are read. Another encoding is refused with
its line: what cannot be decoded would become another name without a word.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from core.errors import SettingsError

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class NotText(ValueError):
    """Bytes are in another encoding. `line` counts from 1; the text says what to do."""

    def __init__(self, line: int) -> None:
        super().__init__("is not UTF-8 text; save the file as UTF-8")
        self.line = line


def decoded(content: bytes) -> str:
    """The text of a file's content, its lines ending in a line feed, without a byte order mark.

    Raises:
        NotText: it is in another encoding.
    """
    encoding = "utf-16" if content.startswith(UTF_16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = 1 if encoding == "utf-16" else 1 + (before.count(b"\n") or before.count(b"\r"))
        raise NotText(line) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_of(content: bytes, shown: str) -> str:
    """The same; `shown` is the file's name in messages.

    Raises:
        SettingsError: it is in another encoding.
    """
    try:
        return decoded(content)
    except NotText as error:
        raise SettingsError(f"{shown}: line {error.line}: {error}") from None


def read_text(path: Path, shown: str | None = None) -> str:
    """The text of a file; `shown` is its name in messages.

    Raises:
        SettingsError: it cannot be read, or is in another encoding than `text_of` knows.
    """
    name = str(path) if shown is None else shown
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: cannot be read: {error.strerror}") from None
    return text_of(content, name)
