"""When the volumes of a stack are worked on, and by what."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import IO, Any

import pytest
import yaml
from docker.errors import APIError

from core.errors import CannotKnow, HostError
from core.operation import converge
from hosts.base import DEFAULT_TIMEOUT, Result
from infra.roles.docker.compose import Compose
from infra.roles.stack.render import render_stack_env
from infra.roles.stack.volumes import VOLUMES_FILE, VolumesReady, Wanted, volumes_file, wanted_by
from tests.fakes import FakeHost
from tests.unit.infra.deploy_bench import quiet

UID = 61050
FILES = {"data/.env": "SECRET_KEY='s3cret-key'\n"}
WANTED = Wanted(UID, "labelrig/sam2:1", ("cache", "data"), FILES, {"label-studio": "id-1"})


@dataclass
class Engine:
    """The containers and volumes of a stack, and what the container that works on them would find."""

    containers_there: list[SimpleNamespace] = field(default_factory=list)
    volumes_there: list[str] = field(default_factory=lambda: ["lab_cache", "lab_data", "other_cache"])
    others: int = 0
    lacking: list[str] = field(default_factory=list)

    @property
    def containers(self) -> SimpleNamespace:
        return SimpleNamespace(list=lambda **_: self.containers_there)

    @property
    def volumes(self) -> SimpleNamespace:
        return SimpleNamespace(list=lambda: [SimpleNamespace(name=name) for name in self.volumes_there])


class Machine(FakeHost):
    """Runs compose as the engine would."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.done: list[str] = []
        self.script("docker", "compose", "version", "--short", stdout="2.26.1\n")

    def run(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | IO[bytes] | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
        as_root: bool = False,
    ) -> Result:
        if "down" in argv:
            self.done.append("down")
            self.engine.containers_there.clear()
            return Result(argv, 0, "", "")
        if "run" in argv:
            assert isinstance(stdin, bytes)
            assert "s3cret" not in " ".join(argv)
            mounted = yaml.safe_load(self.files["/state/volumes.yaml"])["services"]["volumes"]["volumes"]
            action = "settle" if b'"settle"' in stdin else "look"
            self.done.append(f"{action} {' '.join(one['source'] for one in mounted)}")
            answer: dict[str, Any] = {"others": self.engine.others, "files": self.engine.lacking}
            if action == "settle":
                assert b"s3cret-key" in stdin
                self.engine.volumes_there += [f"lab_{name}" for name in WANTED.names]
                self.engine.others, self.engine.lacking = 0, []
                answer = {"changed": 1}
            return Result(argv, 0, json.dumps(answer) + "\n", "")
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail, as_root=as_root)


def container(service: str, user: str = f"{UID}:{UID}", identity: str = "id-1") -> SimpleNamespace:
    labels = {"com.docker.compose.service": service, "org.labelrig.secrets-id": identity}
    return SimpleNamespace(labels=labels, attrs={"Config": {"User": user}})


def operation(machine: Machine, *, may_stop: bool = True, applies: bool = True) -> VolumesReady:
    compose = Compose(machine, "lab", ["c.yaml"], "env") if may_stop else None
    engine: Any = machine.engine
    return VolumesReady(
        machine, "lab", "/state", lambda: WANTED, lambda: engine, quiet(), compose=compose, applies=applies
    )


def test_containers_of_the_same_user_prove_it_without_a_look() -> None:
    machine = Machine(Engine([container("sam2"), container("label-studio")], others=7))
    assert operation(machine).plan() == []
    assert operation(machine, applies=False).plan() == []
    assert machine.done == []


def test_new_volumes_are_made_before_the_containers() -> None:
    machine = Machine(Engine(volumes_there=["other_data"]))
    one = operation(machine)
    assert [change.summary for change in one.plan()] == [f"volumes for user {UID}: make cache, data"]
    assert machine.done == []
    assert converge([one], quiet()) == 1
    assert machine.done == ["settle cache data", "look cache data"]
    assert machine.modes["/state/volumes.env"] == 0o600


def test_containers_of_another_user_go_first() -> None:
    """A database must not lose its files under it, and no container may say that all was done before it was."""
    machine = Machine(Engine([container("sam2"), container("label-studio", "1001:1001")], others=7))
    one = operation(machine)
    assert [change.summary for change in one.plan()] == [f"stop the containers and hand the volumes over to user {UID}"]
    assert machine.done == []
    assert converge([one], quiet()) == 1
    assert machine.done == ["down", "settle cache data", "look cache data"]


def test_without_containers_the_volumes_are_looked_at() -> None:
    """After `down`, and after a run that was killed in the middle of the work."""
    machine = Machine(Engine(others=12, lacking=["data/.env"]))
    one = operation(machine)
    summary = f"volumes for user {UID}: hand over 12 files of another user; write data/.env"
    assert [change.summary for change in one.plan()] == [summary]
    assert converge([one], quiet()) == 1
    assert converge([operation(machine)], quiet()) == 0


def test_a_new_secret_is_written_while_the_containers_run() -> None:
    there = [container("sam2"), container("label-studio", identity="id-0")]
    machine = Machine(Engine(there, lacking=["data/.env"]))
    assert converge([operation(machine)], quiet()) == 1
    assert machine.done == ["look cache data", "settle cache data", "look cache data"]


def test_a_plan_starts_no_container() -> None:
    machine = Machine(Engine(others=3))
    with pytest.raises(CannotKnow, match="a plan starts none"):
        operation(machine, applies=False).plan()
    machine.engine.containers_there.append(container("label-studio", "1001:1001"))
    assert [change.summary for change in operation(machine, applies=False).plan()] == [
        f"stop the containers and hand the volumes over to user {UID}"
    ]
    assert machine.done == []


def test_containers_that_must_go_on_are_not_stopped() -> None:
    """The volume for checkpoints is made ready while an earlier version still answers clicks: it only reads it."""
    machine = Machine(Engine([container("label-studio", "1001:1001")], others=2))
    assert converge([operation(machine, may_stop=False)], quiet()) == 1
    assert "down" not in machine.done


def test_an_engine_that_goes_away_is_an_error_in_words() -> None:
    machine = Machine(Engine())

    def gone() -> Any:
        raise APIError("gone")

    one = VolumesReady(machine, "lab", "/state", lambda: WANTED, gone, quiet())
    with pytest.raises(HostError, match="fake host: the docker engine does not list the volumes: gone"):
        one.plan()


def rendered(values: dict[str, str], *names: str) -> Wanted:
    host = FakeHost()
    host.files["/stack.env"] = render_stack_env({"LABELRIG_SAM2_IMAGE": "sam2:1", **values})
    host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
    argv = ("docker", "compose", "--project-name", "lab", "--env-file", "/stack.env", "--file", "c.yaml")
    host.script(*argv, "config", "--volumes", stdout="".join(f"{name}\n" for name in names))
    return wanted_by(host, Compose(host, "lab", ["c.yaml"], "/stack.env"), "/stack.env")


SECRETS = {
    "LABEL_STUDIO_SECRET_KEY": "k$y",
    "LABEL_STUDIO_PASSWORD": 'p"w',
    "LABELRIG_POSTGRES_PASSWORD": "of_db",
}
IDS = {"LABELRIG_SECRETS_ID": "aa", "LABELRIG_POSTGRES_PASSWORD_ID": "bb"}


def test_what_is_to_be_comes_from_the_rendered_files() -> None:
    values = {"LABELRIG_UID": "61042", **SECRETS, **IDS}
    assert rendered(values, "models", "label-studio-data", "db-client") == Wanted(
        61042,
        "sam2:1",
        ("db-client", "label-studio-data", "models"),
        {
            "label-studio-data/.env": "SECRET_KEY='k$y'\nLABEL_STUDIO_PASSWORD='p\"w'\n",
            "db-client/postgres_password": "of_db",
        },
        {"label-studio": "aa", "db": "bb"},
    )


def test_a_release_of_an_earlier_version_gets_its_volumes_back() -> None:
    """Its containers run as user 1001, and find the secrets in their environment."""
    wanted = rendered(SECRETS, "label-studio-data", "db-client", "db-data")
    assert (wanted.uid, wanted.files, wanted.ids) == (1001, {}, {})


def test_the_container_is_shut_in() -> None:
    """It is root, so it has no network, nothing of the machine, and of root's rights those that it needs."""
    service = yaml.safe_load(VOLUMES_FILE.read_text())["services"]["volumes"]
    assert service["cap_drop"] == ["ALL"]
    assert service["cap_add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    assert (service["network_mode"], service["read_only"]) == ("none", True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    document = yaml.safe_load(volumes_file(("a", "b"), ["b"]))
    assert document["volumes"] == {"a": None, "b": None}
    assert document["services"]["volumes"]["volumes"] == [
        {"type": "volume", "source": "b", "target": "/volumes/b", "volume": {"nocopy": True}}
    ]
