"""Tasks on stacks that run: down, restart, exec, prune, secrets.rotate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from commands.base import (
    HOST_HELP,
    LOCK_WAIT_HELP,
    RESULT_HELP,
    choose,
    confirm,
    expected_errors_in_words,
    host_task,
    out,
    run_options,
    seconds,
)

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome

BEHIND = "behind"  # in Invoke's configuration: the words of the command line behind `--`


@host_task(
    {
        "purge": "also remove the volumes (projects, annotations, accounts, models), images and files of the stack",
        "yes": "do not ask",
        "lock_wait": LOCK_WAIT_HELP,
    },
    here=True,
)
def down(choice: Choice, *, purge: bool = False, yes: bool = False, lock_wait: str | None = None) -> Outcome:
    """Stop a stack and keep everything; with --purge remove it, after its name was typed."""
    from infra.services.down_command import run_down

    return run_down(choice, run_options("down", lock_wait=lock_wait), purge=purge, ask=None if yes else confirm)


@host_task(
    {
        "service": "label-studio, sam2, proxy or db (default: all); may be given several times",
        "lock_wait": LOCK_WAIT_HELP,
    },
    ["service"],
    here=True,
)
def restart(choice: Choice, service: list[str], *, lock_wait: str | None = None) -> Outcome:
    """Restart containers of a stack and wait until they are healthy; one that is down is started."""
    from infra.services.restart import run_restart

    return run_restart(choice, run_options("restart", lock_wait=lock_wait), service)


@host_task(
    {
        "secret": "database, secret-key, backend, token, password, or all; may be given several times",
        "yes": "do not ask",
        "lock_wait": LOCK_WAIT_HELP,
    },
    ["secret"],
    here=True,
)
def rotate(choice: Choice, secret: list[str], *, yes: bool = False, lock_wait: str | None = None) -> Outcome:
    """Make secrets of a stack anew; it serves again at the end, and the values from before are void."""
    from infra.rotation.command import run_rotate
    from infra.rotation.kinds import chosen

    kinds = chosen(secret)
    options = run_options("secrets.rotate", lock_wait=lock_wait)
    return run_rotate(choice, options, kinds, confirm=None if yes else confirm)


@host_task({"dry_run": "only show it", "yes": "do not ask", "lock_wait": LOCK_WAIT_HELP}, here=True)
def prune(choice: Choice, *, dry_run: bool = False, yes: bool = False, lock_wait: str | None = None) -> Outcome:
    """Remove what labelrig left and nothing needs: old images and releases, remains of killed runs; shown first."""
    from infra.pruning.command import run_prune

    options = run_options("prune", lock_wait=lock_wait)
    return run_prune(choice, options, confirm=None if yes else confirm, dry_run=dry_run)


@task(
    name="exec",
    positional=["service"],
    iterable=["host"],
    help={
        "service": "label-studio, sam2, proxy or db",
        "host": "a host of infra/inventory.yaml, or USER@NAME[:PORT] (default: this machine)",
        "inventory": HOST_HELP["inventory"],
        "timeout": "how long it may take, such as 90s or 2h (default: 1h; at a terminal of this machine no limit)",
        "json": RESULT_HELP["json"],
    },
)
@expected_errors_in_words
def exec_(
    context: Context,
    service: str,
    host: list[str],
    inventory: str | None = None,
    timeout: str | None = None,
    json: bool = False,
) -> None:
    """Run a command in the container of a service: what stands behind `--`. Its exit code is the command's.

    On this machine it has your terminal. On a host it gets what is piped in and no terminal, and shows its output when
    it has ended; the audit log there has a line, without the command.
    """
    from core.report import Report
    from infra.services.exec_command import ExecRequest, run_exec

    limit = None if timeout is None else seconds("--timeout", timeout)
    piped = None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer
    request = ExecRequest(service, context.config.get(BEHIND, ()), limit, capture=json, stdin=piped)
    report = Report()
    result = run_exec(choose(host, [], None, inventory), run_options(f"exec {service}"), request, report)
    if json:
        report.facts |= {"exit_code": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}
        out(report.as_json())
    if not result.ok:
        raise Exit("", code=result.exit_code)
