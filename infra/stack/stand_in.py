"""The backend that answers clicks in the place of a head's replicas while `ray` is replaced there.

Ray wants one version everywhere, so the old cluster ends before the new one begins. For that minute the service of
compose `stand-in`, the backend of a host that serves alone, listens on a socket beside that of the ingress, and HAProxy
in `sam2` prefers it. See docs/decisions/0050-a-stand-in-for-upgrades.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import requests
from docker.errors import APIError, DockerException

from core.errors import CommandFailed, HostError, LabelrigError, WaitTimeout
from core.operation import Change, Operation
from core.report import Report
from core.waiting import wait_for
from hosts.base import ANY_EXIT_CODE
from infra.roles.project.ask_backend import ASK_BACKEND
from infra.roles.project.group_hosts import read_hosts
from infra.roles.stack.activity import activity
from infra.roles.stack.containers import UP_TIMEOUT, StackRunning, last_lines
from infra.roles.stack.render import RAY_SERVICE, STAND_IN
from infra.stack.site import Site, exec_in_container

if TYPE_CHECKING:
    from docker.models.containers import Container

SOCKET = "/run/ingress/stand-in.sock"  # as compose/cluster.yaml and HAProxy's configuration have it
HAPROXY = "sam2"  # its service on a head
GETS_CLICKS = ("python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9091/stand-in', timeout=4)")
READY_SECONDS = 600.0  # to load a large model
SWITCH_SECONDS = 30.0  # HAProxy looks four times a second
IDLE_SECONDS = 120.0  # for what is under way at the ingress; a click has 90
STOP_SECONDS = 110.0  # for what is under way at the stand-in
PAUSE = 1.0
ENDED = ("exited", "dead")


class StandIn:
    """The stand-in of a head, which may be there or not."""

    def __init__(self, site: Site, running: StackRunning, report: Report) -> None:
        """
        Args:
            running: finds the containers of the stack.
        """
        self._site = site
        self._running = running
        self._report = report

    def is_there(self) -> bool:
        """Whether it has a container, running or not."""
        return self._container() is not None

    def is_needed(self) -> bool:
        """Whether clicks would fail without it: a replica answers, and its ingress is about to be replaced."""
        return self._running.is_outdated(RAY_SERVICE) and self.has_replica() and self._wanted_hash() is not None

    def has_replica(self) -> bool:
        """Whether the ingress that runs has a replica which answers clicks."""
        return self._site.exec_in_backend(*ASK_BACKEND, "GET", "/ready", ok=ANY_EXIT_CODE).ok

    def start(self) -> None:
        """Start it, and return when it gets all clicks and those that the ingress got are answered.

        Raises:
            LabelrigError: it does not load its model, with its last lines, or gets no clicks. It is gone again, and
                nothing else was changed.
        """
        if self._running.is_outdated(HAPROXY):  # first: a container that is replaced takes connections with it
            self._up(HAPROXY)
        there = self._container()
        if there is not None and self._running.hash_of(there) != self._wanted_hash():
            self.end()  # of another release, which an interrupted run left
        self._up(STAND_IN)
        try:
            self._until_ready()
            self._until(self._gets_clicks, "HAProxy to prefer the stand-in", SWITCH_SECONDS)
        except LabelrigError as error:
            with self._engine():
                self._remove()
            raise LabelrigError(f"{error}\nThe containers that serve were not touched.") from None
        try:
            self._until(self._ingress_is_idle, "the clicks under way at the ingress", IDLE_SECONDS)
        except WaitTimeout:
            self._report.notice(f"the ingress still works on requests after {IDLE_SECONDS:.0f} s, and is replaced now")

    def end(self) -> None:
        """Stop it when what is under way there is answered, and remove it. New clicks go to the ingress before."""
        container = self._container()
        if container is None:
            return
        if container.status == "running":
            exec_in_container(self._site.host, str(container.name))("rm", "-f", SOCKET, ok=ANY_EXIT_CODE)
            try:
                self._until(lambda: not self._gets_clicks(), "HAProxy to prefer the ingress", SWITCH_SECONDS)
            except WaitTimeout as error:
                self._report.notice(f"{error}; the stand-in is stopped all the same")
            with self._engine(), suppress(APIError):  # it may have ended meanwhile
                container.kill(signal="SIGTERM")
            try:
                self._until(self._has_ended, "the clicks under way at the stand-in", STOP_SECONDS)
            except WaitTimeout:
                self._report.notice(f"the stand-in still works on requests after {STOP_SECONDS:.0f} s; they are lost")
        with self._engine():
            self._remove()

    def _until(self, check: Callable[[], bool], what: str, seconds: float) -> None:
        show = self._report.progress
        wait_for(what, lambda: True if check() else None, timeout=seconds, pause=PAUSE, show=show)

    def _until_ready(self) -> None:
        def check() -> bool | None:
            container = self._container()
            if container is None or container.status in ENDED:
                raise LabelrigError(f"the stand-in does not start{_tail(container)}")
            run = exec_in_container(self._site.host, str(container.name))
            return True if run(*ASK_BACKEND, "GET", "/ready", ok=ANY_EXIT_CODE).ok else None

        def doing() -> str:
            container = self._container()
            return activity(container) if container is not None else ""

        what = "the stand-in to load its model"
        try:
            wait_for(what, check, timeout=READY_SECONDS, pause=PAUSE, show=self._report.progress, doing=doing)
        except WaitTimeout as error:
            raise WaitTimeout(f"{error}{_tail(self._container())}") from None

    def _gets_clicks(self) -> bool:
        return self._site.exec_in(HAPROXY)(*GETS_CLICKS, ok=ANY_EXIT_CODE).ok

    def _ingress_is_idle(self) -> bool:
        try:
            hosts = read_hosts(self._site.exec_in_backend)
        except CommandFailed:  # it has ended
            return True
        return not any(replica.requests for host in hosts for replica in host.replicas)

    def _has_ended(self) -> bool:
        container = self._container()
        return container is None or container.status in ENDED

    def _container(self) -> Container | None:
        return self._running.container(STAND_IN)

    def _wanted_hash(self) -> str | None:
        """Of its configuration in the rendered files; None where they know no stand-in."""
        return self._running.wanted_hashes("--profile", STAND_IN).get(STAND_IN)

    def _up(self, service: str) -> None:
        words = ("up", "--detach", "--no-build", "--no-deps", service)
        self._site.compose.run(*words, timeout=UP_TIMEOUT, on_line=self._report.progress)

    def _remove(self) -> None:
        container = self._container()
        if container is not None:
            container.remove(force=True)

    @contextmanager
    def _engine(self) -> Iterator[None]:
        try:
            yield
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"{self._site.host.name}: the stand-in cannot be stopped: {error}") from error


class HeadRunning(Operation):
    """The containers of a head running and healthy, with a stand-in where its replicas would be missed meanwhile.

    The stand-in stays: whoever called ends it once a replica answers.
    """

    def __init__(self, running: StackRunning, stand_in: StandIn) -> None:
        self._running = running
        self._stand_in = stand_in

    @property
    def name(self) -> str:
        return self._running.name

    def plan(self) -> Sequence[Change]:
        """The changes of `StackRunning`, after the stand-in's."""
        changes = self._running.plan()
        if not changes or not self._stand_in.is_needed():
            return changes
        what = f"start a stand-in that answers clicks while {RAY_SERVICE} is replaced"
        return [Change(what, self._stand_in.start), *changes]


class StandInGone(Operation):
    """No stand-in: a replica answers clicks."""

    name = "clicks answered by replicas"

    def __init__(self, stand_in: StandIn, until: Callable[[], None]) -> None:
        """
        Args:
            until: returns when a replica has answered; raises where none does.
        """
        self._stand_in = stand_in
        self._until = until

    def plan(self) -> Sequence[Change]:
        """One change where there is a stand-in."""
        if not self._stand_in.is_there():
            return []
        return [Change("stop the stand-in once a replica has answered a click", self._end)]

    def _end(self) -> None:
        self._until()
        self._stand_in.end()


def _tail(container: Container | None) -> str:
    return "; it has no container" if container is None else f"; its last lines:\n{last_lines(container)}"
