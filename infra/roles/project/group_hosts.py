"""The hosts behind an ingress, as it tells of them: which replicas answer; a host that is out while it is replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from core.errors import CommandFailed, LabelrigError, WaitTimeout
from core.operation import Change, Operation
from core.report import Report
from core.waiting import wait_for
from hosts.base import Exec, Host
from infra.roles.project.ask_backend import ask_backend_json

EMPTY_SECONDS = 120.0  # for what is under way at a host; a click has 90
READY_SECONDS = 600.0
BACK_SECONDS = 60.0  # for an ingress that is starting
PAUSE = 1.0
MARK = "out-of-service"  # in the folder of a worker's stack
TEXT = b"A run of labelrig took this host out of service; the next deploy of its group brings it back.\n"
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


class Drain:
    """What keeps clicks from a host while it is replaced, and lets them come again.

    A mark on the host says that a run took it out, and no person; it goes when clicks come again. So whatever becomes
    of the run, the next one knows whether to bring the host back.
    """

    def __init__(self, ingress: Exec, host: Host, folder: str, report: Report) -> None:
        """
        Args:
            ingress: runs a command beside the ingress.
            host: the machine, under its name in the group.
            folder: that on the host with everything of the stack that is not in a volume.
            report: gets what happens.
        """
        self._ingress = ingress
        self._host = host
        self._mark = f"{folder}/{MARK}"
        self._report = report

    @property
    def host(self) -> str:
        """The host's name in the group."""
        return self._host.name

    def is_left(self) -> bool:
        """Whether a run took the host out, and clicks do not come again yet.

        Raises:
            HostError: the host does not say.
        """
        return self._host.read(self._mark, as_root=not self._host.is_local) is not None

    @contextmanager
    def aside(self, replicas: int) -> Iterator[None]:
        """Keep clicks from the host while the context lasts, and see that its replicas answer before they come again.

        Where nothing is known of the host, no other could answer in its place, or the ingress is of a version that does
        not tell, it is replaced as it is. A host that a person has taken out stays out.

        Args:
            replicas: how many of them the host is to hold.

        Raises:
            WaitTimeout: they do not answer in time.
            LabelrigError: clicks do not come again, see `end`.
        """
        try:
            known = {one.host: one for one in read_hosts(self._ingress)}
        except CommandFailed:
            yield
            return
        ours = self.is_left()
        by_a_person = self.host in known and known[self.host].drained and not ours
        if not by_a_person:
            ours = self._begin(ours)
        if by_a_person or ours:
            self._until_empty()
        try:
            yield
            self._until_ready(replicas)
        except BaseException:
            if ours:
                try:
                    self.end()
                except LabelrigError as error:
                    self._report.notice(str(error))
            raise
        if ours:
            self.end()

    def end(self) -> None:
        """Let clicks come to the host again.

        Raises:
            LabelrigError: the ingress does not take it; the mark stays.
        """
        what = f"the ingress to send clicks to {self.host} again"
        try:
            wait_for(
                what, lambda: True if self._is_back() else None,
                timeout=BACK_SECONDS, pause=PAUSE, show=self._report.progress,
            )  # fmt: skip
        except WaitTimeout as error:
            raise LabelrigError(
                f"{error}; {self.host} gets none until the next `deploy` of the group brings it back"
            ) from None
        self._host.run("rm", "-f", self._mark, as_root=not self._host.is_local)

    def _begin(self, ours: bool) -> bool:
        """Take the host out; whether it is then to be brought back. `ours`: it was taken out by a run before."""
        if not ours:  # first: a run that is cut off right after it leaves a mark and no drained host, which is harmless
            self._host.write(self._mark, TEXT, as_root=not self._host.is_local)
        if _asked(self._ingress, "POST", self.host) is not None:
            return True
        if not ours:
            self._host.run("rm", "-f", self._mark, as_root=not self._host.is_local)
        return ours

    def _until_empty(self) -> None:
        def empty() -> bool | None:
            found = _asked(self._ingress, "GET", self.host)
            return True if found is None or found.empty else None

        what = f"the clicks under way at {self.host}"
        try:
            wait_for(what, empty, timeout=EMPTY_SECONDS, pause=PAUSE, show=self._report.progress)
        except WaitTimeout:  # they are repeated on another host
            self._report.notice(
                f"{self.host} still works on requests after {EMPTY_SECONDS:.0f} s; it is replaced all the same"
            )

    def _until_ready(self, replicas: int) -> None:
        def ready() -> bool | None:
            found = _asked(self._ingress, "GET", self.host)
            return True if found is not None and sum(one.answers for one in found.replicas) >= replicas else None

        wait_for(
            f"the replicas of {self.host}", ready, timeout=READY_SECONDS, pause=PAUSE, show=self._report.progress
        )  # fmt: skip

    def _is_back(self) -> bool:
        found = _asked(self._ingress, "DELETE", self.host)
        if found is not None:
            return not found.drained
        try:  # it refuses where it knows nothing of the host
            return self.host not in {one.host for one in read_hosts(self._ingress) if one.drained}
        except CommandFailed:
            return False


class HostBack(Operation):
    """Clicks come to a host that a run took out of service, also where that run was cut off."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain

    @property
    def name(self) -> str:
        return f"clicks come to {self._drain.host}"

    def plan(self) -> Sequence[Change]:
        """One change where a run left it out of service."""
        if not self._drain.is_left():
            return []
        return [Change(f"send clicks to {self._drain.host}, which a run took out of service", self._drain.end)]


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
