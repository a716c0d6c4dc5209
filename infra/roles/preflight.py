"""Preflight: everything the machine must have, all problems at once, before anything is changed."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from infra.errors import HostError, PreflightError
from infra.hosts.base import Host
from infra.operations import preflight as checks
from infra.operations.compose_cli import find_compose
from infra.operations.engine_client import EngineState, engine_client, engine_state, find_endpoint
from infra.settings import Settings

DOCKER_ROOT = Path("/var/lib/docker")
LABEL_PROJECT = "com.docker.compose.project"


@dataclass(frozen=True)
class EngineFacts:
    """What is known of the engine before anything is done. `problem` names an engine that cannot be used."""

    ready: bool = False
    root: Path = DOCKER_ROOT
    holds_port: bool = False
    holds_network: bool = False
    images: frozenset[str] = frozenset()
    problem: str | None = None


def check_machine(
    host: Host,
    settings: Settings,
    *,
    folder: Path | None,
    pattern: str,
    repository: Path,
    images: Collection[frozenset[str]],
) -> None:
    """Check everything.

    Args:
        folder: the image folder of a person, None for the demo images that we draw ourselves.
        pattern: which file names are images, a regular expression.
        repository: our own folder, where the environment and the state lie.
        images: sets of image names, any of which is all that this tree needs; without one there is much to build.

    Raises:
        PreflightError: lists every problem. Nothing was changed.
    """
    facts = engine_facts(settings)
    ready = facts.ready and find_compose(host) is not None
    uid = os.geteuid()
    can_sudo = uid != 0 and host.run("sudo", "-n", "true", ok=range(256)).ok
    docker_needs = checks.DISK_TO_RUN if any(names <= facts.images for names in images) else checks.DISK_TO_BUILD
    checked = checks.FolderCheck(()) if folder is None else checks.check_folder(folder, pattern)
    problems = [
        *checks.os_problems(_text(host, "/etc/os-release"), platform.machine(), ready),
        *checks.rights_problems(uid, can_sudo, ready),
        *([facts.problem] if facts.problem else []),
        *checks.disk_problems(
            {
                "images and volumes": (facts.root, docker_needs),
                "state and demo images": (repository, checks.DISK_TO_RUN // 4),
            }
        ),
        *checks.memory_problems(_text(host, "/proc/meminfo") or ""),
        *checks.port_problems(settings.port, facts.holds_port),
        *checks.subnet_problems(settings.subnet, _text(host, "/proc/net/route") or "", facts.holds_network),
        *checked.problems,
    ]
    if problems:
        raise PreflightError(problems)


def engine_facts(settings: Settings) -> EngineFacts:
    """Read what an engine that runs already says; nothing is started."""
    endpoint = find_endpoint()
    state = engine_state(endpoint)
    if state is EngineState.FORBIDDEN:
        return EngineFacts()
    if state is EngineState.SILENT:
        if endpoint.is_default:
            return EngineFacts()
        return EngineFacts(
            problem=f"no Docker engine answers at {endpoint.url}, which {endpoint.chosen_by} names; "
            "start it, or unset that"
        )
    if endpoint.socket is None:
        return EngineFacts(
            problem=f"{endpoint.chosen_by} names the engine of another machine ({endpoint.url}); "
            "`up` works on this machine: unset it"
        )
    try:
        with contextlib.closing(engine_client(endpoint=endpoint)) as client:
            ours = {"label": [f"{LABEL_PROJECT}={settings.project}"]}
            containers = client.containers.list(filters=ours, ignore_removed=True)
            networks = client.networks.list(filters=ours)
            names = frozenset(tag for image in client.images.list() for tag in image.tags)
            return EngineFacts(
                ready=True,
                root=Path(client.info()["DockerRootDir"]),
                holds_port=any(_publishes(container.ports, settings.port) for container in containers),
                holds_network=bool(networks),
                images=names,
            )
    except HostError as error:
        return EngineFacts(problem=str(error))


def _publishes(ports: dict[str, list[dict[str, str]] | None], port: int) -> bool:
    return any(binding["HostPort"] == str(port) for bindings in ports.values() for binding in bindings or [])


def _text(host: Host, path: str) -> str | None:
    content = host.read(path)
    return None if content is None else content.decode("utf-8", "replace")
