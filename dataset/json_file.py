"""Reading JSON files that may be larger than memory, one object at a time; whatever is wrong in them is a sentence."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from core.errors import SettingsError
from core.strict_json import BOM, shown, why_not_text

DEEPEST = 100  # brackets inside each other; ijson's memory grows with the square
CHUNK_BYTES = 1 << 20
NOT_A_NUMBER = re.compile(r"[\[:,]\s*-?(NaN|Infinity)\b")
# What is given in the place of JSON often enough, by its first bytes, and what to do.
OTHERS = (
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
    (b"PK\x03\x04", "a ZIP archive; unpack it and give the JSON file in it"),
    (b"<", "XML (CVAT, Pascal VOC) or a web page, not JSON; export as COCO"),
)
SNIFFED, SPACE = 64, b" \t\r\n"
ESCAPED = re.compile(rb"\\.", re.DOTALL)
OPENING, CLOSING, QUOTE = b"[{", b"]}", ord('"')


class JsonFile:
    """A JSON file in UTF-8, with or without a byte order mark.

    Raises:
        SettingsError: it cannot be read, or is nested too deeply.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_file(path) as content:
            start = content.read(SNIFFED)
            if other := next((text for sign, text in OTHERS if start.lstrip(BOM + SPACE).startswith(sign)), ""):
                raise SettingsError(f"{path}: is {other}")
            content.seek(0)
            if _depth(content) > DEEPEST:
                raise SettingsError(f"{path}: is nested more than {DEEPEST} brackets deep")

    def items(self, where: str) -> Iterator[dict[str, Any]]:
        """The objects of a list in it. `where` is ijson's prefix.

        Raises:
            SettingsError: it is not JSON, or an element is not an object or cannot be kept.
        """
        import ijson

        with self._open() as content:
            try:
                for number, one in enumerate(ijson.items(content, where, use_float=True)):
                    part = where.removesuffix("item").removesuffix(".")
                    name = f"{part}[{number}]" if part else f"entry {number + 1}"
                    if not isinstance(one, dict):
                        raise SettingsError(f"{self.path}: {name} is {shown(one)}, where an object is expected")
                    if problem := why_not_text(one):
                        raise SettingsError(f"{self.path}: {name} {problem}")
                    yield one
            except (ijson.JSONError, UnicodeDecodeError) as error:
                raise SettingsError(f"{self.path} is not JSON: {_reason(error)}") from None

    def first_keys(self, enough: Collection[str]) -> tuple[str, frozenset[str]]:
        """What the file begins with, `{` or `[`, and the keys of the object or of the list's first object.

        Of an object only those up to one of `enough`: it may be large. Empty where the file is not JSON.
        """
        import ijson

        keys: set[str] = set()
        start = ""
        with self._open() as content:
            try:
                for prefix, event, value in ijson.parse(content, use_float=True):
                    start = start or {"start_map": "{", "start_array": "["}.get(event, "")
                    if event == "map_key" and prefix == ("" if start == "{" else "item"):
                        keys.add(value)
                    if not start or value in (enough if start == "{" and event == "map_key" else ()):
                        break
                    if start == "[" and prefix == "item" and event != "start_map" and event != "map_key":
                        break
            except (ijson.JSONError, UnicodeDecodeError):
                return (start, frozenset(keys))
        return (start, frozenset(keys))

    def _open(self) -> IO[bytes]:
        content = open_file(self.path)
        if content.read(len(BOM)) != BOM:
            content.seek(0)
        return content


def open_file(path: Path) -> IO[bytes]:
    """Open a file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None


def _depth(content: IO[bytes]) -> int:
    """How many brackets stand inside each other at most; those in texts do not count."""
    depth, deepest, in_text, rest = 0, 0, 0, b""
    while chunk := content.read(CHUNK_BYTES):
        chunk = ESCAPED.sub(b"", rest + chunk)
        rest = b"\\" if chunk.endswith(b"\\") else b""
        codes = np.frombuffer(chunk, dtype=np.uint8)
        outside = (np.cumsum(codes == QUOTE) + in_text) % 2 == 0
        in_text = (int(np.count_nonzero(codes == QUOTE)) + in_text) % 2
        steps = np.zeros(codes.size, dtype=np.int64)
        for signs, step in ((OPENING, 1), (CLOSING, -1)):
            for sign in signs:
                steps[(codes == sign) & outside] = step
        levels = depth + np.cumsum(steps)
        deepest = max(deepest, int(levels.max(initial=0)))
        depth = int(levels[-1]) if levels.size else depth
    return deepest


def _reason(error: Exception) -> str:
    """What ijson says, without the piece of the file that it draws an arrow at."""
    text = error.args[0] if error.args else ""
    if isinstance(text, bytes):  # what is not UTF-8 comes back as bytes
        text = text.decode("utf-8", "replace")
    if NOT_A_NUMBER.search(str(text)):
        return "NaN or Infinity stands where JSON has a number (Python writes them); write null instead"
    return " ".join(str(text).split("\n", 1)[0].split()) or type(error).__name__
