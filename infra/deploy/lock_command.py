"""`./inv lock.status`, `lock.take` and `lock.release` on hosts."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import SettingsError
from core.report import Report
from core.results import HostResult
from infra.config.host_settings import HostSettings
from infra.fleet.choice import Choice, Outcome, failed_line
from infra.fleet.parallel import exit_code_of, on_each, reports_for
from infra.fleet.run import RunOptions
from infra.fleet.target import base_folder
from infra.releases.lock import HostLock

NOBODY = "free"


def lock_status(choice: Choice, options: RunOptions) -> Outcome:
    """Say who holds each host."""

    def look(lock: HostLock, _report: Report) -> str:
        info = lock.status()
        return NOBODY if info is None else f"held by {info.describe()}"

    return _on_locks(choice, options, look)


def lock_take(choice: Choice, options: RunOptions, message: str) -> Outcome:
    """Take the lock of each host for a person.

    Raises:
        SettingsError: no reason was given.
    """
    if not message.strip():
        raise SettingsError("--message: say why, for the others who will find the host locked")

    def take(lock: HostLock, report: Report) -> str:
        lock.take(message)
        report.ok("lock", ["take the lock"])
        return f'yours, "{message}"'

    return _on_locks(choice, options, take)


def lock_release(choice: Choice, options: RunOptions, *, own: bool, force: bool) -> Outcome:
    """Release the lock of each host; see `HostLock.release`."""

    def release(lock: HostLock, report: Report) -> str:
        info = lock.release(own=own, force=force)
        if info is None:
            return "nothing of yours to release"
        report.ok("lock", ["release the lock"])
        return f"released; it was held by {info.describe()}"

    return _on_locks(choice, options, release)


def _on_locks(choice: Choice, options: RunOptions, ask: Callable[[HostLock, Report], str]) -> Outcome:
    hosts = choice.select()
    reports = reports_for(hosts)

    def work(host_settings: HostSettings, report: Report) -> None:
        owner = options.owner()
        host = options.connect(host_settings, owner.id, report)
        try:
            report.facts["lock"] = ask(HostLock(host, base_folder(host_settings), owner, report), report)
        finally:
            host.close()

    results = on_each(hosts, reports, work, parallel=choice.parallel, fail_fast=False, barrier=False)
    return Outcome(results, "\n".join(map(_line, results)), exit_code_of(results))


def _line(result: HostResult) -> str:
    if result.error is not None:
        return failed_line(result)
    return f"{result.host}: {result.report.facts['lock']}"
