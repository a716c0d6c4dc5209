"""What a deploy asks of a host's engine, which may not run yet; and the stand-in as part of a run."""

from __future__ import annotations

from contextlib import closing

from core.operation import Runner
from core.report import Report
from hosts.base import Host
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.stack.site import Site
from infra.stack.stages import stack_running, stand_in
from infra.stack.stand_in import StandIn, StandInGone


def image_id(host: Host, tag: str) -> str:
    """The id of an image; empty where it is not there."""
    from docker.errors import ImageNotFound

    if engine_state(host) is not EngineState.ANSWERS:
        return ""
    with closing(engine_client(host)) as engine:
        try:
            return str(engine.images.get(tag).id)
        except ImageNotFound:
            return ""


def label_studio_runs(site: Site) -> bool:
    """Whether its container runs."""
    if engine_state(site.host) is not EngineState.ANSWERS:
        return False
    with closing(engine_client(site.host)) as engine:
        container = stack_running(site, lambda: engine, Report()).container("label-studio")
    return container is not None and container.status == "running"


def announce_stand_in(run: Runner, site: Site) -> None:
    """Say in a plan that clicks are answered while the head is replaced, where it answers them now."""
    if not label_studio_runs(site):
        return
    with closing(engine_client(site.host)) as engine:
        if stand_in(site, lambda: engine, Report()).has_replica():
            run.report.info("    ~ where Ray's container is replaced, a stand-in answers clicks meanwhile")


def stand_in_stage(run: Runner, gone: StandInGone, meanwhile: StandIn) -> None:
    """Let a stand-in go where there is one, as a stage of its own."""
    if meanwhile.is_there():
        with run.report.stage("stand-in", numbered=False):
            run.run([gone])
