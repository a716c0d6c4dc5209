from __future__ import annotations

import pytest

from core.errors import WaitTimeout
from core.waiting import wait_for


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


def test_the_first_answer_that_is_not_none_is_returned() -> None:
    answers = iter([None, None, 0])
    shown: list[str] = []
    assert wait_for("it", lambda: next(answers), timeout=9, show=shown.append, clock=FakeClock()) == 0
    assert shown == ["waiting for it, 0 s, up to 9 s", "waiting for it, 1 s, up to 9 s"]


def test_the_line_says_what_goes_on() -> None:
    answers = iter([None, None, 0])
    doing = iter(["running database migrations", ""])
    shown: list[str] = []
    wait_for("it", lambda: next(answers), timeout=9, show=shown.append, doing=lambda: next(doing), clock=FakeClock())
    assert shown == ["waiting for it: running database migrations, 0 s, up to 9 s", "waiting for it, 1 s, up to 9 s"]


def test_last_check_is_made_after_the_deadline() -> None:
    """The deadline is kept and the last check is made after it."""
    clock = FakeClock()
    checked: list[float] = []
    with pytest.raises(WaitTimeout, match="waited 6 s for it"):
        wait_for("it", lambda: checked.append(clock.now), timeout=5, pause=2, clock=clock)
    assert checked == [0, 2, 4, 6]


def test_broken_is_not_slow() -> None:
    def broken() -> None:
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        wait_for("it", broken, timeout=5, clock=FakeClock())
