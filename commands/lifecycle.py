"""Tasks of a stack's life: backups, restore, upgrade. Without a host they work on this machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.base import LOCK_WAIT_HELP, confirm, host_task, local_settings, run_options

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


@host_task(
    {
        "snapshot": "the backup, as `backup.list` names it (default: the newest)",
        "drill": "restore into a throw-away stack beside the one that serves, click, take it down; nothing is replaced",
        "yes": "do not ask",
        "without_backup": "do not back the present state up first: for a stack that is too broken for it",
        "lock_wait": LOCK_WAIT_HELP,
    },
    here=True,
)
def restore(
    choice: Choice,
    snapshot: str = "",
    *,
    drill: bool = False,
    yes: bool = False,
    without_backup: bool = False,
    lock_wait: str | None = None,
) -> Outcome:
    """Restore a stack from a backup, also onto a bare machine, and prove it with a click."""
    from infra.lifecycle.restore import RestoreRequest
    from infra.lifecycle.restore_command import drill_stacks, restore_on_host, restore_on_this_machine

    if drill:
        return drill_stacks(choice, run_options("restore --drill", lock_wait=lock_wait), snapshot)
    request = RestoreRequest(snapshot, None if yes else confirm, keeps_present=not without_backup)
    if choice.names_hosts:
        return restore_on_host(choice, run_options("restore", lock_wait=lock_wait), request)
    return restore_on_this_machine(local_settings(), request)


@host_task(
    {
        "yes": "do not ask",
        "without_backup": "do not back the present state up first: rely on the copy of the database beside it",
        "lock_wait": LOCK_WAIT_HELP,
    },
    here=True,
)
def upgrade(
    choice: Choice, *, yes: bool = False, without_backup: bool = False, lock_wait: str | None = None
) -> Outcome:
    """Bring a stack to this version, with its data; where the gate fails, the old one serves with the old data."""
    from infra.lifecycle.upgrade import UpgradeRequest
    from infra.lifecycle.upgrade_command import upgrade_hosts, upgrade_this_machine

    request = UpgradeRequest(None if yes else confirm, backs_up=not without_backup)
    if choice.names_hosts:
        return upgrade_hosts(choice, run_options("upgrade", lock_wait=lock_wait), request)
    return upgrade_this_machine(local_settings(), request)
