"""`./inv lock.status`, `lock.take` and `lock.release` on hosts."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import SettingsError
from infra.fleet.choice import Choice, Outcome, fact_lines
from infra.fleet.on_hosts import on_hosts
from infra.fleet.parallel import exit_code_of
from infra.fleet.run import RunOptions
from infra.fleet.session import Session


def lock_status(choice: Choice, options: RunOptions) -> Outcome:
    """Say who holds each host."""

    def status(one: Session) -> str:
        info = one.lock.status()
        return "free" if info is None else f"held by {info.describe()}"

    return _on_locks(choice, options, status)


def lock_take(choice: Choice, options: RunOptions, message: str) -> Outcome:
    """Take the lock of each host for a person.

    Raises:
        SettingsError: no reason was given.
    """
    if not message.strip():
        raise SettingsError("--message: say why, for the others who will find the host locked")

    def take(one: Session) -> str:
        one.lock.take(message)
        one.report.ok("lock", ["take the lock"])
        return f'yours, "{message}"'

    return _on_locks(choice, options, take)


def lock_release(choice: Choice, options: RunOptions, *, own: bool, force: bool) -> Outcome:
    """Release the lock of each host; see `HostLock.release`."""

    def release(one: Session) -> str:
        info = one.lock.release(own=own, force=force)
        if info is None:
            return "nothing of yours to release"
        one.report.ok("lock", ["release the lock"])
        return f"released; it was held by {info.describe()}"

    return _on_locks(choice, options, release)


def _on_locks(choice: Choice, options: RunOptions, change: Callable[[Session], str]) -> Outcome:
    def work(one: Session) -> None:
        one.report.facts["lock"] = change(one)

    results = on_hosts(choice, options, work)
    return Outcome(results, "\n".join(fact_lines(results, "lock")), exit_code_of(results))
