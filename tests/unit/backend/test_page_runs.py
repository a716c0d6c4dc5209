"""Runs that pages step through: one step at a time, asked for again until it is done, and forgotten in the end."""

from __future__ import annotations

import threading

import pytest

from backend.errors import Busy, NotFound
from backend.serving.page_runs import AT_ONCE, PATIENCE_SECONDS, PageRuns
from tests.unit.backend.caching import WAIT, eventually


class Run:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self, wait_seconds: float = WAIT, **more: float) -> None:
        self.now = 0.0
        self.made: list[Run] = []
        self.runs: PageRuns[Run, str] = PageRuns(lambda: self.now, wait_seconds, **more)

    def make(self) -> Run:
        self.made.append(Run())
        return self.made[-1]


def test_step_is_taken_once_however_often_it_is_asked_for() -> None:
    bench, taken = Bench(), list[str]()

    def work(_: Run) -> str:
        taken.append("taken")
        return "masks"

    assert [bench.runs.step("a", ("into", 1), work, bench.make) for _ in range(3)] == ["masks"] * 3
    assert (taken, len(bench.made)) == (["taken"], 1)
    assert bench.runs.step("a", ("into", 2), work) == "masks"
    assert (len(taken), len(bench.made)) == (2, 1)
    bench.runs.close()


def test_step_that_takes_long_is_asked_for_again() -> None:
    bench, gate = Bench(wait_seconds=0.01), threading.Event()

    def work(_: Run) -> str:
        assert gate.wait(WAIT)
        return "masks"

    assert bench.runs.step("a", ("into", 1), work, bench.make) is None
    with pytest.raises(Busy, match="the step before this one"):
        bench.runs.step("a", ("into", 2), work)
    bench.now = PATIENCE_SECONDS + 1  # what is in work is not forgotten
    bench.runs.step("b", ("into", 1), lambda _: "other", bench.make)
    gate.set()
    eventually(lambda: bench.runs.step("a", ("into", 1), work) == "masks")
    bench.runs.close()


def test_run_ends_with_its_error() -> None:
    bench = Bench()

    def work(_: Run) -> str:
        raise NotFound("no such image")

    with pytest.raises(NotFound, match="no such image"):
        bench.runs.step("a", ("into", 1), work, bench.make)
    assert bench.made[0].closed
    with pytest.raises(NotFound, match="not remembered any more"):
        bench.runs.step("a", ("into", 1), work)
    bench.runs.close()


def test_runs_that_no_page_asks_after_give_their_places() -> None:
    bench = Bench()
    for number in range(AT_ONCE):
        bench.runs.step(f"run {number}", ("anchor", 0), lambda _: "", bench.make)
    with pytest.raises(Busy, match=f"{AT_ONCE} people"):
        bench.runs.step("one more", ("anchor", 0), lambda _: "", bench.make)
    bench.now = PATIENCE_SECONDS + 1
    bench.runs.step("one more", ("anchor", 0), lambda _: "", bench.make)
    assert [one.closed for one in bench.made] == [True] * AT_ONCE + [False]
    assert len(bench.runs) == 1
    bench.runs.end("one more")
    bench.runs.end("one more")
    assert bench.made[-1].closed
    bench.runs.close()


def test_run_goes_also_where_no_other_page_comes() -> None:
    bench = Bench(look_seconds=0.01)
    bench.runs.step("a", ("anchor", 0), lambda _: "", bench.make)
    bench.now = PATIENCE_SECONDS + 1
    eventually(lambda: bench.made[0].closed)
    assert len(bench.runs) == 0
    bench.runs.step("b", ("anchor", 0), lambda _: "", bench.make)
    bench.now *= 2
    eventually(lambda: bench.made[1].closed)
    bench.runs.close()
