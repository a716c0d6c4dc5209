"""Text files as editors of every system save them.

Notepad and PowerShell put a byte order mark in front, or write UTF-16; both are read. Another encoding is refused with
its line: what cannot be decoded would become another name without a word.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from core.errors import SettingsError

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def encoding_of(start: bytes) -> str:
    """The codec for a text file, from its first bytes: UTF-16 where its mark stands there, else UTF-8."""
    return "utf-16" if start.startswith(UTF_16) else "utf-8-sig"


def text_of(content: bytes, shown: str) -> str:
    """The text of a file's content, without a byte order mark; `shown` is the file's name in messages.

    Raises:
        SettingsError: it is in another encoding.
    """
    encoding = encoding_of(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = 1 + (before.count(b"\n") or before.count(b"\r")) if encoding != "utf-16" else 1
        raise SettingsError(f"{shown}: line {line}: is not UTF-8 text; save the file as UTF-8") from None


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
