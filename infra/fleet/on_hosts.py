"""The loop over hosts: the same work on each of them, or on this machine where a command works without a host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.results import HostResult
from infra.config.host_settings import HostSettings
from infra.fleet.choice import Choice, Outcome, fact_lines
from infra.fleet.parallel import exit_code_of, on_each, reports_for
from infra.fleet.run import RunOptions
from infra.fleet.session import Session, session

THIS_MACHINE = "this machine"

Work = Callable[[Session], str]  # returns its text for people


def on_hosts(
    choice: Choice,
    options: RunOptions,
    work: Callable[[Session], None],
    *,
    lock: bool = False,
    audit: bool = False,
    parallel: int | None = None,
    first_alone: bool = False,
) -> list[HostResult]:
    """Do the work on each host.

    Args:
        work: raises a LabelrigError where it fails.
        lock, audit: see `session`.
        parallel: how many hosts at once, where that is not the choice of the command line.
        first_alone: begin with the first host; no other begins after one has failed.
    """
    hosts = choice.select()

    def on_one(host_settings: HostSettings, report: Report) -> None:
        with session(options, host_settings, report, lock=lock, audit=audit) as one:
            work(one)

    return on_each(
        hosts,
        reports_for(hosts),
        on_one,
        parallel=parallel or choice.parallel,
        fail_fast=first_alone,
        barrier=first_alone,
    )


def on_this_machine(options: RunOptions, work: Callable[[Session], None]) -> HostResult:
    """Do the work on this machine's stack; an error that was shown already is part of the result.

    Raises:
        LabelrigError: it failed.
    """
    report, began = Report(), time.monotonic()
    error: LabelrigError | None = None
    try:
        with session(options, None, report) as one:
            work(one)
    except LabelrigError as raised:
        if not raised.shown:
            raise
        error = raised
    seconds = time.monotonic() - began
    return HostResult(THIS_MACHINE, report, str(error) if error else None, error.exit_code if error else 0, seconds)


def run_work(choice: Choice, options: RunOptions, work: Work, *, changes: bool = False) -> Outcome:
    """Do work on projects: on each host that was named, else on this machine.

    Args:
        changes: the work changes something: it holds a host's lock, and stands in its audit log.
    """

    def keep(one: Session) -> None:
        one.report.facts["text"] = work(one)

    if not choice.names_hosts:
        result = on_this_machine(options, keep)
        return Outcome([result], str(result.report.facts.pop("text")), 0, alone=True)
    results = on_hosts(choice, options, keep, lock=changes, audit=changes)
    return Outcome(results, "\n".join(fact_lines(results, "text")), exit_code_of(results))


def only_one(choice: Choice) -> Choice:
    """The choice of a command that works on one stack.

    Raises:
        SettingsError: the command line names several hosts.
    """
    if choice.names_hosts and len(hosts := choice.select()) != 1:
        raise SettingsError(f"this works on one host; these are {', '.join(host.name for host in hosts)}")
    return choice


@contextmanager
def one_session(choice: Choice, options: RunOptions, report: Report | None = None) -> Iterator[Session]:
    """Work on the one host that was named, or on this machine.

    Raises:
        SettingsError: several hosts were named.
    """
    hosts = only_one(choice).select() if choice.names_hosts else [None]
    with session(options, hosts[0], report or Report()) as one:
        yield one
