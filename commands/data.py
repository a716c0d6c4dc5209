"""Tasks on what people have made: database.move."""

from __future__ import annotations

from typing import get_args

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from commands.base import HOST_HELP, choose, confirm, expected_errors_in_words, finish, local_settings, out, wishes


@task(
    iterable=["host", "group"],
    help={
        **HOST_HELP,
        "host": "a host of infra/inventory.yaml, or USER@NAME[:PORT] (default: this machine)",
        "to": "postgres or sqlite",
        "replace": "put work aside that the target holds already",
        "yes": "do not ask; Label Studio is stopped while the work is copied",
        "lock_wait": "how long to wait when another run holds the host, such as 90s or 30m",
        "json": "print the result as JSON on stdout",
    },
)
@expected_errors_in_words
def move(
    _context: Context,
    host: list[str],
    group: list[str],
    to: str,
    limit: str | None = None,
    inventory: str | None = None,
    replace: bool = False,
    yes: bool = False,
    lock_wait: str | None = None,
    json: bool = False,
) -> None:
    """Move projects, annotations and users from SQLite to PostgreSQL or back; nothing is deleted."""
    from infra.settings import Database

    if to not in get_args(Database):
        raise Exit(f"error: --to {to}: must be {' or '.join(get_args(Database))}", code=2)
    if not yes:
        confirm("Label Studio stops while the work is copied; some 10 000 tasks take one to two minutes.")
    if host or group or limit:
        from infra.deploy.move_command import run_move

        choice = choose(host, group, limit, inventory)
        said = wishes("database.move", lock_wait=lock_wait)
        finish(run_move(choice, said, to, replace_target=replace), json=json)  # type: ignore[arg-type]
        return
    from infra.database.here import move_here
    from infra.deploy.move_command import told
    from infra.report import Report

    report = Report()
    moved = move_here(local_settings(), to, report, replace_target=replace)  # type: ignore[arg-type]
    report.facts["moved"] = told(moved)
    out(report.as_json() if json else f"{told(moved)}\n\n{report.recap()}")
