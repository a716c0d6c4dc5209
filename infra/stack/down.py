"""Stop a stack and keep everything, or remove the containers and volumes that are its own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests
from docker.errors import DockerException

from core.errors import HostError, LabelrigError
from core.report import Report
from core.text import aligned, size_text
from infra.roles.docker.client import EngineState, engine_client, engine_state
from infra.roles.preflight.role import LABEL_PROJECT
from infra.roles.stack.render import STAND_IN
from infra.stack.site import Site

if TYPE_CHECKING:
    from docker import DockerClient

DOWN_TIMEOUT = 240.0
SIZES_TIMEOUT = 120  # the engine adds up every file of every volume


@dataclass(frozen=True)
class Belongings:
    """What a stack has in its Docker engine.

    Attributes:
        containers: their names.
        volumes: name -> bytes; None where the engine does not say.
    """

    containers: tuple[str, ...]
    volumes: dict[str, int | None]

    def volume_lines(self) -> list[str]:
        """A line for each volume with its size, for people."""
        rows = [(name, "?" if size is None else size_text(size)) for name, size in self.volumes.items()]
        return aligned(rows) if rows else []


def belongings(site: Site) -> Belongings:
    """Say what a stack has in its engine, with the sizes of its volumes. Changes nothing.

    Raises:
        LabelrigError: the engine does not answer.
    """
    _refuse_silent_engine(site)
    with contextlib.closing(engine_client(site.host, timeout=SIZES_TIMEOUT)) as engine:
        containers, volumes = _found(engine, site)
        try:
            used = {one["Name"]: one.get("UsageData") or {} for one in engine.df().get("Volumes") or []}
        except (DockerException, requests.RequestException):
            used = {}
        sizes = {name: used.get(name, {}).get("Size") for name in volumes}
    return Belongings(tuple(containers), {name: size if size != -1 else None for name, size in sizes.items()})


def take_down(site: Site, report: Report, *, volumes: bool = False) -> None:
    """Stop and remove the containers and the network; volumes, images and files stay.

    Args:
        volumes: remove the stack's volumes too. There is no way back.

    Raises:
        LabelrigError: the engine does not answer, so nothing can be said about the containers; or the files are gone
            that compose needs.
    """
    _refuse_silent_engine(site)
    with contextlib.closing(engine_client(site.host)) as engine:
        containers, names = _found(engine, site)
        gone = names if volumes else []
        if not containers and not gone:
            report.ok("nothing of this project runs", [])
            return
        _refuse_missing_files(site)
        report.changing(f"stop {len(containers)} containers" + (f", remove {len(gone)} volumes" if volumes else ""))
        also = ("--profile", STAND_IN) if site.part == "head" else ()
        arguments = (*also, "down", "--remove-orphans", *(("--volumes",) if volumes else ()))
        site.compose.run(*arguments, timeout=DOWN_TIMEOUT, on_line=report.progress)
        if volumes:
            _remove_left(engine, site)
        done = [f"stopped {name}" for name in containers]
        report.ok("containers stopped", done + [f"removed volume {name}" for name in gone])


def _refuse_silent_engine(site: Site) -> None:
    if engine_state(site.host) is not EngineState.ANSWERS:
        where = "here" if site.host.is_local else f"on {site.host.name}"
        raise LabelrigError(f"no Docker engine answers {where}, so nothing of this project runs or can be removed")


def _refuse_missing_files(site: Site) -> None:
    files, as_root = site.files, not site.host.is_local
    gone = [path for path in (files.env, *files.compose) if site.host.read(path, as_root=as_root) is None]
    if gone:
        task = "up" if site.host.is_local else f"deploy --host {site.host.name}"
        raise LabelrigError(
            f"{gone[0]} is not there, so compose does not know the project {site.settings.project}; "
            f"run `./inv {task}` once to have it rendered again, then `./inv down`"
        )


def _found(engine: DockerClient, site: Site) -> tuple[list[str], list[str]]:
    """The names of the stack's containers and volumes."""
    ours: dict[str, Any] = {"label": [f"{LABEL_PROJECT}={site.settings.project}"]}
    try:
        containers = engine.containers.list(all=True, filters=ours, ignore_removed=True)
        return [str(one.name) for one in containers], [str(one.name) for one in engine.volumes.list(filters=ours)]
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"{site.host.name}: the docker engine does not list what it has: {error}") from error


def _remove_left(engine: DockerClient, site: Site) -> None:
    """Remove the volumes that the present files do not name: those of a database that was moved away from."""
    left: Sequence[str] = _found(engine, site)[1]
    try:
        for name in left:
            engine.volumes.get(name).remove()
    except (DockerException, requests.RequestException) as error:
        raise HostError(f"{site.host.name}: a volume cannot be removed: {error}") from error
