"""The volumes of a stack: there, owned by the number that its containers run as, and with the secrets in them.

What is to be is read from the rendered files that the containers are started from. So a release that goes back to an
earlier one, whose containers run as user 1001, gets its volumes handed back by the same operation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import requests
import yaml
from docker.errors import DockerException

from core.errors import CannotKnow, HostError, LabelrigError
from core.operation import Change
from core.report import Report
from core.strict_yaml import parse_yaml
from hosts.base import Host
from infra.config.settings import CLUSTER_TOKEN, UID
from infra.roles.docker.compose import Compose
from infra.roles.preflight.role import LABEL_PROJECT
from infra.roles.stack.render import (
    CLUSTER_TOKEN_ID,
    IMAGE_VARIABLES,
    POSTGRES_PASSWORD_ID,
    RAY_SERVICE,
    SECRETS_ID,
    parse_stack_env,
    render_stack_env,
)
from labelstudio.program import program

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

VOLUMES_FILE = Path(__file__).parent / "compose" / "volumes.yaml"
SERVICE = "volumes"
MOUNTED = "/volumes"
BEFORE = 1001  # what containers ran as before the number was chosen
SERVICE_LABEL = "com.docker.compose.service"
SECRETS_LABEL = "org.labelrig.secrets-id"
SECRETS_IDS = {"label-studio": SECRETS_ID, "db": POSTGRES_PASSWORD_ID, RAY_SERVICE: CLUSTER_TOKEN_ID}
DOWN_TIMEOUT = 240.0
WORK_TIMEOUT = 3600.0
# Label Studio reads this file by itself and takes it for its environment; the other is run.sh's.
LABEL_STUDIO_FILE, DB_FILE = "label-studio-data/.env", "db-client/postgres_password"
CLUSTER_FILE = "secrets/cluster_token"  # Ray reads it by itself


@dataclass(frozen=True)
class Wanted:
    """How the volumes are to be.

    Attributes:
        uid: user and group of everything in them.
        image: of the container that works on them: one of ours.
        names: of the volumes, without the project's name in front.
        files: `VOLUME/NAME` -> text, readable for the user alone.
        ids: service -> what stands for the text that it reads: a container with it as its label was made after the
            file was written.
    """

    uid: int
    image: str
    names: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> str:
        """The user as a container's description has it."""
        return f"{self.uid}:{self.uid}"

    def proven_by(self, containers: Sequence[Container]) -> bool:
        """Whether all was done: containers are made, and made anew, after the volumes only."""
        read = {one.labels.get(SERVICE_LABEL): one.labels.get(SECRETS_LABEL) for one in containers}
        told = all(read.get(service) == identity for service, identity in self.ids.items())
        return bool(containers) and told and all(user_of(one) == self.user for one in containers)


class VolumesReady:
    """Every volume is there and its user's own, with the secrets that the containers read."""

    def __init__(
        self,
        host: Host,
        project: str,
        state: str,
        wanted: Callable[[], Wanted],
        engine: Callable[[], DockerClient],
        report: Report,
        *,
        compose: Compose | None = None,
        applies: bool = True,
        name: str = "volumes owned by the containers' user",
    ) -> None:
        """
        Args:
            state: a folder on the host for the compose file of the container that works on the volumes.
            wanted: how they are to be, read when it is needed.
            compose: takes the containers down where they run as another user. None: they go on meanwhile.
            applies: False in a plan, which starts no container.
        """
        self._host = host
        self._project = project
        self._state = state
        self._wanted = wanted
        self._engine = engine
        self._report = report
        self._compose = compose
        self._applies = applies
        self.name = name

    def plan(self) -> list[Change]:
        """One change for volumes that are missing, another user's, or lack a secret.

        Raises:
            CannotKnow: this is a plan, and no containers tell that the volumes are as they should be.
            HostError: the engine does not answer.
        """
        wanted = self._wanted()
        containers, there = self._look_at_engine(wanted)
        missing = [name for name in wanted.names if name not in there]
        if not missing and wanted.proven_by(containers):
            return []
        if self._compose is not None and any(user_of(one) != wanted.user for one in containers):
            what = f"stop the containers and hand the volumes over to user {wanted.uid}"
            return [Change(what, lambda: self._settle(wanted, down=True))]
        if not self._applies:
            raise CannotKnow("only a new container can say who owns what is in the volumes, and a plan starts none")
        reasons = [f"make {', '.join(missing)}"] if missing else []
        if there:
            reasons += self._look(wanted, [name for name in wanted.names if name in there])
        if not reasons:
            return []
        return [Change(f"volumes for user {wanted.uid}: {'; '.join(reasons)}", lambda: self._settle(wanted))]

    def _look(self, wanted: Wanted, names: Sequence[str]) -> list[str]:
        files = {path: text for path, text in wanted.files.items() if path.partition("/")[0] in names}
        seen = self._run("look", wanted, names, files)
        reasons = [f"hand over {seen['others']} files of another user"] if seen["others"] else []
        return reasons + ([f"write {', '.join(seen['files'])}"] if seen["files"] else [])

    def _settle(self, wanted: Wanted, *, down: bool = False) -> None:
        if down and self._compose is not None:
            # Removed and not only stopped: where this run is killed, no container says that all was done.
            self._compose.run("down", "--remove-orphans", timeout=DOWN_TIMEOUT, on_line=self._report.progress)
        self._run("settle", wanted, wanted.names, wanted.files)

    def _look_at_engine(self, wanted: Wanted) -> tuple[list[Container], frozenset[str]]:
        """The containers of the stack, and those of the wanted volumes that are there."""
        ours = f"{LABEL_PROJECT}={self._project}"
        try:
            engine = self._engine()
            filters: dict[str, str | list[str] | bool] = {"label": [ours, "com.docker.compose.oneoff=False"]}
            containers = engine.containers.list(all=True, filters=filters, ignore_removed=True)
            names = {volume.name.removeprefix(f"{self._project}_") for volume in engine.volumes.list()}
        except (DockerException, requests.RequestException) as error:
            raise HostError(f"{self._host.name}: the docker engine does not list the volumes: {error}") from error
        return containers, frozenset(names.intersection(wanted.names))

    def _run(self, action: str, wanted: Wanted, names: Sequence[str], files: Mapping[str, str]) -> dict[str, Any]:
        file, env = f"{self._state}/{VOLUMES_FILE.name}", f"{self._state}/volumes.env"
        self._place(file, volumes_file(wanted.names, mounted=names))
        self._place(env, render_stack_env({IMAGE_VARIABLES["sam2"]: wanted.image}))
        work = {"root": MOUNTED, "uid": wanted.uid, "volumes": list(names), "files": dict(files)}
        done = Compose(self._host, self._project, [file], env).run(
            *("run", "--rm", "--no-TTY", "--quiet-pull", SERVICE),
            stdin=program(["volume_work"], action, json.dumps(work), package="infra.roles.stack"),
            timeout=WORK_TIMEOUT,
            on_line=lambda line: None if line.startswith("{") else self._report.progress(line),
        )
        try:
            answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise LabelrigError(
                f"{self._host.name}: the container that works on the volumes answered {done.stdout[-200:]!r}"
            ) from None
        return answer

    def _place(self, path: str, content: bytes) -> None:
        as_root = not self._host.is_local
        if self._host.read(path, as_root=as_root) != content:
            self._host.write(path, content, 0o600, as_root=as_root)


def volumes_file(names: Sequence[str], mounted: Sequence[str]) -> bytes:
    """The compose file of the container that works on the volumes, with those of them that it sees."""
    document = cast(dict[str, Any], parse_yaml(VOLUMES_FILE.read_text("utf-8"), VOLUMES_FILE.name))
    document["services"][SERVICE]["volumes"] = [
        {"type": "volume", "source": name, "target": f"{MOUNTED}/{name}", "volume": {"nocopy": True}}
        for name in mounted
    ]
    document["volumes"] = dict.fromkeys(names)
    return yaml.safe_dump(document, sort_keys=True).encode()


def wanted_by(host: Host, compose: Compose, env: str) -> Wanted:
    """How the volumes of a stack are to be, by its rendered files.

    Args:
        env: the path of its `stack.env`.
    """
    values = parse_stack_env(host.read(env, as_root=not host.is_local) or b"")
    names = tuple(sorted(compose.run("config", "--volumes").stdout.split()))
    texts: dict[str, str] = {}
    if SECRETS_ID in values:  # else its containers get the secrets in their environment
        key, password = (values[f"LABEL_STUDIO_{name}"] for name in ("SECRET_KEY", "PASSWORD"))
        texts[LABEL_STUDIO_FILE] = f"SECRET_KEY='{key}'\nLABEL_STUDIO_PASSWORD='{password}'\n"
        texts[DB_FILE] = values.get("LABELRIG_POSTGRES_PASSWORD", "")
    if CLUSTER_TOKEN in values:
        texts[CLUSTER_FILE] = values[CLUSTER_TOKEN]
    files = {path: text for path, text in texts.items() if path.partition("/")[0] in names}
    ids = {service: values[name] for service, name in SECRETS_IDS.items() if name in values}
    return Wanted(int(values.get(UID, BEFORE)), values[IMAGE_VARIABLES["sam2"]], names, files, ids)


def user_of(container: Container) -> str:
    """The user that a container runs as, as its description has it."""
    return str(container.attrs["Config"].get("User") or "0")
