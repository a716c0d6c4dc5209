"""`./inv status`: reads what can be seen of a stack from outside. Changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import requests
from docker.errors import DockerException

from core.errors import CommandFailed, HostError, LabelrigError
from core.report import Report
from hosts.base import ANY_EXIT_CODE, Exec, Host
from hosts.looking import looks_as_root
from infra.config.settings import EVERYWHERE
from infra.doctor.inside import ASK_TIMEOUT
from infra.doctor.status_model import (
    BackendStatus,
    BackupStatus,
    CacheStatus,
    ContainerStatus,
    DiskStatus,
    GpuStatus,
    ReplicaStatus,
    StackStatus,
    Unknown,
)
from infra.roles.backup.files import FOLDER
from infra.roles.backup.result import What, read_run
from infra.roles.docker.client import engine_client
from infra.roles.nvidia.facts import COMMAND_NOT_FOUND, smi_query
from infra.roles.preflight.checks import read_disk
from infra.roles.project.ask_backend import ask_backend, ask_backend_json
from infra.roles.project.group_hosts import read_hosts
from infra.roles.stack.containers import health_of, restarts_of
from infra.roles.stack.image_folders import read_folders
from infra.roles.stack.render import STAND_IN
from infra.stack.site import Site, exec_in_container
from infra.stack.stages import reached, stack_running
from labelstudio.answers import reaching, refusal
from labelstudio.session import http_client

T = TypeVar("T")
ENGINE_TIMEOUT = 8
HTTP_TIMEOUT = 10.0
SMI_TIMEOUT = 15.0
GPU_FIELDS = ("index", "name", "memory.used", "memory.total")
# One sample of Prometheus' text format with at most one label: name, label value, value.
SAMPLE = re.compile(r'^([a-z_]+)(?:\{\w+="([^"]*)"\})? (\S+)$', re.MULTILINE)


def status(site: Site, releases_current: str | None, report: Report) -> StackStatus:
    """Look at a stack; what cannot be read is said in its place.

    Args:
        releases_current: the release that serves, None where there are no releases.
    """
    report.progress("reading the containers")
    engine = _known(lambda: _engine_parts(site, report))
    containers, root = (engine, engine) if isinstance(engine, Unknown) else engine
    is_worker = site.part == "worker"  # Label Studio, and who could be asked for the model, are on another host
    report.progress("asking the SAM2 backend and Label Studio")
    backend = None if is_worker else _known(lambda: read_backend(_exec_in_backend(site, report)))
    version = None if is_worker else _known(lambda: _version(site))
    report.progress("looking at GPUs and disks")
    return StackStatus(
        host=site.host.name,
        project=site.settings.project,
        release=releases_current,
        url=site.settings.address_for_people,
        how_to_open=how_to_open(site),
        containers=containers,
        backend=backend,
        label_studio=version,
        replicas=_known(lambda: _replicas(site, report)) if site.part == "head" else None,
        gpus=_known(lambda: read_gpus(site.host)),
        disks=_disks(site, root),
        backup=_known(lambda: read_backup(site)) if site.settings.backup_repository else None,
    )


def how_to_open(site: Site) -> str:
    """What a person does to get at Label Studio."""
    settings, host = site.settings, site.host
    if site.part == "worker":
        return f"./inv tunnel --host {site.serving.head}" if site.serving is not None else "on the head of its group"
    if settings.public_url is not None:
        return settings.public_url
    if host.is_local:
        return settings.url
    if settings.listen.startswith("127."):
        return f"./inv tunnel --host {host.name}"
    return f"http://{host.name if settings.listen == EVERYWHERE else settings.listen}:{settings.port}"


def read_backend(run: Exec) -> BackendStatus:
    """Ask the backend how it is, from inside its container.

    Raises:
        LabelrigError: it does not answer.
    """
    _, health = ask_backend_json(run, "GET", "/health", timeout=ASK_TIMEOUT)  # with 503 while there is no model
    metrics = ask_backend(run, "GET", "/metrics", timeout=ASK_TIMEOUT).stdout
    figures = {(name, label): float(value) for name, label, value in SAMPLE.findall(metrics)}
    caches = sorted({label for name, label in figures if name == "labelrig_cache_bytes"})
    return BackendStatus(
        state=str(health.get("state")),
        model=str(health.get("model")),
        model_version=str(health.get("model_version")),
        device=health.get("device"),
        engine=health.get("engine"),
        reason=health.get("reason") or health.get("detail"),
        clicks=int(sum(value for (name, _), value in figures.items() if name == "labelrig_clicks_total")),
        click_ms=_mean_ms(figures, "total"),
        encode_ms=_mean_ms(figures, "encode"),
        caches=tuple(_cache(figures, name) for name in caches),
    )


def _replicas(site: Site, report: Report) -> tuple[ReplicaStatus, ...]:
    """Every replica of the group, and each host that should have one and has none."""
    hosts = read_hosts(_exec_in_backend(site, report), timeout=ASK_TIMEOUT)
    rows = [ReplicaStatus.of(one, replica) for one in hosts for replica in one.replicas]
    members = site.serving.workers if site.serving is not None else ()
    there = {one.host for one in hosts if one.replicas}
    return (*rows, *(ReplicaStatus(name, "", "does not answer", None) for name in members if name not in there))


def read_backup(site: Site) -> BackupStatus:
    """How the last backup and drill went.

    Raises:
        HostError: what the script wrote cannot be read.
    """
    folder = f"{site.state}/{FOLDER}"
    kinds: tuple[What, What] = ("backup", "drill")
    last, drill = (read_run(site.host, folder, what) for what in kinds)
    words = "none yet"
    if last is not None:
        how = f"{last.answer.get('snapshot')} made" if last.ok else "failed"
        words = f"{how} {last.hours():.0f} h ago{'' if last.ok else f': {last.problem}'}"
    if drill is not None:
        how = "passed" if drill.ok else "begun" if drill.may_go_on() else "failed"
        words += f"; drill {how} {drill.hours():.0f} h ago"
    return BackupStatus(
        None if last is None else last.ok,
        None if last is None else round(last.hours(), 1),
        words,
        None if drill is None else drill.ok,
        None if drill is None else round(drill.hours(), 1),
    )


def read_gpus(host: Host) -> tuple[GpuStatus, ...]:
    """The GPUs that nvidia-smi lists; none where it is not installed.

    Raises:
        HostError: it fails.
    """
    answer = host.run(*smi_query(GPU_FIELDS), ok=ANY_EXIT_CODE, timeout=SMI_TIMEOUT)
    if answer.exit_code == COMMAND_NOT_FOUND:
        return ()
    if not answer.ok:
        said = " ".join((answer.stdout + answer.stderr).split())[:200]
        raise HostError(f"nvidia-smi ended with exit code {answer.exit_code}: {said}")
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    return tuple(
        GpuStatus(int(row[0]), row[1], _number(row[2]), _number(row[3]))
        for row in rows
        if len(row) == len(GPU_FIELDS) and row[0].isdigit()
    )


def _known(read: Callable[[], T]) -> T | Unknown:
    try:
        return read()
    except (LabelrigError, DockerException, requests.RequestException) as error:
        return Unknown(_in_short(error))


def _in_short(error: Exception) -> str:
    """One line: of a command that failed what it said last, else the first line."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[-1].strip() if isinstance(error, CommandFailed) else lines[0]


def _engine_parts(site: Site, report: Report) -> tuple[tuple[ContainerStatus, ...], str]:
    """The containers, and the folder where the engine keeps everything."""
    with closing(engine_client(site.host, ENGINE_TIMEOUT)) as engine:
        running = stack_running(site, lambda: engine, report)
        found = {service: running.container(service) for service in site.services}
        if site.part == "head" and (meanwhile := running.container(STAND_IN)) is not None:
            found[STAND_IN] = meanwhile  # while a deploy replaces `ray`, or after one that was cut off
        containers = tuple(read_container(service, one) for service, one in found.items())
        return containers, str(engine.info()["DockerRootDir"])


def _exec_in_backend(site: Site, report: Report) -> Exec:
    """What runs a command beside the backend: see `Site`.

    Raises:
        HostError: it does not run.
    """
    with closing(engine_client(site.host, ENGINE_TIMEOUT)) as engine:
        container = stack_running(site, lambda: engine, report).container(site.computes)
    if container is None:
        raise HostError(f"{site.computes} has no container")
    if container.status != "running":
        raise HostError(f"{site.computes} is {container.status}")
    return exec_in_container(site.host, str(container.name))


def read_container(service: str, container: Any) -> ContainerStatus:
    """What the engine says of a service's container, None where it has none."""
    if container is None:
        return ContainerStatus(service, "absent", "absent", "", 0, "")
    state = container.attrs["State"]
    at = str(state["StartedAt"] if state["Status"] == "running" else state["FinishedAt"])
    return ContainerStatus(
        service=service,
        state=str(state["Status"]),
        health=health_of(container),
        since=f"{at[:10]} {at[11:19]} UTC",
        restarts=restarts_of(container),
        image=str(container.attrs["Config"]["Image"]),
        image_id=str(container.attrs["Image"]),
    )


def _version(site: Site) -> str:
    doing = "read Label Studio's version"
    with reached(site) as base_url, http_client(base_url) as http, reaching(base_url, doing):
        answer = http.get("/api/version/", timeout=HTTP_TIMEOUT)
        if not answer.is_success:
            raise refusal(base_url, doing, answer.status_code, answer.text)
        try:
            return str(answer.json()["release"])
        except (ValueError, KeyError, TypeError):
            raise refusal(base_url, doing, answer.status_code, answer.text) from None


def _disks(site: Site, engine_root: str | Unknown) -> tuple[DiskStatus | Unknown, ...]:
    engine = engine_root if isinstance(engine_root, Unknown) else _known(lambda: _disk(site, "Docker", engine_root))
    folders = _known(lambda: read_folders(site.host, site.files.folders))
    if isinstance(folders, Unknown):
        return engine, folders
    return engine, *(_known(lambda path=one.path: _disk(site, "images", path)) for one in folders)  # type: ignore[misc]


def _disk(site: Site, what: str, path: str) -> DiskStatus:
    return DiskStatus(what, path, read_disk(site.host, path, as_root=looks_as_root(site.host)).free)


def _mean_ms(figures: dict[tuple[str, str], float], stage: str) -> float | None:
    count = figures.get(("labelrig_stage_seconds_count", stage), 0.0)
    return round(1000 * figures[("labelrig_stage_seconds_sum", stage)] / count, 1) if count else None


def _cache(figures: dict[tuple[str, str], float], name: str) -> CacheStatus:
    def figure(what: str) -> int | None:
        value = figures.get((f"labelrig_cache_{what}", name))
        return None if value is None else int(value)

    return CacheStatus(
        name=name,
        entries=figure("entries"),
        used_bytes=figure("bytes") or 0,
        limit_bytes=figure("limit_bytes"),
        hits=figure("hits_total") or 0,
        misses=figure("misses_total") or 0,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
