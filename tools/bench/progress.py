"""What a person sees while the bench runs: which step of how many, and how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Counts steps, on stderr. The guess of the time left starts from what each step should take and follows the
    machine's own pace."""

    def __init__(
        self, steps: dict[str, float], stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            steps: every step of the run by its name, in order, with the seconds it should take.
        """
        self._left = dict(steps)
        self._total = len(steps)
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._began = clock()
        self._expected_so_far = 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step of the plan.

        Raises:
            KeyError: the plan has no such step, or it is done.
        """
        expected = self._left.pop(name)
        number = self._total - len(self._left)
        began = self._clock()
        left = self._time_left(expected)
        self._say(
            f"[{number}/{self._total}] {name} ... {_minutes(began - self._began)} gone, about {_minutes(left)} left"
        )
        yield
        self._expected_so_far += expected
        self._say(f"    {name}: {self._clock() - began:.1f} s")

    def skip(self, prefix: str) -> None:
        """Steps that will not come."""
        for name in [name for name in self._left if name.startswith(prefix)]:
            del self._left[name]

    def note(self, text: str) -> None:
        """A line between."""
        self._say(f"    {text}")

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._began

    def _time_left(self, current: float) -> float:
        expected = current + sum(self._left.values())
        pace = self.seconds / self._expected_so_far if self._expected_so_far > 0 else 1.0
        return expected * pace

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
