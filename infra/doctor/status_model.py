"""What `./inv status` shows: each part of a stack on its own, so that one that cannot be read hides no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from infra.roles.preflight.checks import GIB
from infra.roles.project.group_hosts import ANSWERS, HostFacts, ReplicaFacts

MIB = 1024**2
Row = tuple[str, str]


@dataclass(frozen=True)
class Unknown:
    """A part that could not be read, and why."""

    unknown: str

    def __str__(self) -> str:
        return f"unknown: {self.unknown}"


@dataclass(frozen=True)
class ContainerStatus:
    """One service. `since` is when it was started, or ended, in UTC; empty where it has no container.

    `image_id` is the digest of the image that the container was made of, whatever its tag means by now.
    """

    service: str
    state: str
    health: str
    since: str
    restarts: int
    image: str
    image_id: str = ""

    @property
    def ok(self) -> bool:
        """Whether it runs and is well."""
        return (self.state, self.health) == ("running", "healthy")


@dataclass(frozen=True)
class CacheStatus:
    """One of the backend's caches. `entries` is None where they are not counted, `limit_bytes` where there is none."""

    name: str
    entries: int | None
    used_bytes: int
    limit_bytes: int | None
    hits: int
    misses: int


@dataclass(frozen=True)
class BackendStatus:
    """What the backend says of itself. The times are means since its start, None before the first."""

    state: str
    model: str
    model_version: str
    device: str | None
    engine: str | None
    reason: str | None
    clicks: int
    click_ms: float | None
    encode_ms: float | None
    caches: tuple[CacheStatus, ...]

    @property
    def ok(self) -> bool:
        """Whether it answers clicks."""
        return self.state in ("ready", "degraded")


@dataclass(frozen=True)
class GpuStatus:
    """One GPU of the host. The figures are None where it shares the machine's memory."""

    index: int
    name: str
    used_mib: int | None
    total_mib: int | None


@dataclass(frozen=True)
class ReplicaStatus:
    """A replica of hosts that serve together; without `replica` a host that has none. `on` is what it computes on."""

    host: str
    replica: str
    state: str
    on: str | None
    requests: int = 0
    hit_ratio: float | None = None

    @classmethod
    def of(cls, host: HostFacts, replica: ReplicaFacts) -> ReplicaStatus:
        """As the ingress has it."""
        reason = f": {replica.reason}" if replica.reason else ""
        on = f"GPU {replica.gpu} ({replica.device})" if replica.gpu else replica.device
        state = f"{replica.state}{reason}{', drained' if host.drained else ''}"
        return cls(host.host, replica.name, state, on, replica.requests, replica.hit_ratio)

    @property
    def ok(self) -> bool:
        """Whether it answers clicks."""
        return self.state.startswith(ANSWERS)


@dataclass(frozen=True)
class DiskStatus:
    """Room on the disk of `path`, for an ordinary user."""

    what: str
    path: str
    free_bytes: int


@dataclass(frozen=True)
class BackupStatus:
    """The last backup and the last drill of a stack.

    Attributes:
        ok: the last backup went well; None: there was none.
        hours: since it ended.
        text: what it says, in a line.
        drill_ok: the last drill passed; None: there was none.
        drill_hours: since it ended.
    """

    ok: bool | None
    hours: float | None
    text: str
    drill_ok: bool | None
    drill_hours: float | None


@dataclass(frozen=True)
class StackStatus:
    """One stack on one host.

    Attributes:
        host: what people call it.
        project: the stack's name.
        release: the one that serves, None where there are no releases.
        url: Label Studio's address on the host itself.
        how_to_open: what a person does to get there.
        backend: None on a host that only answers clicks of another one's Label Studio.
        label_studio: its version, if it answers; None as above.
        replicas: of hosts that serve together, on their head; None elsewhere.
        backup: how the last backup and drill went; None where no repository is set.
    """

    host: str
    project: str
    release: str | None
    url: str
    how_to_open: str
    containers: tuple[ContainerStatus, ...] | Unknown
    backend: BackendStatus | Unknown | None
    label_studio: str | Unknown | None
    gpus: tuple[GpuStatus, ...] | Unknown
    disks: tuple[DiskStatus | Unknown, ...]
    backup: BackupStatus | Unknown | None = None
    replicas: tuple[ReplicaStatus, ...] | Unknown | None = None

    @property
    def ok(self) -> bool:
        """Whether people can work: every container well, the model loaded, Label Studio answers."""
        return (
            not isinstance(self.containers, Unknown)
            and all(one.ok for one in self.containers)
            and not isinstance(self.backend, Unknown)
            and (self.backend is None or self.backend.ok)
            and not isinstance(self.label_studio, Unknown)
            and not isinstance(self.replicas, Unknown)
            and all(one.ok for one in self.replicas or ())
        )

    def as_dict(self) -> dict[str, object]:
        """For `--json`; a part that could not be read is `{"unknown": why}`."""
        return {"ok": self.ok, **asdict(self)}

    def text(self) -> str:
        """For people."""
        rows = [*_containers(self.containers), *_backend(self.backend), *_replicas(self.replicas), *_gpus(self.gpus)]
        rows += [("disk", _disk(one)) for one in self.disks]
        if self.backup is not None:
            rows.append(("backup", str(self.backup) if isinstance(self.backup, Unknown) else self.backup.text))
        if self.label_studio is not None:
            unknown = isinstance(self.label_studio, Unknown)
            rows.append(("Label Studio", str(self.label_studio) if unknown else f"{self.label_studio} answers"))
        rows.append(("open", self.how_to_open))
        width = max(len(name) for name, _ in rows)
        release = f", release {self.release}" if self.release else ""
        lines = [f"  {name:<{width}}  {what}" for name, what in rows]
        return "\n".join([f"{self.host}: {self.project}{release}", *lines])


def _containers(parts: tuple[ContainerStatus, ...] | Unknown) -> Iterator[Row]:
    if isinstance(parts, Unknown):
        yield "containers", str(parts)
        return
    for one in parts:
        if not one.since:
            yield one.service, "has no container"
            continue
        restarts = f", restarted {one.restarts} times" if one.restarts else ""
        # Since when it is healthy the engine does not say, and of one that ended it says how it was before.
        health = f", {one.health}" if one.state == "running" != one.health else ""
        yield one.service, f"{one.state} since {one.since}{health}{restarts}, {one.image}"


def _backend(part: BackendStatus | Unknown | None) -> Iterator[Row]:
    if part is None:
        return
    if isinstance(part, Unknown):
        yield "model", str(part)
        return
    reason = f": {part.reason}" if part.reason else ""
    on = f", {part.engine} on {part.device}" if part.device else ""
    yield "model", f"{part.model} ({part.model_version}), {part.state}{reason}{on}"
    times = [f"{what} {ms:.0f} ms" for what, ms in (("click", part.click_ms), ("encoding", part.encode_ms)) if ms]
    yield "clicks", ", ".join([f"{part.clicks} answered", *(["on average " + ", ".join(times)] if times else [])])
    for cache in part.caches:
        entries = "" if cache.entries is None else f"{cache.entries} entries, "
        limit = "" if cache.limit_bytes is None else f" of {cache.limit_bytes / MIB:.0f}"
        asked = cache.hits + cache.misses
        yield f"{cache.name} cache", f"{entries}{cache.used_bytes / MIB:.1f}{limit} MiB, {cache.hits} of {asked} found"


def _replicas(parts: tuple[ReplicaStatus, ...] | Unknown | None) -> Iterator[Row]:
    if isinstance(parts, Unknown):
        yield "replicas", str(parts)
        return
    for one in parts or ():
        on = f", {one.on}" if one.on else ""
        found = "" if one.hit_ratio is None else f", {100 * one.hit_ratio:.0f} % found in memory"
        under_way = f", {one.requests} requests" if one.replica else ""
        yield f"replica {one.replica or one.host}", f"{one.state}{on}{under_way}{found}"


def _gpus(parts: tuple[GpuStatus, ...] | Unknown) -> Iterator[Row]:
    if isinstance(parts, Unknown):
        yield "GPU", str(parts)
        return
    if not parts:
        yield "GPU", "none"
    for one in parts:
        used = "memory unknown" if one.used_mib is None else f"{one.used_mib} of {one.total_mib} MiB used"
        yield f"GPU {one.index}", f"{one.name}, {used}"


def _disk(part: DiskStatus | Unknown) -> str:
    if isinstance(part, Unknown):
        return str(part)
    return f"{part.free_bytes / GIB:.1f} GiB free for {part.what} ({part.path})"
