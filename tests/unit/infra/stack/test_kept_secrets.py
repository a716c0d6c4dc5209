"""A lost file of secrets: they come from what the stack was started with, and no new key is made without a word."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from core.operation import converge
from infra.config.dotenv import read_env_file
from infra.config.settings import Settings
from infra.roles.docker.client import EngineState
from infra.roles.stack.render import render_stack_env
from infra.roles.stack.secrets import SecretsMade
from infra.stack import kept_secrets as module
from infra.stack.kept_secrets import kept_secrets, notice_of_another_key
from infra.stack.site import Site, with_secrets
from tests.unit.infra.deploy_bench import LabHost, quiet

SECRETS = {
    "LABEL_STUDIO_PASSWORD": 'pa$s \\\\ "word" ñ',
    "LABEL_STUDIO_SECRET_KEY": "the-key-of-the-release",
    "LABELRIG_POSTGRES_PASSWORD": "of_postgres",
}
BACKENDS = "LABELRIG_BACKEND_PASSWORD"  # in no file of the stack: a new one costs nobody anything
MADE = ("LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY", "LABELRIG_POSTGRES_PASSWORD")


def site(folder: Path, *known: str) -> Site:
    """A site on a host whose file of secrets holds these."""
    path = folder / "secrets.env"
    if known:
        path.write_text("".join(f"{name}='{SECRETS[name]}'\n" for name in known))
    plain = Settings.model_validate({"LABELRIG_DATABASE": "postgres"})
    chosen = with_secrets(plain, {name: SECRETS[name] for name in known})
    return Site(LabHost(), chosen, str(folder), f"{folder}/current", str(path), lambda: chosen)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A host with the files of a release."""
    (tmp_path / "current").mkdir()
    values = {"LABEL_STUDIO_PORT": "8080", **SECRETS}
    (tmp_path / "current" / "stack.env").write_bytes(render_stack_env(values))
    return tmp_path


def operation(one: Site) -> SecretsMade:
    return SecretsMade(one.host, one.env_file, one.settings, kept_secrets(one))


def test_a_lost_file_is_recovered_from_the_release(release: Path) -> None:
    made = operation(site(release))
    assert [change.summary for change in made.plan()] == [
        f"recover {', '.join(MADE)} from the stack that is there and write them to secrets.env, which lacks them",
        f"make {BACKENDS} and write them to secrets.env",
    ]
    values = made.values()
    assert values.items() > SECRETS.items()
    assert set(values) - set(SECRETS) == {BACKENDS}
    assert not (release / "secrets.env").exists()
    assert converge([made], quiet()) == 2
    assert read_env_file(release / "secrets.env") == values


def test_a_lost_key_is_recovered_and_a_deleted_password_made_anew(release: Path) -> None:
    """To delete the line is how another password is had; the key is never to change."""
    made = operation(site(release, "LABELRIG_POSTGRES_PASSWORD"))
    assert [change.summary.partition(" and write")[0] for change in made.plan()] == [
        "recover LABEL_STUDIO_SECRET_KEY from the stack that is there",
        f"make LABEL_STUDIO_PASSWORD, {BACKENDS}",
    ]
    assert converge([made], quiet()) == 2
    after = read_env_file(release / "secrets.env")
    assert {name for name in SECRETS if after[name] != SECRETS[name]} == {"LABEL_STUDIO_PASSWORD"}
    assert after["LABEL_STUDIO_PASSWORD"] == made.values()["LABEL_STUDIO_PASSWORD"]


def test_without_files_the_container_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = ["SECRET_KEY=the-key-of-the-container", "LABEL_STUDIO_PASSWORD=one=two three", "PATH=/bin"]
    container = SimpleNamespace(attrs={"Config": {"Env": variables}})
    engine = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: [container]), close=lambda: None)
    monkeypatch.setattr(module, "engine_state", lambda _: EngineState.ANSWERS)
    monkeypatch.setattr(module, "engine_client", lambda _: engine)
    assert kept_secrets(site(tmp_path)) == {
        "LABEL_STUDIO_SECRET_KEY": "the-key-of-the-container",
        "LABEL_STUDIO_PASSWORD": "one=two three",
    }


def test_a_first_run_recovers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "engine_state", lambda _: EngineState.SILENT)
    one = site(tmp_path)
    assert kept_secrets(one) == {}
    (change,) = operation(one).plan()
    assert change.summary == f"make {', '.join(MADE)}, {BACKENDS} and write them to secrets.env"
    complete = {**SECRETS, BACKENDS: "of-the-backend"}
    monkeypatch.setattr("tests.unit.infra.stack.test_kept_secrets.SECRETS", complete)
    assert kept_secrets(site(tmp_path, *complete)) == {}  # and none is missing: nothing is looked for


def test_another_key_is_announced(release: Path) -> None:
    report = quiet()
    notice_of_another_key(site(release, *MADE), report)
    assert report.notices == []
    values = {**SECRETS, "LABEL_STUDIO_SECRET_KEY": "another-key-than-before"}
    (release / "current" / "stack.env").write_bytes(render_stack_env(values))
    notice_of_another_key(site(release, *MADE), report)
    assert report.notices == [
        "LABEL_STUDIO_SECRET_KEY in secrets.env is not the one that the stack was started with: everybody is signed "
        "out, and the tokens that people made for themselves are void"
    ]
