"""Waiting with a deadline that shows life."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from core.errors import WaitTimeout

T = TypeVar("T")


class Clock(Protocol):
    """The two things that waiting needs of time; tests bring their own."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def sleep(self, seconds: float, /) -> None:
        """Do nothing for so many seconds."""


def wait_for(
    what: str,
    check: Callable[[], T | None],
    *,
    timeout: float,
    pause: float = 1.0,
    show: Callable[[str], None] = lambda _text: None,
    doing: Callable[[], str] = lambda: "",
    clock: Clock = time,
) -> T:
    """Call `check` until it returns something other than None, and return that.

    Args:
        what: what is waited for, for messages: "Label Studio to answer".
        check: returns None for "not yet"; raises for "broken, waiting will not help".
        timeout: seconds until the deadline. The last check is made after it.
        pause: seconds between two checks.
        show: gets a line of progress before each pause.
        doing: what goes on there at the moment, in words for that line.

    Raises:
        WaitTimeout: the deadline has passed.
    """
    began = clock.monotonic()
    while True:
        late = clock.monotonic() - began >= timeout
        answer = check()
        if answer is not None:
            return answer
        waited = clock.monotonic() - began
        if late:
            raise WaitTimeout(f"waited {waited:.0f} s for {what}")
        words = ": ".join(part for part in (f"waiting for {what}", doing()) if part)
        show(f"{words}, {waited:.0f} s, up to {timeout:.0f} s")
        clock.sleep(pause)
