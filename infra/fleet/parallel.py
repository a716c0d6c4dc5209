"""One command on several hosts: the first alone, as a barrier; then the others side by side, as many as allowed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from core.errors import LabelrigError
from core.report import Report
from core.results import HostResult
from core.terminal import Screen, Stream
from infra.config.host_settings import HostSettings

SKIPPED = "not tried, since a host before it failed"


def reports_for(hosts: Sequence[HostSettings], stream: Stream | None = None) -> dict[str, Report]:
    """A report for each host; where there are several, each line says whose it is."""
    if len(hosts) == 1:
        return {hosts[0].name: Report(stream)}
    into = stream or sys.stderr
    screen = into if isinstance(into, Screen) else Screen(into)
    width = max((len(host.name) for host in hosts), default=0)
    return {host.name: Report(screen, prefix=f"{host.name:<{width}} | ") for host in hosts}


def on_each(
    hosts: Sequence[HostSettings],
    reports: dict[str, Report],
    work: Callable[[HostSettings, Report], None],
    *,
    parallel: int,
    fail_fast: bool,
    barrier: bool,
) -> list[HostResult]:
    """Do the work on every host.

    Args:
        work: raises a LabelrigError where it fails.
        parallel: how many hosts at once.
        fail_fast: a host that failed keeps those from beginning that have not begun.
        barrier: the first host goes alone, and when it fails no other begins.

    Returns:
        How it went, in the order of `hosts`.
    """
    stop = threading.Event()

    def one(host: HostSettings) -> HostResult:
        report = reports[host.name]
        if stop.is_set():
            report.skipped(host.name, SKIPPED)
            return HostResult(host.name, report, SKIPPED, 1, 0.0)
        began = time.monotonic()
        error = attempt(lambda: work(host, report))
        if error is None:
            return HostResult(host.name, report, None, 0, time.monotonic() - began)
        if not error.shown:
            own_name = f"{host.name}: "
            text = str(error).removeprefix(own_name)
            report.info(f"error: {text if len(hosts) > 1 else own_name + text}")
        if fail_fast:
            stop.set()
        return HostResult(host.name, report, str(error), error.exit_code, time.monotonic() - began)

    first = [one(host) for host in hosts[:1]] if barrier and len(hosts) > 1 else []
    if first and first[0].exit_code:
        stop.set()
    rest = hosts[len(first) :]
    if len(rest) == 1:
        return [*first, one(rest[0])]
    with ThreadPoolExecutor(max_workers=max(1, parallel)) as pool:
        return [*first, *pool.map(one, rest)]


def attempt(work: Callable[[], object]) -> LabelrigError | None:
    """Do something; return its expected error, if any."""
    try:
        work()
    except LabelrigError as error:
        return error
    return None


def exit_code_of(results: Sequence[HostResult]) -> int:
    """What the process returns: 0, the one code that all failures share, or 1. A host not tried is no failure."""
    codes = {one.exit_code for one in results if one.exit_code and one.error != SKIPPED}
    return codes.pop() if len(codes) == 1 else int(bool(codes))
