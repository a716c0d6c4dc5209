"""One command on one host, or on this machine: its connection, lock, audit log and stack, each when it is needed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from core.errors import (
    ConnectFailed,
    ConnectionLost,
    FileAccessError,
    HostError,
    LabelrigError,
    LockHeld,
    RolledBack,
    SettingsError,
)
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Host
from hosts.local import LocalHost
from hosts.looking import is_folder
from infra.config.host_settings import HostSettings
from infra.fleet.run import RunOptions, audit_event, death_event
from infra.fleet.target import LOCAL_DEMO, base_folder, demo_folder, site_of_release
from infra.releases.audit import AuditLog, AuditResult
from infra.releases.lock import HostLock
from infra.releases.lock_owner import Owner
from infra.releases.manifest import Release
from infra.releases.store import Releases
from infra.roles.project.role import ProjectContext
from infra.roles.stack.image_folders import DEMO, ImageFolder, folder_called, not_connected, read_folders
from infra.stack.site import Site, local_site, state_folder
from infra.stack.stages import project_context, reached
from labelstudio.access import Access
from labelstudio.config import ProjectSpec, demo_spec, load_project
from labelstudio.named_project import named_project

if TYPE_CHECKING:
    from labelstudio.models import Project


class Session:
    """A stack and the machine that it is on. Nothing is read before it is asked for.

    Attributes:
        options: of the run.
        host: the machine.
        report: gets what happens.
        owner: who this run is on the host.
        release_id: the release that the audit log names.
        ended: the audit log says how the run ended.
    """

    def __init__(
        self, options: RunOptions, host: Host, report: Report, owner: Owner, host_settings: HostSettings | None = None
    ) -> None:
        self.options = options
        self.host = host
        self.report = report
        self.owner = owner
        self.release_id: str | None = None
        self.ended = False
        self._host_settings = host_settings
        self._began = time.monotonic()
        self._open = ExitStack()

    @property
    def host_settings(self) -> HostSettings:
        """The settings of the inventory and the command line.

        Raises:
            SettingsError: this is the local machine, which has none.
        """
        if self._host_settings is None:
            raise SettingsError("this machine is not a host of the inventory")
        return self._host_settings

    @property
    def base(self) -> str:
        """The folder on the machine with everything of the stack that is not in a volume."""
        if self._host_settings is None:
            return str(state_folder(self.options.settings))
        return base_folder(self._host_settings)

    @cached_property
    def lock(self) -> HostLock:
        """The lock of the host."""
        return HostLock(self.host, self.base, self.owner, self.report, died=self._record_death)

    @property
    def log(self) -> AuditLog:
        """The audit log of the host."""
        return AuditLog(self.host, self.base, self.report)

    @property
    def releases(self) -> Releases:
        """The releases on the host."""
        return Releases(self.host, self.base)

    @cached_property
    def current(self) -> Release | None:
        """The release that serves; None before the first deploy, and on this machine, which has no releases."""
        return None if self._host_settings is None else self.releases.current()

    @cached_property
    def site(self) -> Site:
        """The stack as it serves: as the current release has it, else as the settings say."""
        if self._host_settings is None:
            return local_site(self.host, self.options.settings)
        return site_of_release(self.host, self._host_settings, self.current)

    def site_to_diagnose(self) -> Site:
        """The same, from here on without the secrets where they cannot be used: all else can be looked at."""
        try:
            return self.site
        except (SettingsError, FileAccessError):
            if self._host_settings is None:
                raise
            self.site = site_of_release(self.host, self._host_settings, self.current, secrets=False)
            return self.site

    @property
    def daemon_settings(self) -> Mapping[str, object]:
        """What the engine's daemon.json must hold; nothing where it is not ours to keep."""
        one = self._host_settings
        return one.docker_daemon if one is not None and one.manage_docker else {}

    @cached_property
    def access(self) -> Access:
        """The login to Label Studio; its port is forwarded until the session ends.

        Raises:
            LabelStudioError: the stack was never started.
            SettingsError: the host only answers clicks.
        """
        if self._host_settings is not None and self._host_settings.is_worker:
            serving = self._host_settings.serving
            head = "" if serving is None else serving.head
            raise SettingsError(
                f"{self.host.name} only answers clicks; Label Studio is on {head}: give `--host {head}`"
            )
        access = Access.of(self.site.settings, self._open.enter_context(reached(self.site)))
        self._open.callback(access.close)
        return access

    @cached_property
    def folders(self) -> list[ImageFolder]:
        """The image folders that are connected to the stack."""
        return read_folders(self.site.host, self.site.files.folders)

    @property
    def demo(self) -> ImageFolder:
        """Where the demo images of the stack are, if it has any."""
        path = f"{self.site.state}/demo/images" if self._host_settings is None else demo_folder(self._host_settings)
        return ImageFolder(DEMO, path)

    @property
    def truth(self) -> Path | None:
        """The folder on this machine with the truth of the stack's demo images; None where it has images of its own."""
        if self.site.settings.data is not None:
            return None
        return (LOCAL_DEMO if self._host_settings is not None else state_folder(self.options.settings) / DEMO) / "truth"

    def close(self) -> None:
        """End what was opened for the session."""
        self._open.close()

    def record(self, result: AuditResult, error: BaseException | None = None) -> None:
        """Write a line of this run into the host's audit log: that it began, or how it ended."""
        self.ended = result != "began"
        event = audit_event(self.options, self.owner, self.report, self.release_id, result, self._began, error)
        self.log.append(event)

    def _record_death(self, owner: Owner, why: str) -> None:
        self.log.append(death_event(owner, why))

    def project(self, called: str | None) -> Project:
        """A project of this Label Studio; see `named_project`."""
        return named_project(self.access.client(), REPOSITORY, called, on_demo=self.site.settings.data is None)

    def spec(self, called: str | None) -> tuple[ProjectSpec, ImageFolder]:
        """A project of `projects.yaml` by key or title, or the default one; see `resolved`."""
        return self.resolved(load_project(REPOSITORY, called, provable=False))

    def resolved(self, spec: ProjectSpec) -> tuple[ProjectSpec, ImageFolder]:
        """The project as this stack has it, and its folder: on the demo images it has another title.

        Raises:
            SettingsError: its folder is not connected.
        """
        if spec.images_folder is None:
            if self.site.settings.data is None:
                return demo_spec(spec), self.demo
            return spec, self._by_path(str(self.site.settings.data))
        found = folder_called(self.folders, spec.images_folder)
        if found is None:
            problem = not_connected(spec.name, spec.images_folder, self.folders)
            raise SettingsError(f"{problem}; {self._connect_with('its path')}")
        if "/" in found.name and not is_folder(self.host, found.path):
            raise SettingsError(f"projects.{spec.name}.images.folder: there is no folder {found.path}")
        return spec, found

    def context(self, folder: ImageFolder) -> ProjectContext:
        """The context of the project role."""
        return project_context(self.site, folder, self.access, None, self.report)

    def _by_path(self, path: str) -> ImageFolder:
        found = next((one for one in self.folders if one.path == path), None)
        if found is None:
            raise SettingsError(f"the image folder {path} is not connected yet; {self._connect_with(path)}")
        return found

    def _connect_with(self, path: str) -> str:
        task = "up" if self.host.is_local else f"deploy --host {self.host.name}"
        return f"`./inv {task} --data` with {path}"


@contextmanager
def causes_named(host: Host) -> Iterator[None]:
    """Where something fails because the connection to the host is gone, say that, and not what followed from it.

    Raises:
        ConnectionLost: in place of the error that the lost connection led to.
        HostError: the Docker engine stopped answering.
    """
    try:
        yield
    except (ConnectFailed, ConnectionLost, LockHeld, RolledBack):
        raise
    except LabelrigError as error:
        raise _cause_of(host, error) from error.__cause__
    except (DockerException, requests.RequestException) as error:
        stopped = HostError(f"{host.name}: the docker engine stopped answering: {error}")
        raise _cause_of(host, stopped) from error


def _cause_of(host: Host, error: LabelrigError) -> LabelrigError:
    if (why := host.lost()) is None:
        return error
    return ConnectionLost(
        f"{host.name}: the connection is gone ({why}); run the same command again: it goes on from where it was. "
        f"What failed: {str(error).splitlines()[0]}"
    )


@contextmanager
def session(
    options: RunOptions, host_settings: HostSettings | None, report: Report, *, lock: bool = False, audit: bool = False
) -> Iterator[Session]:
    """Work on a host while the context lasts, or on this machine where `host_settings` is None.

    Args:
        lock: hold the host's lock, and write into its audit log that the work began, and where it was cut off; this
            machine has neither.
        audit: with `lock`: write how the work ended, too; else that is the work's own to do.

    Raises:
        LockHeld: another run holds the host; nothing was changed.
    """
    owner = options.owner()
    host: Host = LocalHost() if host_settings is None else options.connect(host_settings, owner.id, report)
    with ExitStack() as stack:
        stack.callback(host.close)
        one = Session(options, host, report, owner, host_settings)
        if lock and host_settings is not None:
            stack.enter_context(one.lock.held(options.lock_wait))
            stack.enter_context(_recorded(one, ending=audit))
        stack.callback(one.close)
        stack.enter_context(causes_named(host))
        yield one


@contextmanager
def _recorded(one: Session, *, ending: bool) -> Iterator[None]:
    one.record("began")
    try:
        yield
    except LabelrigError as error:
        if ending:
            one.record("rolled-back" if isinstance(error, RolledBack) else "failed", error)
        raise
    except BaseException as error:
        if not one.ended:
            one.record("stopped" if isinstance(error, KeyboardInterrupt) else "failed", error)
        raise
    if ending:
        one.record("ok")
