"""Tasks of a stack's life: backup, backup.list, backup.verify. Without a host they work on this machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.base import LOCK_WAIT_HELP, host_task, run_options

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome


@host_task({"lock_wait": LOCK_WAIT_HELP}, here=True, default=True)
def make(choice: Choice, *, lock_wait: str | None = None) -> Outcome:
    """Back a stack up into its repository, encrypted, while people work."""
    from infra.lifecycle.backup_command import run_backup

    return run_backup(choice, run_options("backup", lock_wait=lock_wait))


@host_task(here=True, name="list")
def list_(choice: Choice) -> Outcome:
    """List the backups of a stack, the newest first."""
    from infra.lifecycle.backup_command import run_list

    return run_list(choice, run_options("backup.list"))


@host_task(here=True)
def verify(choice: Choice) -> Outcome:
    """Read every byte of a stack's backups and compare each with its manifest."""
    from infra.lifecycle.backup_command import run_verify

    return run_verify(choice, run_options("backup.verify"))
