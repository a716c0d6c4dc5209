"""Tasks that only look: status, logs, tunnel, doctor, sbom. Without a host they look at this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from commands.base import HOST_HELP, choose, expected_errors_in_words, host_task, number, run_options

if TYPE_CHECKING:
    from infra.fleet.choice import Choice, Outcome


@host_task(here=True)
def status(choice: Choice) -> Outcome:
    """Show the state of a stack: containers, model, device, GPU memory, disk, release."""
    from infra.doctor.command import run_status

    return run_status(choice, run_options("status"))


@host_task(
    {
        "tell": "tell people what broke or holds again since they were last told; for a timer (docs/alerts.md): the "
        "exit code is 0 where they know"
    },
    here=True,
)
def doctor(choice: Choice, *, tell: bool = False) -> Outcome:
    """Walk from SSH to a click; name the first broken link and its fix. Exit codes: 1 broken, 2 warnings only."""
    from infra.alerts.command import run_doctor_and_tell
    from infra.config.settings import env_file, load_alert_settings
    from infra.doctor.command import run_doctor

    options = run_options("doctor")
    if not tell:
        return run_doctor(choice, options)
    return run_doctor_and_tell(choice, options, load_alert_settings(env_file(os.environ), os.environ))


@host_task(
    {"out": "a folder that gets SERVICE.cdx.json for each image (with --host, below a folder of its own)"}, here=True
)
def sbom(choice: Choice, *, out: str | None = None) -> Outcome:
    """List what is in each image of a stack, Debian and Python packages with licences and hashes, as CycloneDX 1.6."""
    from pathlib import Path

    from infra.doctor.sbom_command import run_sbom

    return run_sbom(choice, run_options("sbom"), Path(out).expanduser().absolute() if out is not None else None)


@host_task(
    {
        "service": "label-studio, sam2 or db (default: all); may be given several times",
        "follow": "go on until stopped by hand",
        "since": "only what is newer: 10m, 2h, or a time such as 2026-05-01T12:00:00",
        "lines": "the last so many lines of each service (default: 100, or with --since all)",
        "all": "every line, health checks too",
    },
    ["service"],
    here=True,
    results=(),
)
def logs(
    choice: Choice,
    service: list[str],
    *,
    follow: bool = False,
    since: str | None = None,
    lines: str | None = None,
    all: bool = False,
) -> None:
    """Show the last lines that the containers wrote, without health checks; with --follow until Ctrl-C."""
    from infra.doctor.command import run_logs

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
