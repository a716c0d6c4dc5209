"""`./inv restart [SERVICE]`: containers end and start again, and are waited for until they are healthy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from core.operation import converge
from infra.fleet.choice import Choice, Outcome
from infra.fleet.on_hosts import run_work
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.roles.docker.client import engine_client
from infra.stack.stages import stack_operations, stack_running
from infra.stack.unfinished import refuse_unfinished

RESTART_TIMEOUT = 300.0


def run_restart(choice: Choice, options: RunOptions, services: Sequence[str]) -> Outcome:
    """Restart services of each stack; all of them where none is named."""
    return run_work(choice, options, lambda one: restart(one, services), changes=True)


def restart(one: Session, services: Sequence[str]) -> str:
    """Restart services of one stack; a stack that is down is started.

    Returns:
        What was done, for people.

    Raises:
        SettingsError: there is no such service.
        LabelrigError: there is no stack, or one of its services does not become healthy; with its last lines.
    """
    site, report = one.site, one.report
    site.refuse_unknown(services)
    site.refuse_missing()
    refuse_unfinished(site)
    wanted = [service for service in site.services if not services or service in services]
    with report.stage("restart"), closing(engine_client(site.host)) as engine:
        running = stack_running(site, lambda: engine, report)
        missing = [service for service in site.services if running.container(service) is None]
        if missing:
            converge(stack_operations(site, lambda: engine, report), report)
            return f"started {', '.join(missing)}; all services are healthy"
        report.changing(f"restart {', '.join(wanted)}")
        site.compose.run("restart", *wanted, timeout=RESTART_TIMEOUT, on_line=report.progress)
        running.wait_until_healthy()
        report.ok(running.name, [f"restart {service}" for service in wanted])
    report.facts["restarted"] = wanted
    return f"restarted {', '.join(wanted)}; all services are healthy"
