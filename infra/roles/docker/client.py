"""Which Docker engine is used, whether it answers, and a client that reads from it.

On this machine the endpoint is found as Docker's own command line finds it: `DOCKER_HOST`, else the current docker
context, else the default socket. So a chosen engine (rootless, remote, another socket) is used. The
engine of a machine behind SSH answers at a socket here that leads there.
"""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.errors import DockerException
from docker.transport import UnixHTTPAdapter

from core.errors import HostError
from hosts.base import Host

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
OLDEST_ENGINE = (20, 10)
READ_TIMEOUT = 30
PING_TIMEOUT = 5
# The SDK keeps a connection open for each URL it asked; over SSH each is a session, of which a server allows 10. Its
# own setting for that, `num_pools`, is only heeded for ssh:// addresses (7.2.0).
POOLS_OVER_SSH = 2
SDK_SCHEME = "http+docker://"


@dataclass(frozen=True)
class Endpoint:
    """Where the engine listens, and who says so.

    `tls` is the SDK's TLS configuration of a docker context; `remote`: it is the own engine of a machine behind SSH.
    """

    url: str
    chosen_by: str
    tls: Any = None
    remote: bool = False

    @property
    def is_default(self) -> bool:
        """Whether it is the machine's own engine, and not a chosen one."""
        return self.remote or self.url in (DEFAULT_SOCKET, "unix:///run/docker.sock")

    @property
    def socket(self) -> Path | None:
        """The path of a unix socket; None for an engine that is reached in another way."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None


class EngineState(Enum):
    """What the endpoint says when asked."""

    ANSWERS = "answers"
    SILENT = "does not answer"
    FORBIDDEN = "is not open to this user"


def find_endpoint(host: Host) -> Endpoint:
    """Return the endpoint of the engine that serves `host`.

    Raises:
        HostError: the current docker context cannot be read.
    """
    if (path := host.docker_socket()) is not None:
        return Endpoint(f"unix://{path}", f"SSH to {host.name}", remote=True)
    if url := os.environ.get("DOCKER_HOST"):
        return Endpoint(url, "the variable DOCKER_HOST")
    try:
        context = ContextAPI.get_current_context()
    except (DockerException, OSError, ValueError, KeyError) as error:
        raise HostError(f"the current docker context cannot be read: {error}; look at `docker context ls`") from error
    if context is None or context.Name == "default" or not context.Host:
        return Endpoint(DEFAULT_SOCKET, "default")
    url = str(context.Host).replace("http+unix://", "unix://")
    return Endpoint(url, f"the docker context {context.Name}", context.TLSConfig)


def engine_state(host: Host, endpoint: Endpoint | None = None) -> EngineState:
    """Ask the engine of `host`, or the one at `endpoint`, once, within seconds."""
    where = endpoint or find_endpoint(host)
    if where.socket is not None and _is_closed_to_us(where.socket):
        return EngineState.FORBIDDEN
    try:
        client = _connect(where, PING_TIMEOUT)
    except (DockerException, requests.RequestException, OSError):
        return EngineState.SILENT
    client.close()
    return EngineState.ANSWERS


def engine_client(host: Host, timeout: int = READ_TIMEOUT, endpoint: Endpoint | None = None) -> Any:
    """Return a `docker.DockerClient`; the caller closes it (it is a context's job: `contextlib.closing`).

    Args:
        host: the machine that the engine serves.
        timeout: seconds for each answer of the engine.
        endpoint: where to look, if not where `find_endpoint` says.

    Raises:
        HostError: no engine answers there, it is closed to this user, or it is too old or not Docker's.
    """
    where = endpoint or find_endpoint(host)
    if where.socket is not None and _is_closed_to_us(where.socket):
        raise HostError(access_help(where))
    try:
        client = _connect(where, timeout)
        version: dict[str, Any] = client.version()
    except (DockerException, requests.RequestException, OSError) as error:
        raise HostError(
            f"the docker engine of {host.name} at {where.url} (chosen by: {where.chosen_by}) does not answer: "
            f"{_cause(error)}; is it running? `./inv {'up' if host.is_local else 'deploy'}` starts it"
        ) from error
    if problem := unusable(version):
        client.close()
        raise HostError(f"the docker engine of {host.name} at {where.url} cannot be used: {problem}")
    return client


def access_help(endpoint: Endpoint) -> str:
    """Say what to do when the engine's socket is closed to this user."""
    return (
        f"the docker engine's socket {endpoint.socket} is not open to this user: run as root, or let an "
        "administrator type `sudo usermod -aG docker $USER` (whoever is in the group docker can become root), "
        "log in again and repeat the command"
    )


def unusable(version: dict[str, Any]) -> str | None:
    """Say why an engine with this `/version` answer will not do; None when it will."""
    names = [str(part.get("Name", "")) for part in version.get("Components") or []]
    if any("podman" in name.lower() for name in names):
        return (
            "it is Podman's imitation, which builds and networks differently; unset DOCKER_HOST or remove "
            "podman-docker, and a Docker engine will be installed"
        )
    numbers = str(version.get("Version", "")).split(".")[:2]
    if all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) < OLDEST_ENGINE:
        return f"it is version {version['Version']}; 20.10 or newer is needed"
    return None


def _connect(endpoint: Endpoint, timeout: int) -> Any:
    if endpoint.socket is not None:
        # The SDK leaves its socket open when no engine listens, so that is found out before it tries.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(timeout)
            probe.connect(str(endpoint.socket))
    # The constructor asks the engine for its API version: it fails here when none answers.
    if endpoint.chosen_by == "the variable DOCKER_HOST":
        return docker.from_env(timeout=timeout, use_ssh_client=True)
    client = docker.DockerClient(
        base_url=endpoint.url,
        timeout=timeout,
        tls=endpoint.tls or False,
        use_ssh_client=endpoint.url.startswith("ssh://"),
    )
    if endpoint.remote:
        client.api.get_adapter(SDK_SCHEME).close()
        client.api.mount(SDK_SCHEME, UnixHTTPAdapter(str(endpoint.socket), timeout, pool_connections=POOLS_OVER_SSH))
    return client


def _is_closed_to_us(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode) and not os.access(path, os.R_OK | os.W_OK)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True


def _cause(error: BaseException) -> str:
    """The innermost reason: the SDK wraps a refused connection four times."""
    while error.__cause__ is not None or error.__context__ is not None:
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    return f"{type(error).__name__}: {error}"
