"""Tasks on the lock of a host: lock.status, lock.take, lock.release."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from commands.base import HOST_HELP, choose, expected_errors_in_words, finish, run_options

MANY = ["host", "group"]
HELP = {**HOST_HELP, "json": "print the result as JSON on stdout"}


@task(iterable=MANY, help=HELP)
@expected_errors_in_words
def status(
    _context: Context,
    host: list[str],
    group: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Show who holds the lock of hosts."""
    from infra.deploy.lock_command import lock_status

    finish(lock_status(choose(host, group, limit, inventory), run_options("lock.status")), json=json)


@task(iterable=MANY, help={**HELP, "message": "why, for the others who will see it"})
@expected_errors_in_words
def take(
    _context: Context,
    host: list[str],
    group: list[str],
    message: str,
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Take the lock of hosts: no deploy starts there until you release it."""
    from infra.deploy.lock_command import lock_take

    finish(lock_take(choose(host, group, limit, inventory), run_options("lock.take"), message), json=json)


@task(
    iterable=MANY,
    help={
        **HELP,
        "own": "no error where it is another's: for the step that a CI job always ends with",
        "force": "remove it, whoever holds it",
    },
)
@expected_errors_in_words
def release(
    _context: Context,
    host: list[str],
    group: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    own: bool = False,
    force: bool = False,
    json: bool = False,
) -> None:
    """Release your own lock of hosts."""
    from infra.deploy.lock_command import lock_release

    choice = choose(host, group, limit, inventory)
    finish(lock_release(choice, run_options("lock.release"), own=own, force=force), json=json)
