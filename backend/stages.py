"""How long each stage of one click took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

NAMES = ("fetch", "read", "wait", "encode", "decode", "post", "total")


class Stages:
    """A stopwatch for one click; used by one thread.

    >>> stages = Stages()
    >>> with stages("read"):
    ...     pass
    >>> stages.add("wait", ticket.waited_seconds)
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """
        Args:
            clock: seconds, monotonic.
        """
        self._clock = clock
        self._start = clock()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage, also one that fails. A stage that comes twice is added up."""
        begin = self._clock()
        try:
            yield
        finally:
            self.add(stage, self._clock() - begin)

    def add(self, stage: str, seconds: float) -> None:
        """Add what something else measured."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, in the order in which they came, and `total`: since the stopwatch was made."""
        return {**self._seconds, "total": self._clock() - self._start}

    @property
    def milliseconds(self) -> Mapping[str, float]:
        """The same in milliseconds."""
        return {stage: 1000 * seconds for stage, seconds in self.seconds.items()}

    def __str__(self) -> str:
        """For a log line: `read=3 decode=17 total=21 ms`."""
        return f"{' '.join(f'{stage}={value:.0f}' for stage, value in self.milliseconds.items())} ms"
