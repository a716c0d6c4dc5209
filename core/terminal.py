"""stdout and stderr as a person sees them: colour and one progress line on a terminal, plain lines everywhere else.

The progress line is rewritten in place and stays open until something else is written. `shared_terminal` puts one
`Screen` behind both streams of the process, so whoever writes (a report, a result, Invoke, a traceback) gets the open
line erased first: a result never continues it.

Much of what is shown was written by others: titles, labels, URLs, names of files, logs. What steers a terminal in it
becomes an escape that a person reads, in this one place; the colours and carriage returns here are our own.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TextIO, cast

from core.text import visible

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
RESET = "\x1b[0m"
RED, GREEN, YELLOW, MAGENTA, BOLD = (f"\x1b[{code}m" for code in (31, 32, 33, 35, 1))
DEFAULT_COLUMNS = 80
# What the start of a line means. A mark is followed by a space; a diff stands below its change, deeper than any mark.
MARKS = {"✓": GREEN, "✗": RED, "~": YELLOW, "!": YELLOW, "?": MAGENTA, "▸": BOLD, "error:": RED}
MARKED = re.compile(r"^((?:\S+ +\| )? *)(✓|✗|~|!|\?|▸|error:)(?= )", re.MULTILINE)
DIFF_LINE = re.compile(r"^((?:\S+ +\| )? {8})([+-].*)$", re.MULTILINE)


class Stream(Protocol):
    """What is written to: a text file, or something in front of one."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> None:
        """Write what is kept back."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""


def is_live(stream: Stream, environ: Mapping[str, str]) -> bool:
    """Whether a person watches: a terminal that can rewrite a line, and no CI job, whose log keeps every line."""
    return stream.isatty() and environ.get("TERM") != "dumb" and not environ.get("CI")


class Screen:
    """stderr with at most one open progress line. Safe to call from several threads.

    Attributes:
        live: a progress line may be rewritten in place; nothing else than text and carriage returns is needed for it.
        colour: marks and diffs get colours; never where `NO_COLOR` is set.
    """

    def __init__(self, stream: Stream, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.live = is_live(stream, environ)
        self.colour = self.live and not environ.get("NO_COLOR")
        self._stream = stream
        self._lock = threading.RLock()
        self._open = 0  # width of the open progress line in columns

    def __getattr__(self, name: str) -> object:
        """Whatever else a text file has: `encoding`, `fileno`."""
        return getattr(self._stream, name)

    def write(self, text: str, /) -> int:
        """Write text below what is there; an open progress line is erased."""
        return self.write_to(self._stream, text, colour=self.colour)

    def write_to(self, stream: Stream, text: str, *, colour: bool) -> int:
        """Write to a stream that may share the terminal with this one."""
        with self._lock:
            self.erase()
            stream.write(painted(visible(text)) if colour else visible(text))
        return len(text)

    def progress(self, text: str) -> None:
        """Show text as the progress line, cut to the width of the terminal. Only where `live`."""
        shown = _cut(text, self._columns() - 1)
        width = _width(shown)
        with self._lock:
            self._stream.write("\r" + shown + " " * (self._open - width))
            self._stream.flush()
            self._open = width

    def erase(self) -> None:
        """Erase the open progress line, if there is one."""
        with self._lock:
            if self._open:
                self._stream.write("\r" + " " * self._open + "\r")
                self._stream.flush()
                self._open = 0

    def flush(self) -> None:
        """See `Stream.flush`."""
        self._stream.flush()

    def isatty(self) -> bool:
        """See `Stream.isatty`."""
        return self._stream.isatty()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or DEFAULT_COLUMNS  # type: ignore[attr-defined]
        except (OSError, ValueError, AttributeError):
            return DEFAULT_COLUMNS


class DataStream:
    """stdout in front of a `Screen`: the open progress line is erased before data is written."""

    def __init__(self, stream: Stream, screen: Screen, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._stream = stream
        self._screen = screen
        self._colour = is_live(stream, environ) and not environ.get("NO_COLOR")

    def __getattr__(self, name: str) -> object:
        """Whatever else a text file has: `encoding`, `fileno`, `isatty`."""
        return getattr(self._stream, name)

    def write(self, text: str, /) -> int:
        """Write data."""
        return self._screen.write_to(self._stream, text, colour=self._colour)


@contextmanager
def shared_terminal() -> Iterator[None]:
    """Put one `Screen` behind this process's stdout and stderr while the context lasts."""
    before = sys.stdout, sys.stderr
    screen = Screen(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, DataStream(sys.stdout, screen)), cast(TextIO, screen)
    try:
        yield
    finally:
        screen.erase()
        sys.stdout, sys.stderr = before


def painted(text: str) -> str:
    """Colour the marks that lines begin with, and the lines of a diff.

    >>> painted("  ✓ engine")
    '  \\x1b[32m✓\\x1b[0m engine'
    """
    text = MARKED.sub(lambda found: f"{found[1]}{MARKS[found[2]]}{found[2]}{RESET}", text)
    return DIFF_LINE.sub(lambda found: f"{found[1]}{GREEN if found[2][0] == '+' else RED}{found[2]}{RESET}", text)


def one_line(text: str) -> str:
    """Text without line breaks, escape sequences and other control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in ESCAPE.sub("", text)).split())


def _cut(text: str, columns: int) -> str:
    width = 0
    for index, char in enumerate(text):
        width += _width(char)
        if width > columns:
            return text[:index]
    return text


def _width(text: str) -> int:
    """How many columns a terminal gives to text: two for a wide character, none for one that combines."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
