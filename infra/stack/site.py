"""One stack on one host: where its files lie, how its settings are read, and what its parts need."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Unpack

from pydantic import ValidationError

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.repository import REPOSITORY
from hosts.base import Exec, Host, Result, RunArguments
from hosts.looking import is_folder
from infra.config.address import has_own_tls
from infra.config.dotenv import parse_env_bytes
from infra.config.serving import Serving
from infra.config.settings import UID, Settings, env_file, load_settings, problems_of, settings_secrets
from infra.roles.docker.compose import Compose, run_docker
from infra.roles.images.build import ImageSet
from infra.roles.images.tags import BACKUP
from infra.roles.preflight.data_folder import group_of
from infra.roles.preflight.shared_cache import writers_group
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.ray import Part, Place, by_container, head_values, worker_values
from infra.roles.stack.render import (
    CLUSTER,
    GPU,
    POSTGRES,
    PROXY,
    RAY,
    RAY_GPU,
    STAND_IN_GPU,
    TLS,
    RenderedFile,
    StackFiles,
    render_stack,
    stack_values,
)
from infra.roles.stack.sizes import machine_size

EXEC_TIMEOUT = 120.0
SECRETS_FILE = "secrets.env"
# What it may hold beside the secrets: an address that may carry a login, and what was chosen once on that machine.
ALSO_THERE = ("LABELRIG_CHECKPOINT_URL", UID)


@dataclass(frozen=True)
class Site:
    """One stack on one host.

    Attributes:
        host: the machine.
        settings: what was chosen; the secrets may be missing until they are made.
        state: the folder there with everything of this stack that is not in a volume.
        stack_folder: the folder there with the files compose reads.
        env_file: the file there with the secrets.
        reload: reads the settings again, after secrets were made.
        gpu: SAM2 runs on the host's GPU.
        proxy: Label Studio is behind the proxy; false for a stack that was rendered before there was one.
        part: what the host is among hosts that serve together.
        serving: the group of hosts that it serves together with, by the inventory; None: it serves by itself.
    """

    host: Host
    settings: Settings
    state: str
    stack_folder: str
    env_file: str
    reload: Callable[[], Settings] = field(repr=False)
    gpu: bool = False
    proxy: bool = True
    part: Part = "alone"
    serving: Serving | None = None

    @property
    def files(self) -> StackFiles:
        """Where the rendered files lie."""
        alone, is_worker = self.part == "alone", self.part == "worker"
        wanted = {POSTGRES: self.settings.database == "postgres", GPU: self.gpu and alone, PROXY: self.proxy}
        wanted[TLS] = self.proxy and has_own_tls(self.settings)
        wanted = {name: there and not is_worker for name, there in wanted.items()}
        is_head = self.part == "head"
        wanted |= {
            RAY: not alone,
            CLUSTER: is_head,
            RAY_GPU: self.gpu and not alone,
            STAND_IN_GPU: self.gpu and is_head,
        }
        return StackFiles(self.stack_folder, tuple(name for name, there in wanted.items() if there))

    @property
    def services(self) -> tuple[str, ...]:
        """The services of the stack."""
        return self.files.services

    @property
    def computes(self) -> str:
        """The service with the model: see `StackFiles`."""
        return self.files.computes

    @property
    def deploy_option(self) -> str:
        """What `deploy` needs to bring this host into its state: ` --host NAME`, or all hosts of its group."""
        return f" --group {self.serving.group}" if self.serving is not None else self.host_option

    @property
    def image_services(self) -> tuple[str, ...]:
        """What the stack has images for: its services, and backups where they have a repository."""
        return with_backup(self.files.images, self.settings)

    @property
    def host_option(self) -> str:
        """What a command needs to work on this stack: ` --host NAME`; empty on this machine."""
        return "" if self.host.is_local else f" --host {self.host.name}"

    @property
    def compose(self) -> Compose:
        """Compose for this stack."""
        return Compose(self.host, self.settings.project, self.files.compose, self.files.env)

    def exec_in(self, service: str) -> Exec:
        """Return what runs a command inside the running container of a service."""
        return exec_in(self.compose, service)

    @property
    def exec_in_backend(self) -> Exec:
        """What runs a command beside the backend, as `python -m backend.ask`: in the container with the model, which of
        several hosts has the ingress, and which sees images and secrets as the model does."""
        return self.exec_in(self.computes)

    def refuse_unknown(self, services: Sequence[str]) -> None:
        """Make sure that these are services of the stack.

        Raises:
            SettingsError: at least one is not; names those that there are.
        """
        if unknown := [one for one in services if one not in self.services]:
            raise SettingsError(f"there is no service {', '.join(unknown)} (there are: {', '.join(self.services)})")

    def refuse_missing(self) -> None:
        """Make sure that there is a stack, as its rendered files tell.

        Raises:
            LabelrigError: there is none.
        """
        if not self.host.run("test", "-f", self.files.env, ok=(0, 1), as_root=not self.host.is_local).ok:
            task = "up" if self.host.is_local else f"deploy --host {self.host.name}"
            raise LabelrigError(
                f"{self.host.name}: there is no stack {self.settings.project} here; `./inv {task}` makes it"
            )


def images_wanted(settings: Settings, part: Part = "alone") -> tuple[str, ...]:
    """What a stack with these settings has images for, backups with them where they have a repository."""
    if part == "worker":
        return StackFiles("", (RAY,)).images
    ray = (RAY, CLUSTER) if part == "head" else ()
    database = (POSTGRES,) if settings.database == "postgres" else ()
    return with_backup(StackFiles("", (*database, PROXY, *ray)).images, settings)


def with_backup(services: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    """Services, and with them the image of the backup where there is a repository."""
    return (*services, BACKUP) if settings.backup_repository else services


def state_folder(settings: Settings) -> Path:
    """Where the rendered files and the demo images of this machine's own stack lie."""
    return REPOSITORY / ".labelrig" / settings.project


def local_site(
    host: Host,
    settings: Settings,
    arguments: Mapping[str, str | None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Site:
    """The stack of this machine, as `up` makes it.

    Args:
        arguments: the settings of the command line.
        environment: of the process (default: this one's).
    """
    environ = os.environ if environment is None else environment
    env_path = env_file(environ)
    folder = str(state_folder(settings))
    # As the last `up` decided; the next one decides anew.
    gpu, proxy = (Path(folder, name).is_file() for name in (GPU, PROXY))
    rendered_before = Path(folder, "compose.yaml").is_file()
    return Site(
        host,
        settings,
        folder,
        folder,
        str(env_path),
        lambda: load_settings(env_path, environ, dict(arguments or {})),
        gpu,
        proxy or not rendered_before,
    )


def read_secrets(host: Host, path: str) -> dict[str, str]:
    """The secrets that a host keeps for its stack, by their name; none before the first deploy."""
    content = host.read(path, as_root=not host.is_local)
    return {} if content is None else parse_env_bytes(content, f"{host.name}:{path}")


def exec_in(compose: Compose, service: str) -> Exec:
    """Return what runs a command inside the running container of a service."""

    def run(*argv: str, **arguments: Unpack[RunArguments]) -> Result:
        arguments.setdefault("timeout", EXEC_TIMEOUT)
        return compose.run("exec", "--no-TTY", service, *argv, **arguments)

    return run


def exec_in_container(host: Host, container: str) -> Exec:
    """Return what runs a command inside a running container, without the files that compose would read."""

    def run(*argv: str, **arguments: Unpack[RunArguments]) -> Result:
        arguments.setdefault("timeout", EXEC_TIMEOUT)
        flags = ("--interactive",) if arguments.get("stdin") is not None else ()
        return run_docker(host, "docker", "exec", *flags, container, *argv, **arguments)

    return run


def rendered(
    site: Site,
    images: ImageSet,
    model: str,
    folders: Sequence[ImageFolder],
    report: Report,
    planned: Sequence[ImageFolder] = (),
    place: Place | None = None,
) -> list[RenderedFile]:
    """Render every file of the stack. A folder that is not there now is left out with a notice.

    Args:
        planned: folders that will be there when the files are used.
        place: how the host takes part in a group that serves; needed where it does.
    """
    mounted = [folder for folder in folders if folder in planned or is_folder(site.host, folder.path)]
    for folder in folders:
        if folder not in mounted:
            report.notice(f"the image folder {folder.path} is not there now; its tasks show no image until it is back")
    # A folder open to a group only: the containers' user joins it. Folders that preflight refused never get here.
    found = {group_of(site.host, PurePosixPath(one.path)) for one in mounted}
    shared_cache = None if place is None else place.serving.shared_cache
    if shared_cache is not None:
        found.add(writers_group(site.host, shared_cache))
    groups = sorted(group for group in found if group is not None)
    machine = machine_size(site.host)
    if place is not None and site.part == "worker":
        values = worker_values(site.settings, place, images.tags, model, machine)
    else:
        values = stack_values(site.settings, by_container(images.tags), model, machine)
        values |= head_values(site.settings, place, images.tags, machine) if place is not None else {}
    backend = dict(site.settings.backend)
    if site.settings.public_url is not None:  # tasks that others made may name their images so
        backend.setdefault("LABEL_STUDIO_PUBLIC_URL", site.settings.public_url)
    return render_stack(site.files, values, folders, mounted, groups, backend, shared_cache)


def with_secrets(settings: Settings, secrets: dict[str, str]) -> Settings:
    """Return `settings` with secrets that were read from a host.

    Raises:
        SettingsError: one of them cannot be used, or is not a setting; values are not shown.
    """
    try:
        found = Settings.model_validate({**settings.model_dump(by_alias=True), **secrets})
        problems = [_elsewhere(name) for name in secrets if name not in (*settings_secrets(), *ALSO_THERE)]
    except ValidationError as error:
        problems = problems_of(error)
    if problems:
        raise SettingsError(f"the host's {SECRETS_FILE} cannot be used: {'; '.join(problems)}")
    return found


def _elsewhere(name: str) -> str:
    """A setting that would count in one place and not in another, which reads the inventory."""
    return f"{name}: is no secret and belongs in infra/inventory.yaml"
