"""The links of the containers: they run, they reach each other, and nothing of them points to `localhost`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from core.errors import LabelrigError
from infra.config.dotenv import parse_env_bytes
from infra.doctor.diagnosis import Finding, broken, ok, warning
from infra.doctor.inside import Probe, probe
from infra.doctor.inspection import Inspection
from infra.roles.images.registry import present
from infra.roles.stack.containers import health_of, last_lines, restarts_of
from infra.roles.stack.render import STAND_IN, images_of

if TYPE_CHECKING:
    from docker.models.containers import Container

LOG_LINES = 8
RESTART_IS_NEWS = 15.0  # minutes
KILLED = 137
LABEL_STUDIO, SAM2 = "label-studio", "sam2"
# The whole value, or the host of a URL in it. 0.0.0.0 is no such address: it is where a server listens.
LOOPBACK = re.compile(
    r"^(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?(?P<host>localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)(?::\d+)?(?:[/?#].*)?$",
    re.IGNORECASE,
)
# What people, and tasks, may call Label Studio, not where a container finds it.
FOR_PEOPLE = {"LABEL_STUDIO_PUBLIC_URL", "LABELRIG_PUBLIC_URL"}


def check_containers(look: Inspection) -> Finding:
    """Every service runs, is healthy, and does not keep restarting."""
    notes, running = [], []
    for service in look.site.services:
        container = look.container(service)
        if container is None:
            return broken(f"{service} has no container", look.again)
        if (wrong := _wrong(look, service, container)) is not None:
            return wrong
        if (minutes := _restarted_ago(look, container)) is not None:
            notes.append(
                f"{service} was restarted {minutes:.0f} min ago, {restarts_of(container)} times since it was made"
            )
        running.append(service)
    if look.site.part == "head" and look.container(STAND_IN) is not None:
        notes.append("a stand-in answers clicks, as while a deploy replaces ray, or after one that was cut off")
    notes += _drift(look)
    if notes:
        return warning("; ".join(notes), f"{look.inv('logs')} says why it restarts; {look.again} applies new settings")
    return ok(f"healthy: {', '.join(running)}")


def check_images(look: Inspection) -> Finding:
    """The engine still has the image of each service: its container runs on without it, and cannot be made anew."""
    wanted = {
        service: str(container.attrs["Config"]["Image"])
        for service in look.site.services
        if (container := look.container(service)) is not None
    }
    env = look.host.read(look.site.files.env, as_root=not look.host.is_local)
    if env is not None:
        wanted |= images_of(parse_env_bytes(env, look.site.files.env))
    with look.asking_engine() as engine:
        there = present(list(wanted.values()), engine)
    missing = [f"{tag} of {service}" for service, tag in wanted.items() if tag not in there]
    if missing:
        noun = "the image" if len(missing) == 1 else "the images"
        return warning(
            f"{noun} {' and '.join(missing)} cannot be found in the engine: a container of it cannot be made anew",
            f"{look.again} builds or sends what lacks",
        )
    return ok(f"{len(wanted)} images")


def check_ls_to_sam2(look: Inspection) -> Finding:
    """From inside the label-studio container to the backend: name, TCP, HTTP."""
    return _way(look, LABEL_STUDIO, SAM2, 9090, "/health")


def check_sam2_to_ls(look: Inspection) -> Finding:
    """From inside the backend's container to Label Studio; on a head that is on the host's network."""
    if look.site.part != "head":
        return _way(look, SAM2, LABEL_STUDIO, 8080, "/health")
    settings = look.site.settings
    return _way(look, look.site.computes, settings.own_address, settings.port, "/health")


def check_no_localhost(look: Inspection) -> Finding:
    """No setting and no registered backend points to `localhost`: inside a container that is the container itself."""
    found = [
        f"{service}: {name} points to {host}"
        for service in (LABEL_STUDIO, SAM2)
        for name, host in _loopback_settings(look.container(service))
    ]
    if found:
        return broken(
            f"{'; '.join(found)}: inside a container that is the container itself",
            f"take it out of .env, the inventory or the compose files, then {look.again}",
        )
    try:
        backends = look.client.backends(look.project().id)
    except LabelrigError as error:
        # Why it cannot be asked is the business of the links behind this one.
        return ok(f"no setting does; the registered backends were not looked at ({str(error).splitlines()[0]})")
    for backend in backends:
        if LOOPBACK.match(backend.url):
            return broken(
                f"ML backend {backend.id} of the project is registered at {backend.url}: inside a container that is "
                "the container itself",
                f"delete it in the project's settings (Model), then {look.again} registers http://sam2:9090",
            )
    return ok(f"no setting and none of {len(backends)} registered backends does")


def _wrong(look: Inspection, service: str, container: Container) -> Finding | None:
    state: dict[str, Any] = container.attrs["State"]
    health = health_of(container)
    if container.status == "running" and health in ("healthy", "running"):
        return None
    if container.status == "running" and health == "starting":
        return broken(f"{service} is still starting", f"wait a minute; {look.inv('logs')} shows how far it is")
    if container.status == "running":
        log = state.get("Health", {}).get("Log") or [{}]
        said = " ".join(str(log[-1].get("Output", "")).split())[:300]
        seen = f"{service} is {health}; its health check says: {said or '(nothing)'}"
        fix = f"{look.again} restarts it; {look.inv('logs')} shows more"
    else:
        seen = f"{service} is {container.status} (exit code {state.get('ExitCode')}{_killed(state)})"
        fix = look.again
    return broken(f"{seen}\n{_indented(container)}", fix)


def _restarted_ago(look: Inspection, container: Container) -> float | None:
    """How many minutes ago the engine restarted a container; None where that is long past, or never happened."""
    if not restarts_of(container):
        return None
    with look.asking_engine() as engine:
        now = datetime.fromisoformat(str(engine.info()["SystemTime"]))
    started = datetime.fromisoformat(str(container.attrs["State"]["StartedAt"]))
    minutes = (now - started).total_seconds() / 60
    return minutes if minutes < RESTART_IS_NEWS else None


def _killed(state: dict[str, Any]) -> str:
    if state.get("OOMKilled"):
        return ", its memory ran out"
    return ", it was killed" if state.get("ExitCode") == KILLED else ""


def _indented(container: Container) -> str:
    lines = last_lines(container, LOG_LINES)
    return f"its last lines:\n{lines}" if lines else "it wrote nothing"


def _drift(look: Inspection) -> list[str]:
    """Services that run another configuration than the rendered files say."""
    try:
        said = look.compose("config", "--hash", "*").stdout
    except LabelrigError:
        return []  # the files are a link of their own
    wanted = dict(pair for line in said.splitlines() if len(pair := line.split()) == 2)
    label = "com.docker.compose.config-hash"
    return [
        f"{service} runs an older configuration than the files say"
        for service in look.site.services
        if (container := look.container(service)) is not None and container.labels.get(label) != wanted.get(service)
    ]


def _way(look: Inspection, start: str, name: str, port: int, path: str) -> Finding:
    way = probe(look.exec_in(start), name, port, path)
    if way.done:
        return ok(f"{name} is {way.said}, port {port} is open, {path} answers {way.status}")
    seen, fix = WAYS[way.step](look, start, name, port, way)
    return broken(seen, fix)


def _no_name(look: Inspection, start: str, name: str, _port: int, way: Probe) -> tuple[str, str]:
    return (
        f"inside {start} the name {name} does not resolve ({way.said}): the containers are not on one network",
        f"{look.again} makes both anew",
    )


def _no_port(look: Inspection, start: str, name: str, port: int, way: Probe) -> tuple[str, str]:
    return (
        f"inside {start} nothing listens at {name}:{port} ({way.said})",
        f"{look.inv('logs')} shows whether {name} is up; a host firewall must let the containers' network through",
    )


def _no_answer(look: Inspection, start: str, name: str, port: int, way: Probe) -> tuple[str, str]:
    status = f"HTTP {way.status}" if way.status is not None else "no answer"
    return f"inside {start} {name}:{port} gives {status}: {way.said}", f"{look.inv('logs')} shows what {name} does"


WAYS: dict[str, Callable[[Inspection, str, str, int, Probe], tuple[str, str]]] = {
    "resolve": _no_name,
    "connect": _no_port,
    "http": _no_answer,
}


def _loopback_settings(container: Container | None) -> Iterator[tuple[str, str]]:
    """Name and host of each variable that points to the container itself. Never the value: it may hold a secret."""
    for entry in container.attrs["Config"].get("Env") or [] if container is not None else []:
        name, _, value = str(entry).partition("=")
        if name not in FOR_PEOPLE and (found := LOOPBACK.match(value)):
            yield name, found["host"]
