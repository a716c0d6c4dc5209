"""What the checks of one run share: connections that are opened when first needed, and what earlier checks found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from docker.errors import DockerException

from core.errors import HostError, LabelrigError
from core.report import Report
from hosts.base import DEFAULT_TIMEOUT, Exec, Host, Result
from hosts.local import LocalHost
from infra.roles.docker.client import engine_client
from infra.roles.images.suites import Suites
from infra.roles.project.project import find_project
from infra.roles.stack.containers import StackRunning, health_of
from infra.roles.stack.image_folders import DEMO, ImageFolder, read_folders
from infra.stack.site import Site, exec_in_container
from infra.stack.stages import project_folder, reached, stack_running
from labelstudio.access import Access
from labelstudio.config import ProjectSpec
from labelstudio.models import Project

if TYPE_CHECKING:
    from docker.models.containers import Container

    from labelstudio.client import Client

ENGINE_TIMEOUT = 8
# To read files of containers the engine mounts each one and packs them: beside other work that takes longer.
FILES_TIMEOUT = 60


class Inspection:
    """One look at one stack. Reads only.

    Attributes:
        site: the stack; `load_settings` puts its secrets in.
        spec: the project that people work in.
        report: shows progress.
        truth: the folder here with the demo images' truth, None where there is none.
        daemon: what the engine's daemon.json must hold; nothing where it is not ours to keep.
        suites: what the Debian suites offer for a kind of processor, as this machine sees them.
    """

    def __init__(
        self,
        site: Site,
        spec: ProjectSpec,
        report: Report,
        truth: Path | None = None,
        daemon: Mapping[str, object] | None = None,
        *,
        engine: Callable[[Host, int], Any] = engine_client,
        access: Access | None = None,
        execs: Mapping[str, Exec] | None = None,
        suites: Callable[[str], Suites] = lambda machine: Suites(LocalHost(), machine),
    ) -> None:
        """Keep what is needed; nothing is asked yet. What comes after the `*` is for tests.

        Args:
            engine: opens the client of a host's Docker engine.
            access: the way to Label Studio, in place of one that is made from the settings.
            execs: service -> what runs a command in it.
            suites: what the Debian suites offer for a kind of processor.
        """
        self.suites = suites
        self.site = site
        self.spec = spec
        self.report = report
        self.truth = truth
        self.daemon = daemon or {}
        self._open_engine = engine
        self._access = access
        self._execs: dict[str, Exec] = dict(execs or {})
        self._compose = site.compose  # one for all: it looks for the program once
        self._stack = ExitStack()
        self._engine: Any = None
        self._project: Project | None = None

    def close(self) -> None:
        """Close every connection."""
        if self._access is not None:
            self._access.close()
        if self._engine is not None:
            self._engine.close()
        self._stack.close()

    @property
    def host(self) -> Host:
        """The machine."""
        return self.site.host

    @property
    def again(self) -> str:
        """The command that brings a stack into its state."""
        return "`./inv up`" if self.host.is_local else f"`./inv deploy{self.site.deploy_option}`"

    def inv(self, task: str) -> str:
        """How another command of labelrig is called for this stack."""
        return f"`./inv {task}`" if self.host.is_local else f"`./inv {task} --host {self.host.name}`"

    def by_hand(self, command: str) -> str:
        """A command that a person runs, and where."""
        return f"`{command}`" if self.host.is_local else f"`{command}` on {self.host.name}"

    @property
    def engine(self) -> Any:
        """The host's Docker engine.

        Raises:
            HostError: it does not answer.
        """
        if self._engine is None:
            self._engine = self._open_engine(self.host, ENGINE_TIMEOUT)
        return self._engine

    @contextmanager
    def asking_engine(self) -> Iterator[Any]:
        """The engine, its errors in words.

        Raises:
            HostError: it does not answer, or breaks off.
        """
        with self._engine_errors():
            yield self.engine

    @contextmanager
    def reading_files(self) -> Iterator[Any]:
        """The engine by a client of its own that waits long enough for files of containers; it is closed afterwards.

        Raises:
            HostError: it does not answer, or breaks off.
        """
        with self._engine_errors(), closing(self._open_engine(self.host, FILES_TIMEOUT)) as engine:
            yield engine

    @contextmanager
    def _engine_errors(self) -> Iterator[None]:
        try:
            yield
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"the docker engine of {self.host.name} stopped answering: {error}") from error

    def container(self, service: str) -> Container | None:
        """The container of a service, running or not.

        Raises:
            HostError: the engine does not answer.
        """
        return self._running().container(service)

    def healthy(self, service: str) -> bool:
        """Whether a service's container runs and is well.

        Raises:
            HostError: the engine does not answer.
        """
        container = self.container(service)
        return container is not None and container.status == "running" and health_of(container) == "healthy"

    def compose(self, *arguments: str, ok: Collection[int] = (0,), timeout: float = DEFAULT_TIMEOUT) -> Result:
        """Ask compose something; see `infra.roles.docker.compose.Compose.run`."""
        return self._compose.run(*arguments, ok=ok, timeout=timeout)

    def exec_in(self, service: str) -> Exec:
        """What runs a command in a service's container, whatever the files of the stack say by now.

        Raises:
            HostError: it has none.
        """
        if service not in self._execs:
            container = self.container(service)
            if container is None:
                raise HostError(f"{service} has no container")
            self._execs[service] = exec_in_container(self.host, str(container.name))
        return self._execs[service]

    @property
    def exec_in_backend(self) -> Exec:
        """What runs a command beside the backend: see `Site`.

        Raises:
            HostError: its service has no container.
        """
        return self.exec_in(self.site.computes)

    def load_settings(self) -> None:
        """Read the settings again, with the secrets that the host has by now.

        Raises:
            LabelrigError: they cannot be read.
        """
        self.site = replace(self.site, settings=self.site.reload())

    @property
    def access(self) -> Access:
        """The way to Label Studio.

        Raises:
            LabelrigError: no password is known, or the host cannot be reached.
        """
        if self._access is None:
            self._access = Access.of(self.site.settings, self._stack.enter_context(reached(self.site)))
        return self._access

    @property
    def client(self) -> Client:
        """Label Studio's API.

        Raises:
            LabelrigError: there is no token.
        """
        return self.access.client()

    def project(self) -> Project:
        """The project that people work in.

        Raises:
            LabelStudioError: it is not there, or Label Studio does not say.
        """
        if self._project is None:
            self._project = find_project(self.client, self.spec.title)
        if self._project is None:
            raise LabelrigError(f"Label Studio has no project {self.spec.title!r}")
        return self._project

    def folder(self) -> ImageFolder:
        """The image folder, on the host and in the containers.

        Raises:
            LabelrigError: it was not connected yet.
        """
        data = self.site.settings.data
        folders = read_folders(self.host, self.site.files.folders)
        for one in folders:
            if one.name == DEMO if data is None else one.path == str(data):
                return project_folder(self.spec, folders, one)
        wanted = "the demo images" if data is None else f"the image folder {data}"
        raise LabelrigError(f"{self.site.files.folders} on {self.host.name} does not name {wanted}")

    def _running(self) -> StackRunning:
        return stack_running(self.site, lambda: self.engine, self.report)
