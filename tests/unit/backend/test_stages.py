"""The stopwatch of one click."""

from __future__ import annotations

import pytest

from backend.stages import Stages


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_stages_are_timed_and_added_up() -> None:
    clock = Clock()
    stages = Stages(clock)
    with stages("read"):
        clock.now += 0.25
    clock.now += 1  # between two stages: only the total counts it
    stages.add("wait", 0.125)
    with stages("decode"):
        clock.now += 0.5
    with stages("read"):
        clock.now += 0.25
    assert stages.seconds == {"read": 0.5, "wait": 0.125, "decode": 0.5, "total": 2.0}
    assert stages.milliseconds == {"read": 500, "wait": 125, "decode": 500, "total": 2000}
    assert list(stages.seconds) == ["read", "wait", "decode", "total"]
    assert str(stages) == "read=500 wait=125 decode=500 total=2000 ms"


def test_stage_that_fails_is_timed() -> None:
    clock = Clock()
    stages = Stages(clock)

    def failing() -> None:
        with stages("fetch"):
            clock.now += 2
            raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        failing()
    assert stages.seconds["fetch"] == 2


def test_nothing_was_timed() -> None:
    assert str(Stages(Clock())) == "total=0 ms"
