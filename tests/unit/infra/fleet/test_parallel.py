from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest

from core.errors import LabelrigError, LockHeld, PreflightError, RolledBack
from core.report import Report
from core.results import HostResult
from infra.config.host_settings import HostSettings
from infra.fleet.parallel import SKIPPED, attempt, exit_code_of, on_each, reports_for
from tests.unit.infra.deploy_bench import host_settings

SECONDS = 10


def hosts(count: int) -> list[HostSettings]:
    return [host_settings(name=f"gpu{number:02}") for number in range(1, count + 1)]


def gone(
    count: int,
    work: Callable[[str], None],
    *,
    parallel: int = 4,
    fail_fast: bool = False,
    barrier: bool = True,
    stream: io.StringIO | None = None,
) -> list[HostResult]:
    some = hosts(count)
    return on_each(
        some,
        reports_for(some, stream or io.StringIO()),
        lambda host, _report: work(host.name),
        parallel=parallel,
        fail_fast=fail_fast,
        barrier=barrier,
    )


def test_results_come_in_the_order_of_the_hosts() -> None:
    """The results come in the order of the hosts whatever ends first."""
    last_is_done = threading.Event()

    def work(name: str) -> None:
        if name == "gpu04":
            last_is_done.set()
        elif name != "gpu01":
            assert last_is_done.wait(SECONDS)

    results = gone(4, work)
    assert [one.host for one in results] == ["gpu01", "gpu02", "gpu03", "gpu04"]
    assert [one.exit_code for one in results] == [0, 0, 0, 0]


def test_the_first_goes_alone_and_the_others_side_by_side() -> None:
    running: set[str] = set()
    together = threading.Barrier(3)

    def work(name: str) -> None:
        if name == "gpu01":
            assert not running
        else:
            assert "gpu01" in running
            together.wait(SECONDS)
        running.add(name)

    assert exit_code_of(gone(4, work)) == 0
    assert running == {"gpu01", "gpu02", "gpu03", "gpu04"}


def test_when_the_first_fails_no_other_begins_and_each_says_so() -> None:
    begun: list[str] = []
    stream = io.StringIO()

    def work(name: str) -> None:
        begun.append(name)
        raise RolledBack("the click did not come back")

    results = gone(3, work, stream=stream)
    assert begun == ["gpu01"]
    assert [(one.error, one.exit_code) for one in results] == [
        ("the click did not come back", 5),
        (SKIPPED, 1),
        (SKIPPED, 1),
    ]
    assert [stage.skipped for stage in results[1].report.stages] == [["gpu02"]]
    assert stream.getvalue().count("not tried, since a host before it failed") == 2
    assert "gpu01 | error: the click did not come back\n" in stream.getvalue()
    # That the others were not tried does not hide how the first one ended.
    assert exit_code_of(results) == 5


def test_without_a_barrier_a_failure_of_the_first_stops_nobody() -> None:
    begun: list[str] = []

    def work(name: str) -> None:
        begun.append(name)
        if name == "gpu01":
            raise LabelrigError("no")

    results = gone(3, work, barrier=False, parallel=1)
    assert begun == ["gpu01", "gpu02", "gpu03"]
    assert [one.exit_code for one in results] == [1, 0, 0]


@pytest.mark.parametrize(("fail_fast", "expected"), [(False, ["gpu02", "gpu03", "gpu04"]), (True, ["gpu02"])])
def test_a_later_failure_stops_the_rest_only_on_request(fail_fast: bool, expected: list[str]) -> None:
    begun: list[str] = []

    def work(name: str) -> None:
        begun.append(name)
        if name == "gpu02":
            raise LabelrigError("no")

    results = gone(4, work, parallel=1, fail_fast=fail_fast)
    assert begun == ["gpu01", *expected]
    assert [one.error for one in results[2:]] == ([SKIPPED] * 2 if fail_fast else [None] * 2)


def test_fail_fast_lets_those_finish_that_have_begun() -> None:
    both_run = threading.Barrier(2)
    finished: list[str] = []

    def work(name: str) -> None:
        if name == "gpu01":
            return
        if name == "gpu02":
            both_run.wait(SECONDS)
            raise LabelrigError("no")
        if name == "gpu03":
            both_run.wait(SECONDS)
        finished.append(name)

    results = gone(3, work, parallel=2, fail_fast=True)
    assert finished == ["gpu03"]
    assert [one.exit_code for one in results] == [0, 1, 0]


@pytest.mark.parametrize("parallel", [0, 1, 2, 3])
def test_no_more_than_the_limit_run_at_once_and_as_many_do(parallel: int) -> None:
    lock, running, most = threading.Lock(), 0, 0
    limit = max(1, parallel)
    full = threading.Barrier(limit)

    def work(_name: str) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        full.wait(SECONDS)
        with lock:
            running -= 1

    assert exit_code_of(gone(6, work, parallel=parallel, barrier=False)) == 0
    assert most == limit


def test_one_host_needs_no_barrier_and_its_lines_no_name() -> None:
    stream = io.StringIO()
    some = hosts(1)

    def work(_host: HostSettings, report: Report) -> None:
        report.info("working")
        raise LockHeld("held by bob")

    results = on_each(some, reports_for(some, stream), work, parallel=4, fail_fast=True, barrier=True)
    assert [one.exit_code for one in results] == [4]
    assert stream.getvalue() == "working\nerror: gpu01: held by bob\n"
    assert on_each([], {}, work, parallel=4, fail_fast=True, barrier=True) == []


def test_shown_error_is_not_repeated_but_counts() -> None:
    """What was shown already is not repeated, and still counts."""

    class Said(LabelrigError):
        shown = True
        exit_code = 2

    def work(_name: str) -> None:
        raise Said("the table above says it")

    stream = io.StringIO()
    results = gone(1, work, stream=stream)
    assert stream.getvalue() == ""
    assert [(one.error, one.exit_code) for one in results] == [("the table above says it", 2)]


def test_a_fault_of_ours_is_no_result_and_nobody_else_begins() -> None:
    begun: list[str] = []

    def work(name: str) -> None:
        begun.append(name)
        if name == "gpu02":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gone(5, work, parallel=1)
    assert begun[:2] == ["gpu01", "gpu02"]
    assert "gpu05" not in begun


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], 0), ([0, 0], 0), ([3], 3), ([0, 4, 4], 4), ([5, 0], 5), ([3, 4], 1), ([1, 5], 1), ([2, 2, 2], 2)],
)
def test_the_exit_code_is_the_one_that_all_failures_share(codes: list[int], expected: int) -> None:
    results = [HostResult("h", Report(io.StringIO()), "no" if code else None, code, 0.0) for code in codes]
    assert exit_code_of(results) == expected


def test_expected_errors_are_caught_and_no_others() -> None:
    def preflight() -> None:
        raise PreflightError(["no room"])

    assert attempt(lambda: 7) is None
    error = attempt(preflight)
    assert (str(error), error.exit_code if error else 0) == (
        "preflight found 1 problem; nothing was changed:\n  1. no room",
        3,
    )
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 / 0)


def test_every_line_says_whose_it_is_also_those_of_one_message() -> None:
    stream = io.StringIO()
    some = [host_settings(name="a"), host_settings(name="longer")]
    reports = reports_for(some, stream)
    reports["a"].info("one\ntwo")
    reports["longer"].info("three")
    reports["a"].progress("too early for a line of its own")
    assert stream.getvalue() == "a      | one\na      | two\nlonger | three\n"


def test_lines_of_many_threads_stay_whole() -> None:
    stream = Slow()
    names, count = ("a", "b", "c"), 100
    reports = reports_for([host_settings(name=name) for name in names], stream)

    def talk(name: str) -> None:
        for number in range(count):
            reports[name].info(f"{name}{number} one\n{name}{number} two")

    threads = [threading.Thread(target=talk, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 * len(names) * count
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        assert second == first.replace(" one", " two")
    for name in names:
        mine = [line.split()[2] for line in lines[::2] if line.startswith(f"{name} | ")]
        assert mine == [f"{name}{number}" for number in range(count)]


class Slow(io.StringIO):
    """Writes each text in two pieces, with time for another thread between them."""

    def write(self, text: str, /) -> int:
        half = len(text) // 2
        super().write(text[:half])
        time.sleep(0)
        return half + super().write(text[half:])
