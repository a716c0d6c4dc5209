"""Preflight: everything the machine must have, all problems at once, before anything is changed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import ConnectFailed, ConnectionLost, HostError, PreflightError, SudoRefused
from hosts.base import Host, read_text
from hosts.looking import looks_as_root
from infra.config.address import has_own_tls, https_port
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState, engine_client, engine_state, find_endpoint
from infra.roles.docker.compose import find_compose
from infra.roles.images.role import names_there
from infra.roles.preflight import checks
from infra.roles.preflight.bundle import BundleUse, bundle_needs, bundle_problems
from infra.roles.preflight.container_user import container_user_problems
from infra.roles.preflight.data_folder import FolderCheck, check_folder
from infra.roles.preflight.outbound import outbound_problems
from infra.roles.preflight.schedule import schedule_problems

DOCKER_ROOT = "/var/lib/docker"
SHOWN = 5
LABEL_PROJECT = "com.docker.compose.project"
LABEL_SERVICE = "com.docker.compose.service"


@dataclass(frozen=True)
class EngineFacts:
    """What is known of the engine before anything is done. `problem` names an engine that cannot be used."""

    ready: bool = False
    root: str = DOCKER_ROOT
    holds_port: bool = False
    holds_https_port: bool = False
    holds_network: bool = False
    holds_ray: bool = False
    images: frozenset[str] = frozenset()
    problem: str | None = None


@dataclass(frozen=True)
class RayPorts:
    """The ports that Ray gets on a host, and the address at which the others reach them."""

    address: str
    ports: tuple[int, ...]


def check_machine(
    host: Host,
    settings: Settings,
    *,
    folder: Path | None,
    pattern: str,
    state: str,
    images: Collection[frozenset[str]],
    sent: Collection[str] = (),
    also: Sequence[str] = (),
    stack_there: bool = False,
    uid: int | None = None,
    bundle: BundleUse | None = None,
    publishes: bool = True,
    ray: RayPorts | None = None,
) -> None:
    """Check everything.

    Args:
        folder: the image folder of a person, None for the demo images that we draw ourselves.
        pattern: which file names are images, a regular expression.
        state: the folder on `host` in which our own files lie.
        images: sets of image names, any of which is all that this tree needs; without one there is much to build.
        sent: images that are sent to `host` where they are missing, and not built there.
        also: problems that others have found.
        stack_there: this stack was made before. While its engine is down (a run was killed in the middle of a restart),
            the port and the network that a dead engine leaves behind count as ours.
        uid: the number that its containers run as, once it was chosen.
        bundle: everything comes from this file: nothing is fetched, so no server of packages is needed.
        publishes: Label Studio is published here.
        ray: the ports that Ray gets, where the host serves together with others.

    Raises:
        PreflightError: lists every problem. Nothing was changed.
    """
    facts = engine_facts(host, settings)
    if stack_there and not facts.ready:
        facts = replace(facts, holds_port=True, holds_https_port=True, holds_network=True, holds_ray=True)
    ready = facts.ready and find_compose(host) is not None
    has_images = any(names <= facts.images for names in images)
    builds = not any(names <= facts.images | frozenset(sent) for names in images)
    needs = {
        "images and volumes": (facts.root, checks.DISK_TO_RUN if has_images else checks.DISK_TO_BUILD),
        "state and demo images": (state, checks.DISK_TO_RUN // 4),
    }
    if bundle is not None:
        needs |= bundle_needs(bundle, facts.root, has_images=has_images, ready=ready)
    rights = _rights(host, ready)
    may_look = host.is_local or not rights  # without root's rights there it is one problem, and no folder is judged
    checked = check_folder(host, folder, pattern) if folder is not None and may_look else FolderCheck(())
    as_root = looks_as_root(host) and may_look
    disks = {path: checks.read_disk(host, path, as_root=as_root) for path, _ in needs.values()}
    tcp, tcp6 = (read_text(host, path) or "" for path in ("/proc/net/tcp", "/proc/net/tcp6"))
    listening = {address: checks.listening_ports(tcp, tcp6, address) for address in _published_at(settings)}
    problems = [
        *checks.os_problems(read_text(host, "/etc/os-release"), host.run("uname", "-m").stdout.strip(), ready),
        *checks.kernel_problems(host.run("uname", "-r").stdout.strip()),
        *rights,
        *_ways(host, settings),
        *([facts.problem] if facts.problem else []),
        *checks.disk_problems(disks, needs),
        *checks.memory_problems(read_text(host, "/proc/meminfo") or ""),
        *([] if host.is_local else checks.clock_problems(float(host.run("date", "+%s").stdout), time.time())),
        *(_port_problems(listening, settings, facts) if publishes else ()),
        *(_ray_problems(checks.listening_ports(tcp, tcp6, ray.address), ray, facts) if ray is not None else ()),
        *(
            checks.subnet_problems(settings.subnet, read_text(host, "/proc/net/route") or "", facts.holds_network)
            if publishes
            else ()
        ),
        *container_user_problems(host, uid),
        *schedule_problems(host, settings),
        *(
            bundle_problems(host, bundle, ready=ready, images=facts.images)
            if bundle is not None
            else ([] if ready and not builds else outbound_problems(host))
        ),
        *checked.problems,
        *also,
    ]
    if problems:
        raise PreflightError(problems)


def engine_facts(host: Host, settings: Settings) -> EngineFacts:
    """Read what an engine that runs already says; nothing is started."""
    endpoint = find_endpoint(host)
    state = engine_state(host)
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
            "`up` works on this machine: unset it, or use `./inv deploy --host`"
        )
    try:
        with contextlib.closing(engine_client(host)) as client:
            ours = {"label": [f"{LABEL_PROJECT}={settings.project}"]}
            containers = client.containers.list(filters=ours, ignore_removed=True)
            networks = client.networks.list(filters=ours)
            names = names_there(client)
            return EngineFacts(
                ready=True,
                root=str(client.info()["DockerRootDir"]),
                holds_port=any(_publishes(container.ports, settings.port) for container in containers),
                holds_https_port=any(_publishes(one.ports, https_port(settings)) for one in containers),
                holds_network=bool(networks),
                holds_ray=any(one.labels.get(LABEL_SERVICE) == "ray" for one in containers),
                images=names,
            )
    except HostError as error:
        return EngineFacts(problem=str(error))


def _rights(host: Host, ready: bool) -> list[str]:
    uid = int(host.run("id", "-u").stdout)
    if host.is_local:
        can_sudo = uid != 0 and host.run("sudo", "-n", "true", ok=range(256)).ok
        return checks.rights_problems(uid, can_sudo, ready)
    try:
        host.run("true", as_root=True)
    except SudoRefused as error:
        return [str(error)]
    return []


def _ways(host: Host, settings: Settings) -> list[str]:
    """What the SSH server does not allow: found out at the end of a deploy, it looks like a broken Label Studio."""
    try:
        host.check_ways(settings.port, settings.own_address)
    except (ConnectFailed, ConnectionLost):
        raise
    except HostError as error:
        return [str(error)]
    return []


def _published_at(settings: Settings) -> tuple[str, ...]:
    """The addresses at which http and, with TLS of the stack's own, https are published."""
    return ("127.0.0.1", settings.listen) if has_own_tls(settings) else (settings.listen,)


def _port_problems(listening: Mapping[str, Collection[int]], settings: Settings, facts: EngineFacts) -> list[str]:
    http, *https = _published_at(settings)
    problems = checks.port_problems(listening[http], settings.port, facts.holds_port, http)
    for address in https:
        port, setting = https_port(settings), "the port of `public_url`"
        problems += checks.port_problems(listening[address], port, facts.holds_https_port, address, setting)
    return problems


def _ray_problems(listening: Collection[int], ray: RayPorts, facts: EngineFacts) -> list[str]:
    taken = [] if facts.holds_ray else sorted(set(ray.ports) & set(listening))
    if not taken:
        return []
    named = ", ".join(map(str, taken[:SHOWN])) + (" and more" if len(taken) > SHOWN else "")
    return [
        f"port {named} of {ray.address} is taken by another program (`ss -ltnp` says which), and Ray gets it; stop it, "
        "or change `port` or `worker_ports` below `serve` in the inventory"
    ]


def _publishes(ports: dict[str, list[dict[str, str]] | None], port: int) -> bool:
    return any(binding["HostPort"] == str(port) for bindings in ports.values() for binding in bindings or [])
