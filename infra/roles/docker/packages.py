"""The state "docker engine and compose installed"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import HostError
from core.operation import Change
from core.report import Report
from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.docker.apt import Apt, AptSource, read_sources
from infra.roles.docker.client import EngineState, engine_state
from infra.roles.docker.compose import find_compose
from infra.roles.docker.platform import (
    NEXT_RELEASE,
    NEXT_VERSION,
    PREFERENCES_FILE,
    SOURCE_FILE,
    SUPPORTED,
    Distribution,
    compose_preferences,
    compose_source,
    read_distribution,
)

COMPOSE_PLUGIN_OF_DOCKER = "docker-compose-plugin"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
ENGINE = "dockerd"
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOOK_FOR = f'PATH="{SEARCH_PATH}:$PATH" command -v "$1"'


@dataclass(frozen=True)
class Found:
    """What is on the host already."""

    engine: bool
    command_line: bool
    compose: bool


def is_installed(host: Host, program: str) -> bool:
    """Whether a program lies where daemons do; a user's PATH often lacks those folders."""
    return host.run("sh", "-c", LOOK_FOR, "sh", program, ok=ANY_EXIT_CODE).ok


class EnginePackages:
    """Whatever engine and compose are there stay as they are; only what is missing is installed."""

    name = "docker engine and compose installed"

    def __init__(
        self,
        host: Host,
        report: Report,
        apt: Apt | None = None,
        ask_engine: Callable[[], EngineState] | None = None,
    ) -> None:
        self._host = host
        self._apt = apt or Apt(host, report)
        self._ask_engine = ask_engine or (lambda: engine_state(host))

    def plan(self) -> Sequence[Change]:
        """See `core.operation.Operation.plan`.

        Raises:
            HostError: the `docker` command is Podman's, or something is missing on a system we do not know.
        """
        found = self._find()
        if found.engine and found.command_line and found.compose:
            return []
        distribution = read_distribution(self._host)
        if not distribution.is_supported:
            missing = [
                words
                for there, words in (
                    (found.engine, "Docker Engine"),
                    (found.command_line, "the docker command"),
                    (found.compose, "Compose v2"),
                )
                if not there
            ]
            raise HostError(
                f"missing on {self._host.name}: {', '.join(missing)}; labelrig cannot install it on "
                f"{distribution.pretty} (it can on {SUPPORTED}): install it by hand, then repeat the command"
            )
        return self._changes(found, distribution)

    def _find(self) -> Found:
        answer = self._host.run("docker", "--version", ok=ANY_EXIT_CODE)
        if answer.stdout.lower().startswith("podman"):
            raise HostError(
                f"{self._host.name}: the command `docker` is Podman's imitation ({answer.stdout.strip()}), "
                "which builds and networks differently: remove the package podman-docker, and a Docker "
                "engine will be installed beside Podman"
            )
        return Found(
            engine=is_installed(self._host, ENGINE) or self._ask_engine() is not EngineState.SILENT,
            command_line=answer.ok,
            compose=find_compose(self._host) is not None,
        )

    def _changes(self, found: Found, distribution: Distribution) -> list[Change]:
        packages: list[str] = []
        if not found.engine:
            packages += distribution.engine_packages(
                apparmor=self._apparmor_is_on(), certificates=self._host.read(CERTIFICATES) is not None
            )
        elif not found.command_line:
            packages.append(distribution.command_line_package)
        changes: list[Change] = []
        pinned = False
        if not found.compose:
            # Where Docker's own packages are used, their plugin fits; mixing the two families does not.
            if self._apt.candidate(COMPOSE_PLUGIN_OF_DOCKER) is not None:
                packages.append(COMPOSE_PLUGIN_OF_DOCKER)
            else:
                packages += distribution.compose_packages()
                pinned = distribution.compose_is_too_old and self._apt.takes_sources
        if pinned:
            changes += self._source_changes()
        chosen = tuple(dict.fromkeys(packages))
        changes.append(
            Change(
                f"install {', '.join(chosen)} with apt",
                lambda: self._apt.install(
                    chosen,
                    refresh=pinned,
                    next_version=NEXT_VERSION if pinned else "",
                    allowed=distribution.compose_packages(),
                ),
            )
        )
        return changes

    def _apparmor_is_on(self) -> bool:
        return (self._host.read("/sys/module/apparmor/parameters/enabled") or b"").strip() == b"Y"

    def _source_changes(self) -> list[Change]:
        sources = read_sources(self._host)
        wanted: dict[str, str] = {}
        if not self._has_next_release(sources):
            # The pin first: there must be no moment in which the source counts without it.
            wanted[PREFERENCES_FILE] = compose_preferences()
            wanted[SOURCE_FILE] = compose_source(debian_mirror(sources, self._host.name))
        return [
            Change(f"write {path}", self._writer(path, content), diff=content)
            for path, content in wanted.items()
            if self._host.read(path) != content.encode()
        ]

    def _has_next_release(self, sources: Sequence[AptSource]) -> bool:
        # A source and pins that the administrator made for it stay as they are.
        return self._host.read(SOURCE_FILE) is None and any(
            source.codename == NEXT_RELEASE and source.label == "Debian" for source in sources
        )

    def _writer(self, path: str, content: str) -> Callable[[], None]:
        return lambda: self._host.write(path, content.encode(), 0o644, as_root=True)


def debian_mirror(sources: Sequence[AptSource], host_name: str) -> str:
    """The mirror from which this Debian takes its own packages.

    Raises:
        HostError: apt has no source of this release.
    """
    for source in sources:
        if source.label == "Debian" and source.component == "main" and "-" not in source.codename:
            return source.uri
    raise HostError(
        f"{host_name}: apt has no source of the Debian archive (`apt-get indextargets` shows none), so "
        "docker-compose cannot be taken from it; add one, run `apt-get update`, then repeat the command"
    )
