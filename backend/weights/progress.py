"""Progress of a download on stderr: one line that renews itself on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

LINE_SECONDS = 5.0
TERMINAL_SECONDS = 0.25
MB = 1_000_000


class Progress:
    """Bytes, share, rate and time left."""

    def __init__(self, name: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._start = self._shown = clock()
        self._start_bytes = 0
        self._open_line = False

    def begin(self, have: int) -> None:
        """A transfer starts, with this many bytes already there; the rate counts only what comes now."""
        self._start = self._clock()
        self._start_bytes = have

    def update(self, have: int, total: int | None) -> None:
        """Show where it is, at most every few seconds."""
        now = self._clock()
        if now - self._shown < (TERMINAL_SECONDS if self._terminal else LINE_SECONDS):
            return
        self._shown = now
        line = self._line(have, total, now)
        if self._terminal:
            self._stream.write(f"\r\x1b[K{line}")
            self._open_line = True
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def say(self, text: str) -> None:
        """A line of its own."""
        self._stream.write(f"\n{text}\n" if self._open_line else f"{text}\n")
        self._open_line = False
        self._stream.flush()

    def _line(self, have: int, total: int | None, now: float) -> str:
        rate = (have - self._start_bytes) / max(now - self._start, 1e-6)
        if total is None:
            return f"{self._name}: {have / MB:.1f} MB, {rate / MB:.1f} MB/s"
        left = f"{(total - have) / rate:.0f} s left" if rate > 0 else "waiting"
        share = 100 * have // max(total, 1)
        return f"{self._name}: {have / MB:.1f} of {total / MB:.1f} MB ({share} %), {rate / MB:.1f} MB/s, {left}"
