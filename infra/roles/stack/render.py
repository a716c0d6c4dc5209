"""What the stack is started from: stack.env, compose.yaml and machine.yaml in one state folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from infra.config.address import allowed_hosts, has_own_tls, https_port, site_host
from infra.config.backend import backend_environment
from infra.config.backend_login import password_id
from infra.config.settings import CLUSTER_TOKEN, UID, Settings
from infra.config.value_types import fits_env_file
from infra.roles.images.tags import CLUSTER as CLUSTER_IMAGE
from infra.roles.images.tags import HAPROXY
from infra.roles.stack.addresses import address_of, dynamic_range
from infra.roles.stack.banned_subnets import banned_subnets
from infra.roles.stack.image_folders import READERS, ImageFolder, render_compose, render_folders
from infra.roles.stack.sizes import MachineSize, container_limits, limit_values, web_processes

COMPOSE_SOURCES = Path(__file__).parent / "compose"
STACK_ENV = "stack.env"
ENV_LINE = re.compile(r"([A-Z][A-Z0-9_]*)='(.*)'")
POSTGRES, GPU, PROXY, TLS = "postgres.yaml", "gpu.yaml", "proxy.yaml", "tls.yaml"
RAY, CLUSTER, RAY_GPU, STAND_IN_GPU = "ray.yaml", "cluster.yaml", "ray-gpu.yaml", "stand-in-gpu.yaml"
SECRETS_ID, POSTGRES_PASSWORD_ID = "LABELRIG_SECRETS_ID", "LABELRIG_POSTGRES_PASSWORD_ID"
CLUSTER_TOKEN_ID = "LABELRIG_CLUSTER_TOKEN_ID"  # noqa: S105 - its name
SECRET_VALUES = ("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY", SECRETS_ID)
DB_SECRET_VALUES = ("LABELRIG_POSTGRES_PASSWORD", POSTGRES_PASSWORD_ID)
RAY_SERVICE = "ray"
STAND_IN = "stand-in"  # a service that is no part of the running stack, and its profile
IMAGE_VARIABLES = {
    "label-studio": "LABELRIG_LABEL_STUDIO_IMAGE",
    "sam2": "LABELRIG_SAM2_IMAGE",
    "db": "LABELRIG_POSTGRES_IMAGE",
    "proxy": "LABELRIG_PROXY_IMAGE",
    HAPROXY: "LABELRIG_HAPROXY_IMAGE",
}


@dataclass(frozen=True)
class StackFiles:
    """Where the rendered files of one stack lie on its host.

    Attributes:
        folder: the folder there.
        overrides: compose files of this repository that are merged into the first: a database, a GPU, the proxy
            (which releases from before it lack), https; Ray, and what the head of several hosts has beside it.
    """

    folder: str
    overrides: tuple[str, ...] = ()

    @property
    def env(self) -> str:
        """Values for compose; holds secrets, mode 0600."""
        return f"{self.folder}/{STACK_ENV}"

    @property
    def compose(self) -> tuple[str, ...]:
        """The compose files, in the order compose merges them."""
        first = () if self.is_worker else ("compose.yaml",)
        return tuple(f"{self.folder}/{name}" for name in (*first, *self.overrides, "machine.yaml"))

    @property
    def is_worker(self) -> bool:
        """Whether there is Ray alone: Label Studio is on another host."""
        return RAY in self.overrides and CLUSTER not in self.overrides

    @property
    def unused(self) -> tuple[str, ...]:
        """The overrides that this stack lacks, where they would lie."""
        return tuple(f"{self.folder}/{name}" for name in (POSTGRES, GPU, PROXY, TLS) if name not in self.overrides)

    @property
    def services(self) -> tuple[str, ...]:
        """The services of the stack, in the order in which they are waited for."""
        if self.is_worker:
            return (RAY_SERVICE,)
        database = ("db",) if POSTGRES in self.overrides else ()
        ray = (RAY_SERVICE,) if RAY in self.overrides else ()
        proxy = ("proxy",) if PROXY in self.overrides else ()
        return (*database, *ray, "sam2", "label-studio", *proxy)

    @property
    def computes(self) -> str:
        """The service with the model. On a head `sam2` is HAProxy, in front of it."""
        return RAY_SERVICE if RAY in self.overrides else "sam2"

    @property
    def computing(self) -> tuple[str, ...]:
        """The services that the backend's settings are for."""
        return (self.computes, STAND_IN) if CLUSTER in self.overrides else (self.computes,)

    @property
    def readers(self) -> tuple[str, ...]:
        """The services of the stack that read images."""
        return (self.computes,) if self.is_worker else (*READERS, self.computes)

    @property
    def images(self) -> tuple[str, ...]:
        """What the stack has images for, by the names of `infra.roles.images.tags`."""
        if self.is_worker:
            return (CLUSTER_IMAGE,)
        by_service = {"sam2": HAPROXY, RAY_SERVICE: CLUSTER_IMAGE} if RAY in self.overrides else {}
        return tuple(by_service.get(service, service) for service in self.services)

    @property
    def folders(self) -> str:
        """The image folders connected so far."""
        return f"{self.folder}/folders.json"


@dataclass(frozen=True)
class RenderedFile:
    """A file to be: where, what, and who may read it."""

    path: str
    content: bytes
    mode: int


def stack_values(
    settings: Settings, images: Mapping[str, str], model: str, machine: MachineSize | None = None
) -> dict[str, str]:
    """Return what the compose files ask for, by name.

    Args:
        images: service -> tag.
        model: what SAM2_MODEL gets.
        machine: where the containers run; None is the smallest that is supported.

    Raises:
        ValueError: the secrets were not made yet, or the containers' user was not chosen.
    """
    if settings.password is None or settings.secret_key is None or settings.uid is None:
        raise ValueError("the secrets must be made, and the containers' user chosen, before the stack is rendered")
    machine = machine or MachineSize()
    limits = container_limits(machine, settings.memory_gb)
    processes, threads = web_processes(machine, limits["label-studio"])
    values = {
        "COMPOSE_PROJECT_NAME": settings.project,
        UID: str(settings.uid),
        **{IMAGE_VARIABLES[service]: images[service] for service in ("label-studio", "sam2", "proxy")},
        "LABELRIG_SAM2_MODEL": model,
        "LABELRIG_SUBNET": settings.subnet,
        "LABELRIG_IP_RANGE": dynamic_range(settings.subnet),
        "LABELRIG_SAM2_ADDRESS": address_of(settings.subnet, "sam2"),
        "LABELRIG_BANNED_SUBNETS": ",".join(banned_subnets(settings.subnet)),
        "LABELRIG_LISTEN": settings.listen,
        "LABELRIG_HTTP_LISTEN": settings.own_address if has_own_tls(settings) else settings.listen,
        "LABELRIG_PUBLIC_URL": settings.public_url or "",
        "LABELRIG_ALLOWED_HOSTS": ",".join(allowed_hosts(settings)),
        "LABELRIG_TLS": settings.tls,
        "LABELRIG_SITE": f"[{site}]" if ":" in (site := site_host(settings)) else site,
        "LABELRIG_HTTPS_PORT": str(https_port(settings)),
        "LABELRIG_COMPANION": "on" if settings.companion else "off",
        "LABELRIG_LOG_FILE_MB": str(settings.log_file_mb),
        **limit_values({service: limits[service] for service in limits if service in images}),
        # The token is long and random by its kind: its digest tells it to no one.
        "LABELRIG_METRICS_SHA256": sha256(settings.metrics_token.get_secret_value().encode()).hexdigest()
        if settings.metrics_token is not None
        else "",
        "LABELRIG_WEB_PROCESSES": str(processes),
        "LABELRIG_WEB_THREADS": str(threads),
        "LABEL_STUDIO_PORT": str(settings.port),
        "LABEL_STUDIO_USERNAME": settings.username,
    }
    if "db" in images:
        if settings.postgres_password is None:
            raise ValueError("the secrets must be made before the stack is rendered")
        values[IMAGE_VARIABLES["db"]] = images["db"]
    secrets = secret_values(settings)
    return values | {name: secrets[name] for name in (*SECRET_VALUES, *(DB_SECRET_VALUES if "db" in images else ()))}


def secret_values(settings: Settings) -> dict[str, str]:
    """Return those of the values in `stack.env` that are secrets, or stand for one; those that were made so far."""
    if settings.password is None or settings.secret_key is None:
        raise ValueError("the secrets must be made before the stack is rendered")
    found = cluster_secrets(settings) | {
        "LABEL_STUDIO_PASSWORD": settings.password.get_secret_value(),
        "LABEL_STUDIO_SECRET_KEY": settings.secret_key.get_secret_value(),
        SECRETS_ID: password_id(settings.password, settings.secret_key),
    }
    if settings.postgres_password is not None:
        found |= {
            "LABELRIG_POSTGRES_PASSWORD": settings.postgres_password.get_secret_value(),
            POSTGRES_PASSWORD_ID: password_id(settings.postgres_password, settings.secret_key),
        }
    return found


def cluster_secrets(settings: Settings) -> dict[str, str]:
    """The token of Ray, and what stands for it: it is long and random, so that its digest tells it to no one."""
    if settings.cluster_token is None:
        return {}
    token = settings.cluster_token.get_secret_value()
    return {CLUSTER_TOKEN: token, CLUSTER_TOKEN_ID: sha256(token.encode()).hexdigest()[:16]}


def with_other_secrets(content: bytes, settings: Settings) -> bytes:
    """A `stack.env` with the secrets of these settings in place of those that it holds, and all else as it was."""
    values, secrets = parse_stack_env(content), secret_values(settings)
    return render_stack_env(values | {name: secrets[name] for name in secrets if name in values})


def images_of(values: Mapping[str, str]) -> dict[str, str]:
    """Service -> tag, as the values of a stack name them; see `stack_values`."""
    return {service: values[name] for service, name in IMAGE_VARIABLES.items() if name in values}


def render_stack_env(values: Mapping[str, str]) -> bytes:
    """Return the env file of compose. In single quotes a `$` or a backslash is only itself.

    Raises:
        ValueError: a value that compose's env files cannot carry, which the settings should have refused.
    """
    for name, value in values.items():
        if not fits_env_file(value):
            raise ValueError(f"{name}: a quote or a line break cannot stand in an env file")
    return "".join(f"{name}='{value}'\n" for name, value in values.items()).encode()


def parse_stack_env(content: bytes) -> dict[str, str]:
    """Return the values that `render_stack_env` was given. Lines that it would not write are left out."""
    lines = content.decode("utf-8", "replace").splitlines()
    return {found[1]: found[2] for line in lines if (found := ENV_LINE.fullmatch(line))}


def render_stack(
    files: StackFiles,
    values: dict[str, str],
    folders: Sequence[ImageFolder],
    mounted: Sequence[ImageFolder],
    groups: Sequence[int],
    backend: Mapping[str, str],
    shared_cache: str | None = None,
) -> list[RenderedFile]:
    """Return every file of the stack. Nothing is written.

    Args:
        folders: every folder that was ever connected; remembered.
        mounted: those of them that are there now.
        groups: see `infra.roles.stack.image_folders.render_compose`.
        backend: see `infra.config.backend`.
        shared_cache: see `infra.config.serving`.

    Raises:
        ValueError: see `render_stack_env`.
    """
    env = render_stack_env(values)
    readers = tuple(dict.fromkeys((*files.readers, *files.computing)))
    *sources, machine = files.compose
    own = render_compose(mounted, groups, backend_environment(backend), readers, files.computing, shared_cache)
    return [
        RenderedFile(files.env, env, 0o600),
        *(RenderedFile(path, (COMPOSE_SOURCES / PurePosixPath(path).name).read_bytes(), 0o644) for path in sources),
        RenderedFile(machine, own, 0o644),
        RenderedFile(files.folders, render_folders(folders), 0o644),
    ]
