"""The containers of the stack: present, from the wanted configuration, and healthy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from core.errors import HostError, LabelrigError, WaitTimeout
from core.operation import Change
from core.report import Report
from core.waiting import wait_for
from infra.roles.docker.compose import Compose
from infra.roles.stack.activity import activity

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

UP_TIMEOUT = 300.0
START_TIMEOUT = 600.0
LOG_LINES = 25
RESTARTS_THAT_MEAN_BROKEN = 3


class StackRunning:
    """Every service runs with the configuration that the files say, and reports healthy."""

    def __init__(
        self,
        compose: Compose,
        project: str,
        engine: Callable[[], DockerClient],
        report: Report,
        services: Sequence[str] = ("sam2", "label-studio"),
    ) -> None:
        self._compose = compose
        self._project = project
        self._engine = engine
        self._report = report
        self._services = tuple(services)
        whole = "label-studio" in self._services
        self.name = f"{'Label Studio and SAM2' if whole else 'SAM2'} running and healthy"

    def plan(self) -> list[Change]:
        """Nothing when each container runs what it should; else one change that brings all there."""
        wrong = [reason for service in self._services if (reason := self._reason(service)) is not None]
        if not wrong:
            return []
        return [Change(f"start containers ({'; '.join(wrong)})", self._start)]

    def container(self, service: str) -> Container | None:
        """Return the container of a service of this project, running or not."""
        filters: dict[str, str | list[str] | bool] = {
            "label": [
                f"com.docker.compose.project={self._project}",
                f"com.docker.compose.service={service}",
                "com.docker.compose.oneoff=False",
            ]
        }
        try:
            found = self._engine().containers.list(all=True, filters=filters, ignore_removed=True)
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"the docker engine stopped answering while {service} was looked at: {error}") from error
        return found[0] if found else None

    def is_outdated(self, service: str) -> bool:
        """Whether a container runs with another configuration than the files say, so that it would be replaced."""
        container = self.container(service)
        if container is None or container.status != "running":
            return False
        return self.hash_of(container) != self.wanted_hashes().get(service)

    def hash_of(self, container: Container) -> str | None:
        """What stands for the configuration that a container was made from."""
        found = container.labels.get("com.docker.compose.config-hash")
        return None if found is None else str(found)

    def wanted_hashes(self, *flags: str) -> dict[str, str]:
        """Service -> what stands for its configuration in the files.

        Args:
            flags: of compose, as the profile of services that are no part of the running stack.
        """
        result = self._compose.run(*flags, "config", "--hash", "*")
        pairs = (line.split() for line in result.stdout.splitlines())
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}

    def _reason(self, service: str) -> str | None:
        container = self.container(service)
        if container is None:
            return f"{service}: not there"
        if container.status != "running":
            return f"{service}: {container.status}"
        if self.hash_of(container) != self.wanted_hashes().get(service):
            return f"{service}: its configuration changed"
        if health_of(container) != "healthy":
            return f"{service}: {health_of(container)}"
        return None

    def _start(self) -> None:
        # `up` leaves a container that hangs as it is.
        for service in self._services:
            container = self.container(service)
            if container is not None and health_of(container) == "unhealthy":
                self._compose.run("restart", service, timeout=UP_TIMEOUT, on_line=self._report.progress)
        self._compose.run(
            "up",
            "--detach",
            "--no-build",
            "--remove-orphans",
            timeout=UP_TIMEOUT,
            on_line=self._report.progress,
        )
        self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        """Wait until every service is healthy.

        Raises:
            LabelrigError: one does not start; with its last lines.
            WaitTimeout: one did not get there in time; with its last lines.
        """
        for service in self._services:
            self._wait_until_healthy(service)

    def _wait_until_healthy(self, service: str) -> None:
        first: list[int] = []  # how often it had restarted before: those do not count

        def check() -> bool | None:
            try:
                container = self.container(service)
            except HostError as error:
                if isinstance(error.__cause__, requests.Timeout):
                    return None  # busy with what was just started
                raise
            if container is None:
                raise LabelrigError(f"{service}: its container is gone; run `./inv up` again")
            first.append(restarts_of(container))
            broken = first[-1] - first[0] >= RESTARTS_THAT_MEAN_BROKEN
            if broken or container.status in ("exited", "dead"):
                raise LabelrigError(f"{service} does not start; its last lines:\n{last_lines(container)}")
            return True if health_of(container) == "healthy" else None

        try:
            wait_for(
                service,
                check,
                timeout=START_TIMEOUT,
                show=self._report.progress,
                doing=lambda: self._activity(service),
            )
        except WaitTimeout as error:
            container = self.container(service)
            lines = last_lines(container) if container is not None else "(no container)"
            raise WaitTimeout(f"{error}, which is not healthy; its last lines:\n{lines}") from None

    def _activity(self, service: str) -> str:
        try:
            container = self.container(service)
            return activity(container) if container is not None else ""
        except (HostError, DockerException, requests.RequestException):
            return ""  # whether the engine is gone is decided by the next check


def restarts_of(container: Container) -> int:
    """Return how often the engine restarted a container since it was made."""
    return int(container.attrs.get("RestartCount", 0))


def health_of(container: Container) -> str:
    """Return healthy, unhealthy, starting, or what the container is doing when it has no health check."""
    state = container.attrs["State"]
    return str(state.get("Health", {}).get("Status", state["Status"]))


def last_lines(container: Container, count: int = LOG_LINES) -> str:
    """Return the last lines that a container wrote, indented."""
    text = container.logs(tail=count).decode("utf-8", "replace")
    return "\n".join(f"    {line}" for line in text.splitlines())
