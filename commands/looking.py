"""Tasks that only look: status, logs, tunnel, doctor. Without a host they look at this machine."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from commands.base import HOST_HELP, choose, expected_errors_in_words, finish, number, run_options

MANY = ["host", "group"]
HELP = {
    **HOST_HELP,
    "host": "a host of infra/inventory.yaml, or USER@NAME[:PORT] (default: this machine); may be given several times",
    "json": "print the result as JSON on stdout",
}


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
    """Show the state of a stack: containers, model, device, GPU memory, disk, release."""
    from infra.doctor.command import run_status

    finish(run_status(choose(host, group, limit, inventory), run_options("status")), json=json)


@task(iterable=MANY, help=HELP)
@expected_errors_in_words
def doctor(
    _context: Context,
    host: list[str],
    group: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    json: bool = False,
) -> None:
    """Walk from SSH to a click; name the first broken link and its fix. Exit code 1: broken, 2: warnings only."""
    from infra.doctor.command import run_doctor

    finish(run_doctor(choose(host, group, limit, inventory), run_options("doctor")), json=json)


@task(
    iterable=[*MANY, "service"],
    help={
        **{name: text for name, text in HELP.items() if name != "json"},
        "service": "label-studio, sam2 or db (default: all); may be given several times",
        "follow": "go on until stopped by hand",
        "since": "only what is newer: 10m, 2h, or a time such as 2026-05-01T12:00:00",
        "lines": "the last so many lines of each service (default: 100, or with --since all)",
        "all": "every line, health checks too",
    },
)
@expected_errors_in_words
def logs(
    _context: Context,
    host: list[str],
    group: list[str],
    service: list[str],
    limit: str | None = None,
    inventory: str | None = None,
    follow: bool = False,
    since: str | None = None,
    lines: str | None = None,
    all: bool = False,
) -> None:
    """Show the last lines that the containers wrote, without health checks; with --follow until Ctrl-C."""
    from infra.doctor.command import run_logs

    choice = choose(host, group, limit, inventory)
    count = number("--lines", lines)
    run_logs(choice, run_options("logs"), service, follow=follow, since=since, lines=count, everything=all)


@task(
    iterable=["host"],
    help={
        "host": HOST_HELP["host"].partition(";")[0],
        "inventory": HOST_HELP["inventory"],
        "local_port": "port on this machine (default: the host's own, or a free one where that is taken)",
    },
)
@expected_errors_in_words
def tunnel(_context: Context, host: list[str], inventory: str | None = None, local_port: str | None = None) -> None:
    """Open a host's Label Studio on this machine without publishing a port, until Ctrl-C."""
    from infra.doctor.command import run_tunnel

    run_tunnel(choose(host, [], None, inventory), run_options("tunnel"), number("--local-port", local_port))
