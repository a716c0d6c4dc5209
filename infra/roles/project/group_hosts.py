"""The hosts behind an ingress, as it tells of them: which replicas answer; taking a host out while it is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from core.errors import CommandFailed, WaitTimeout
from core.report import Report
from core.waiting import wait_for
from hosts.base import Exec
from infra.roles.project.ask_backend import ask_backend_json

EMPTY_SECONDS = 120.0  # for what is under way at a host; a click has 90
READY_SECONDS = 600.0
PAUSE = 1.0
ANSWERS = ("ready", "degraded")


@dataclass(frozen=True)
class ReplicaFacts:
    """A replica as the ingress has it. `gpu` is its number on its host, empty on the processors."""

    name: str
    state: str
    reason: str | None
    device: str
    gpu: str
    requests: int
    hit_ratio: float | None

    @property
    def host(self) -> str:
        """The host of a name `HOST/PLACE`."""
        return self.name.rpartition("/")[0]

    @property
    def answers(self) -> bool:
        """Whether it answers clicks."""
        return self.state in ANSWERS


@dataclass(frozen=True)
class HostFacts:
    """A host as the ingress has it."""

    host: str
    drained: bool
    empty: bool
    replicas: tuple[ReplicaFacts, ...]


def read_hosts(run: Exec, *, timeout: float = 30.0) -> list[HostFacts]:
    """Every host whose replicas answer the ingress, and those that are drained.

    Raises:
        CommandFailed: the ingress does not say.
    """
    ok, answer = ask_backend_json(run, "GET", "/hosts", timeout=timeout)
    if not ok:
        raise CommandFailed(f"the ingress does not tell of its hosts: {answer.get('detail', answer)}")
    return [_host(one) for one in answer["hosts"]]


@contextmanager
def out_of_service(run: Exec, host: str, replicas: int, report: Report) -> Iterator[None]:
    """Keep clicks from a host while the context lasts, and see that its replicas answer before they come again.

    Where nothing is known of the host, no other could answer in its place, or the ingress is of a version that does not
    tell, it is replaced as it is.

    Args:
        run: runs a command beside the ingress.
        replicas: how many of them the host is to hold.

    Raises:
        WaitTimeout: they do not answer in time.
    """
    if not _tells(run):
        yield
        return
    drained = _asked(run, "POST", host)
    if drained is not None:
        try:
            wait_for(
                f"the clicks under way at {host}", lambda: True if _is_empty(run, host) else None,
                timeout=EMPTY_SECONDS, pause=PAUSE, show=report.progress,
            )  # fmt: skip
        except WaitTimeout:  # they are repeated on another host
            report.notice(f"{host} still works on requests after {EMPTY_SECONDS:.0f} s; it is replaced all the same")
    try:
        yield

        def ready() -> bool | None:
            found = _asked(run, "GET", host)
            return True if found is not None and sum(one.answers for one in found.replicas) >= replicas else None

        wait_for(f"the replicas of {host}", ready, timeout=READY_SECONDS, pause=PAUSE, show=report.progress)
    finally:
        if drained is not None:
            _asked(run, "DELETE", host)


def _tells(run: Exec) -> bool:
    try:
        return ask_backend_json(run, "GET", "/hosts")[0]
    except CommandFailed:
        return False


def _is_empty(run: Exec, host: str) -> bool:
    found = _asked(run, "GET", host)
    return found is None or found.empty


def _asked(run: Exec, method: str, host: str) -> HostFacts | None:
    """None where the ingress knows nothing of the host, or refuses."""
    path = f"/hosts/{host}" if method == "GET" else f"/hosts/{host}/drain"
    try:
        ok, answer = ask_backend_json(run, method, path, {} if method == "POST" else None)
    except CommandFailed:  # it does not run at the moment
        return None
    return _host(answer) if ok else None


def _host(answer: dict[str, object]) -> HostFacts:
    replicas = answer["replicas"]
    assert isinstance(replicas, list)  # noqa: S101 - as `backend.cluster.host_routes` writes it
    return HostFacts(
        host=str(answer["host"]),
        drained=bool(answer["drained"]),
        empty=bool(answer["empty"]),
        replicas=tuple(
            ReplicaFacts(
                name=one["replica"],
                state=one["state"],
                reason=one["reason"],
                device=one["device"],
                gpu=one["gpu"],
                requests=one["requests"],
                hit_ratio=one["hit_ratio"],
            )
            for one in replicas
        ),
    )
