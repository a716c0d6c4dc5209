"""A rotation from the file of secrets to the gate; what is cut off is completed; where a value shows and where not."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from core.errors import CommandFailed, HostError, LabelrigError, ProofFailed, SettingsError
from infra.config.dotenv import parse_env_bytes
from infra.config.settings import Settings
from infra.fleet.choice import Outcome
from infra.fleet.session import Session
from infra.releases.manifest import ReleaseFacts
from infra.releases.store import Releases
from infra.roles.project.backend_token import ACCOUNT
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.render import RenderedFile, parse_stack_env, render_stack_env, secret_values
from infra.rotation import rotate as module
from infra.rotation.command import run_rotate
from infra.rotation.kinds import KINDS, Kind
from infra.stack.site import Site
from labelstudio.access import Access
from labelstudio.password_record import PasswordRecord
from tests.unit.infra.deploy_bench import LabHost, options
from tests.unit.infra.releases.release_bench import FACTS, NOW
from tests.unit.infra.services.services_bench import FILES, FakeContainer, ServicesBench, make_bench
from tests.unit.labelstudio.inside_fake import InsideFake
from tests.unit.labelstudio.labelstudio_fake import BASE, EMAIL, PASSWORD, FakeLabelStudio

OLD = {
    "LABEL_STUDIO_PASSWORD": PASSWORD,
    "LABEL_STUDIO_SECRET_KEY": "key-of-the-stack",
    "LABELRIG_POSTGRES_PASSWORD": "of-the-database",
    "LABELRIG_BACKEND_PASSWORD": "of-the-backend",
}
PLAIN = {"COMPOSE_PROJECT_NAME": "labelrig", "LABEL_STUDIO_PORT": "8080"}


@dataclass
class Rotation:
    """A stack on a host, and what a rotation does to it.

    Attributes:
        started: the values of `stack.env`, each time that the containers were brought to it.
    """

    bench: ServicesBench
    server: FakeLabelStudio
    inside: InsideFake
    started: list[Mapping[str, str]] = field(default_factory=list)
    fail_at: str = ""

    def secrets(self) -> dict[str, str]:
        return parse_env_bytes((self.bench.base / "secrets.env").read_bytes(), "secrets.env")

    def run(self, *kinds: Kind) -> Outcome:
        return run_rotate(self.bench.choice, options("secrets.rotate"), kinds, confirm=None)

    def asked(self) -> list[str]:
        return [name for name, _ in self.inside.asked]

    def envs(self) -> list[dict[str, str]]:
        return [parse_stack_env(path.read_bytes()) for path in sorted(self.bench.base.glob("releases/*/stack.env"))]


def settings() -> Settings:
    return Settings.model_validate({**OLD, "LABELRIG_DATABASE": "postgres"})


@pytest.fixture
def rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rotation:
    bench = make_bench(tmp_path, monkeypatch)
    bench.engine.there["db"] = FakeContainer("labelrig-db-1")
    for name in FILES:
        (bench.base / "current" / name).unlink()
    (bench.base / "current").rmdir()
    env = render_stack_env({**PLAIN, **secret_values(settings())})
    facts: ReleaseFacts = FACTS.model_copy(update={"database": "postgres"})
    for minute in range(2):
        releases = Releases(LabHost(), str(bench.base), lambda minute=minute: NOW.replace(minute=minute))  # type: ignore[misc]
        files = [RenderedFile(f"/{name}", b"x", 0o644) for name in (*FILES[1:], "postgres.yaml")]
        made = releases.write([RenderedFile("/stack.env", env, 0o600), *files], facts)
        releases.activate(made.id)
        releases.mark(made.id, "passed")
    server = FakeLabelStudio()
    token = server.token()
    lines = {**OLD, "LABEL_STUDIO_API_KEY": token}
    (bench.base / "secrets.env").write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))
    PasswordRecord.of(LabHost(), str(bench.base)).write(EMAIL, PASSWORD)

    def personal(asked: dict[str, Any]) -> object:
        assert asked == {"email": EMAIL}
        server.tokens.clear()
        return {"token": server.token()}

    inside = InsideFake(
        {
            "personal_token": personal,
            "service_account": lambda _asked: {"token": "token-of-the-backend"},
            "sign_out": lambda _asked: {"owners": [ACCOUNT, EMAIL, "ana@lab.example"]},
        }
    )
    one = Rotation(bench, server, inside)

    def operations(site: Site, *_rest: object) -> list[Any]:
        if one.fail_at == "once":
            one.fail_at = ""
            raise CommandFailed("gpu01: the container name is already in use")
        if one.fail_at == "stack":
            raise HostError("gpu01: db does not start")
        one.started.append(parse_stack_env(site.host.read(site.files.env) or b""))
        return []

    def gate(*_arguments: object, **_options: object) -> object:
        if one.fail_at == "gate":
            raise ProofFailed("the click did not come back")
        return SimpleNamespace(sentence=lambda: "a click came back as a mask")

    def access(with_: Settings, url: str) -> Access:
        assert with_.password is not None
        held = one.secrets()["LABEL_STUDIO_API_KEY"]
        return Access(url, with_.username, with_.password.get_secret_value(), held, server.transport)

    monkeypatch.setattr(module, "stack_operations", operations)
    monkeypatch.setattr(module, "pass_gate", gate)
    monkeypatch.setattr(module, "reached", lambda _site: contextlib.nullcontext(BASE))
    monkeypatch.setattr(module, "Access", SimpleNamespace(of=access))
    monkeypatch.setattr(module, "engine_client", bench.engine)
    monkeypatch.setattr(Site, "exec_in", lambda _site, _service: inside)
    monkeypatch.setattr(Session, "resolved", lambda _one, spec: (spec, ImageFolder("demo", "/images")))

    def reset(_run: object, username: str, password: str) -> None:
        assert username == EMAIL
        server.password = password

    monkeypatch.setattr("infra.roles.project.password.reset_password", reset)
    return one


def test_everything_is_made_anew(rotation: Rotation, capsys: pytest.CaptureFixture[str]) -> None:
    token = rotation.secrets()["LABEL_STUDIO_API_KEY"]
    outcome = rotation.run(*KINDS)
    assert outcome.exit_code == 0, outcome.results[0].error
    new = rotation.secrets()
    assert set(new) == {*OLD, "LABEL_STUDIO_API_KEY"}
    assert all(new[name] != value for name, value in OLD.items())
    assert new["LABEL_STUDIO_API_KEY"] in rotation.server.tokens
    assert token not in rotation.server.tokens
    assert rotation.asked() == ["sign_out", "personal_token", "service_account"]
    assert rotation.server.password == new["LABEL_STUDIO_PASSWORD"]
    assert PasswordRecord.of(LabHost(), str(rotation.bench.base)).holds(EMAIL, rotation.server.password)
    wanted = secret_values(Settings.model_validate({**new, "LABELRIG_DATABASE": "postgres"}))
    assert rotation.started == [{**PLAIN, **wanted}]
    assert not (rotation.bench.base / "rotation.json").exists()
    assert outcome.text == (
        "gpu01: database, secret-key, backend, token, password made anew, the values from before are void; "
        "a click came back as a mask"
    )
    record = outcome.shown(json=True, junit=None)
    assert json.loads(record)["hosts"][0]["rotated"] == list(KINDS)
    assert any("ana@lab.example had a personal token" in one for one in json.loads(record)["hosts"][0]["notices"])
    said = capsys.readouterr()
    shown = record + said.out + said.err + rotation.bench.log.read_text()
    shown += (rotation.bench.base / "audit.jsonl").read_text()
    for value in (*OLD.values(), *new.values(), token, "token-of-the-backend"):
        assert value not in shown


@pytest.mark.parametrize("mark", ["restoring", "upgrading"])
def test_half_of_two_states_gets_no_new_values(rotation: Rotation, mark: str) -> None:
    (rotation.bench.base / f"{mark}.json").write_text("{}")
    before = rotation.secrets()
    outcome = rotation.run("database")
    assert outcome.exit_code == 1
    assert "was cut off" in (outcome.results[0].error or "")
    assert (rotation.secrets(), rotation.started) == (before, [])


def test_releases_from_before_get_the_new_values(rotation: Rotation) -> None:
    """They may serve again, and would bring back what is void; they are as whole as they were."""
    assert rotation.run("database").exit_code == 0
    password = rotation.secrets()["LABELRIG_POSTGRES_PASSWORD"]
    assert [one["LABELRIG_POSTGRES_PASSWORD"] for one in rotation.envs()] == [password, password]
    for release in Releases(LabHost(), str(rotation.bench.base)).read().releases:
        assert release.damaged() == []
        assert release.gate == "passed"
        assert release.files["stack.env"].mode == 0o600


@pytest.mark.parametrize(
    ("kind", "changed", "asked"),
    [
        ("database", {"LABELRIG_POSTGRES_PASSWORD"}, []),
        ("backend", {"LABELRIG_BACKEND_PASSWORD"}, ["service_account"]),
        ("token", {"LABEL_STUDIO_API_KEY"}, ["personal_token"]),
        ("password", {"LABEL_STUDIO_PASSWORD"}, []),
        (
            "secret-key",
            {"LABEL_STUDIO_SECRET_KEY", "LABEL_STUDIO_API_KEY"},
            ["sign_out", "personal_token", "service_account"],
        ),
    ],
)
def test_one_secret_leaves_the_others(rotation: Rotation, kind: Kind, changed: set[str], asked: list[str]) -> None:
    before = rotation.secrets()
    assert rotation.run(kind).exit_code == 0
    after = rotation.secrets()
    assert {name for name in after if after[name] != before[name]} == changed
    assert rotation.asked() == asked


@pytest.mark.parametrize("fail_at", ["stack", "gate"])
def test_what_is_cut_off_the_next_one_completes(rotation: Rotation, fail_at: str) -> None:
    rotation.fail_at = fail_at
    failed = rotation.run("database")
    assert failed.exit_code == LabelrigError.exit_code
    assert (failed.results[0].error or "").endswith(
        "and not everything has taken them yet: once what is named above is mended, `./inv secrets.rotate` with any "
        "secret completes it"
    )
    half = rotation.secrets()["LABELRIG_POSTGRES_PASSWORD"]
    rotation.bench.engine.there["db"].status = "exited"  # a container that a run left down does not stop the next one
    rotation.fail_at = ""
    done = rotation.run("token")
    assert done.exit_code == 0, done.results[0].error
    (notice,) = [one for one in done.results[0].report.notices if "cut off" in one]
    assert notice == "a rotation of database was cut off: they are made anew with the others"
    assert rotation.secrets()["LABELRIG_POSTGRES_PASSWORD"] not in (half, OLD["LABELRIG_POSTGRES_PASSWORD"])
    assert rotation.asked()[-1:] == ["personal_token"]
    assert not (rotation.bench.base / "rotation.json").exists()


def test_containers_that_were_left_half_made_are_made_anew(rotation: Rotation) -> None:
    """The compose of a killed run may go on for a moment: the two are in each other's way."""
    rotation.fail_at = "once"
    assert rotation.run("database").exit_code == 1  # the first one has nobody in its way: an error is an error
    rotation.fail_at = "once"
    done = rotation.run("database")
    assert done.exit_code == 0, done.results[0].error
    assert rotation.bench.compose_calls()[-1:] == ["down --remove-orphans"]
    assert any("half made" in one for one in done.results[0].report.notices)


def test_a_token_that_lives_on_is_no_success(rotation: Rotation) -> None:
    rotation.inside.modules["personal_token"] = lambda _asked: {"token": rotation.server.token()}
    failed = rotation.run("token")
    assert failed.exit_code == 1
    assert "Label Studio still accepts the personal token from before" in (failed.results[0].error or "")


def test_what_would_stop_it_is_found_first(rotation: Rotation) -> None:
    before = rotation.secrets()
    rotation.bench.engine.there["sam2"].status = "restarting"
    assert "the container of sam2 does not run" in (rotation.run("token").results[0].error or "")
    rotation.bench.engine.there["sam2"].status = "running"
    file = rotation.bench.base / "secrets.env"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "SECRET_KEY" not in line))
    lacks = rotation.run("database")
    assert lacks.exit_code == SettingsError.exit_code
    assert (lacks.results[0].error or "").endswith(
        "secrets.env lacks LABEL_STUDIO_SECRET_KEY; `./inv deploy --host gpu01` makes or recovers it first"
    )
    assert rotation.secrets() == {name: value for name, value in before.items() if "SECRET_KEY" not in name}
    assert rotation.started == []


def test_a_value_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine it counts more than the file: the new value would never be read."""
    values = settings().model_copy(update={"database": "sqlite", "api_key": SecretStr("x.y.z")})
    site = Site(LabHost(), values, "/state", "/stack", "/home/me/.env", lambda: values)
    one = SimpleNamespace(
        site=site, host=SimpleNamespace(is_local=True), options=options(environment={"LABEL_STUDIO_PASSWORD": "x"})
    )
    monkeypatch.setattr(Site, "refuse_missing", lambda _site: None)
    with pytest.raises(SettingsError, match=r"^LABEL_STUDIO_PASSWORD stands in the environment, which counts more"):
        module._refuse(one, ("password",), running=False)  # type: ignore[arg-type]
    module._refuse(one, ("backend",), running=False)  # type: ignore[arg-type]


def test_it_is_said_what_ends_before_it_is_done(rotation: Rotation) -> None:
    class No(Exception):
        pass

    def no(what: str) -> None:
        assert what.startswith("This makes anew, on gpu01, while people work:\n")
        assert "everybody is signed out" in what
        raise No

    with pytest.raises(No):
        run_rotate(rotation.bench.choice, options("secrets.rotate"), ("secret-key",), confirm=no)
    assert not (rotation.bench.base / "audit.jsonl").exists()
