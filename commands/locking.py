"""Tasks on the lock of a host: lock.status, lock.take, lock.release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.base import host_task, run_options

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome


@host_task()
def status(choice: Choice) -> Outcome:
    """Show who holds each host's lock."""
    from infra.deploy.lock_command import lock_status

    return lock_status(choice, run_options("lock.status"))


@host_task({"message": "why, for the others who will see it"})
def take(choice: Choice, message: str) -> Outcome:
    """Take the lock on hosts: no deploy starts there until you release it."""
    from infra.deploy.lock_command import lock_take

    return lock_take(choice, run_options("lock.take"), message)


@host_task(
    {
        "own": "no error where it is another's: for the step that a CI job always ends with",
        "force": "remove it, whoever holds it",
    }
)
def release(choice: Choice, *, own: bool = False, force: bool = False) -> Outcome:
    """Release your lock on hosts; `--force` removes another's."""
    from infra.deploy.lock_command import lock_release

    return lock_release(choice, run_options("lock.release"), own=own, force=force)
