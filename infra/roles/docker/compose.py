"""The compose command line: found once, then run with the project's files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import IO, Unpack

from core.errors import HostError
from hosts.base import ANY_EXIT_CODE, Host, Result, RunArguments, environment_of

VERSION_2_OR_NEWER = re.compile(r"^v?([2-9]|[1-9]\d+)\.")
# Where distributions and Docker put the plugin; each also runs as a program of its own.
PLUGIN_PATHS = (
    "/usr/libexec/docker/cli-plugins/docker-compose",
    "/usr/lib/docker/cli-plugins/docker-compose",
    "/usr/local/lib/docker/cli-plugins/docker-compose",
    "/usr/local/libexec/docker/cli-plugins/docker-compose",
)
CANDIDATES: tuple[tuple[str, ...], ...] = (
    ("docker", "compose"),
    ("/usr/bin/docker", "compose"),
    *((path,) for path in PLUGIN_PATHS),
)

# Compose lets the environment win over its env file: a value that the settings have not seen, or have put in another
# form, would reach the containers, and a name that is set to nothing would empty its line. These are the stack's names.
ENV_FILE_NAMES = (
    *("LABELRIG_LABEL_STUDIO_IMAGE", "LABELRIG_SAM2_IMAGE", "LABELRIG_SAM2_MODEL", "LABELRIG_CA_IN_CONTAINER"),
    *("LABELRIG_UID", "LABELRIG_SECRETS_ID"),
    *("LABELRIG_SUBNET", "LABELRIG_IP_RANGE", "LABELRIG_SAM2_ADDRESS", "LABELRIG_BANNED_SUBNETS", "LABELRIG_LISTEN"),
    *("LABELRIG_COMPANION", "LABELRIG_LOG_FILE_MB"),
    *("LABEL_STUDIO_PORT", "LABEL_STUDIO_USERNAME", "LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY"),
    *("LABELRIG_POSTGRES_IMAGE", "LABELRIG_POSTGRES_PASSWORD", "LABELRIG_POSTGRES_PASSWORD_ID"),
    *("LABELRIG_LABEL_STUDIO_MEMORY_MB", "LABELRIG_LABEL_STUDIO_CPUS", "LABELRIG_LABEL_STUDIO_PIDS"),
    *("LABELRIG_SAM2_MEMORY_MB", "LABELRIG_SAM2_CPUS", "LABELRIG_SAM2_PIDS", "LABELRIG_WORK_MEMORY_MB"),
    *("LABELRIG_DB_MEMORY_MB", "LABELRIG_DB_CPUS", "LABELRIG_DB_PIDS"),
    *("LABELRIG_PROXY_IMAGE", "LABELRIG_PROXY_MEMORY_MB", "LABELRIG_PROXY_CPUS", "LABELRIG_PROXY_PIDS"),
    "LABELRIG_METRICS_SHA256",
    *("LABELRIG_WEB_PROCESSES", "LABELRIG_WEB_THREADS", "LABELRIG_HTTP_LISTEN", "LABELRIG_HTTPS_PORT"),
    *(
        "LABELRIG_HOST_NAME",
        "LABELRIG_RAY_ADDRESS",
        "LABELRIG_RAY_HEAD",
        "LABELRIG_RAY_PORT",
        "LABELRIG_RAY_WORKER_PORTS",
    ),
    *(
        "LABELRIG_RAY_WORKER_PORTS",
        "LABELRIG_RAY_REPLICAS",
        "LABELRIG_RAY_GPUS",
        "LABELRIG_RAY_THREADS",
        "LABELRIG_RAY_MEMORY_MB",
    ),
    *("LABELRIG_RAY_CPUS", "LABELRIG_RAY_PIDS", "LABELRIG_CLUSTER_TOKEN", "LABELRIG_CLUSTER_TOKEN_ID"),
    *("LABELRIG_CLUSTER_REPLICAS", "LABELRIG_CLUSTER_REPLICA_GPUS", "LABELRIG_LABEL_STUDIO_URL"),
    *("LABELRIG_HAPROXY_IMAGE", "LABELRIG_STAND_IN_ADDRESS"),
    *("LABELRIG_PUBLIC_URL", "LABELRIG_ALLOWED_HOSTS", "LABELRIG_TLS", "LABELRIG_SITE"),
)
COMPOSE_NAMES = ("COMPOSE_PROFILES", "COMPOSE_DISABLE_ENV_FILE")


def find_compose(host: Host) -> tuple[str, ...] | None:
    """Return how compose version 2 or newer is called on this host, or None where it is not installed."""
    for candidate in CANDIDATES:
        answer = host.run(*candidate, "version", "--short", ok=ANY_EXIT_CODE)
        if answer.ok and VERSION_2_OR_NEWER.match(answer.stdout.strip()):
            return candidate
    return None


def run_docker(host: Host, *argv: str, **arguments: Unpack[RunArguments]) -> Result:
    """Run a docker or compose command line; see `hosts.base.Host.run` for the arguments and errors.

    On another machine as root: the files it reads are root's there, and its own engine is meant, whatever the user's
    docker context is. On this machine as the user, whose engine may be a rootless one.
    """
    return host.run(*argv, as_root=not host.is_local, **arguments)


class Compose:
    """Compose for one project: the same name, files and variables in every call.

    What the env file decides, `names`, is never taken from the environment.
    """

    def __init__(
        self, host: Host, project: str, files: Sequence[str], env_file: str, names: Sequence[str] = ENV_FILE_NAMES
    ) -> None:
        self._host = host
        self._project = project
        self._files = tuple(files)
        self._env_file = env_file
        self._names = tuple(names)
        self._program: tuple[str, ...] | None = None

    def argv(self, *args: str) -> tuple[str, ...]:
        """The full command line of `docker compose ARGS`.

        Raises:
            HostError: compose is not installed.
        """
        if self._program is None:
            self._program = find_compose(self._host)
        if self._program is None:
            raise HostError(
                f"{self._host.name}: no docker command knows `compose` version 2; "
                f"`./inv {'up' if self._host.is_local else 'deploy'}` installs it"
            )
        files = [part for file in self._files for part in ("--file", file)]
        program = (*self._clean(), *self._program)
        return (*program, "--project-name", self._project, "--env-file", self._env_file, *files, *args)

    def _clean(self) -> tuple[str, ...]:
        """What takes the names that the env file decides out of the environment."""
        names = [name for name in (*self._names, *COMPOSE_NAMES) if name in environment_of(self._host)]
        return ("env", *(part for name in names for part in ("-u", name))) if names else ()

    def run(self, *args: str, **arguments: Unpack[RunArguments]) -> Result:
        """Run `docker compose ARGS`; see `run_docker` for the arguments and errors."""
        return run_docker(self._host, *self.argv(*args), **arguments)

    def run_on_file(self, file: IO[bytes], *args: str, timeout: float) -> Result:
        """The same with a file as standard input, which may be larger than memory."""
        return self._host.run(*self.argv(*args), stdin=file, timeout=timeout, as_root=not self._host.is_local)
