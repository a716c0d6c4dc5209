"""Whether a service of a stack runs, before something is asked of it."""

from __future__ import annotations

from contextlib import closing

from core.errors import LabelrigError
from core.report import Report
from infra.roles.docker.client import engine_client
from infra.stack.site import Site
from infra.stack.stages import stack_running


def refuse_stopped(site: Site, service: str) -> None:
    """Make sure that a service's container runs.

    Raises:
        LabelrigError: it does not.
    """
    with closing(engine_client(site.host)) as engine:
        container = stack_running(site, lambda: engine, Report()).container(service)
    status = "not there" if container is None else container.status
    if status != "running":
        where = "" if site.host.is_local else f" --host {site.host.name}"
        raise LabelrigError(
            f"{site.host.name}: the container of {service} does not run (it is {status}); "
            f"`./inv restart{where}` starts it, `./inv logs {service}{where}` shows what it said last"
        )
