"""Which secrets a command line means, and what is kept of a rotation that goes on."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from core.errors import SettingsError
from infra.config.settings import Settings
from infra.rotation.kinds import KINDS, Kind, Pending, chosen, made_anew, of_stack
from tests.fakes import FakeHost

SETTINGS = Settings.model_construct(
    password=SecretStr("p" * 12),
    secret_key=SecretStr("k" * 12),
    postgres_password=SecretStr("d" * 12),
    backend_password=SecretStr("b" * 12),
    database="postgres",
)


def test_secrets_are_read_in_their_order() -> None:
    assert chosen(["token", "database"]) == ("database", "token")
    assert chosen(["token,database", "token"]) == ("database", "token")
    assert chosen(["all"]) == chosen(["password", "all"]) == KINDS


@pytest.mark.parametrize(
    ("given", "said"), [([], "which secret? There are these"), (["key", "all"], "there is no secret key. There are")]
)
def test_a_wrong_word_is_told_what_there_is(given: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        chosen(given)
    assert str(caught.value).startswith(said)
    assert all(f"\n  {kind} " in str(caught.value) for kind in KINDS)


def test_sqlite_has_no_password() -> None:
    sqlite = SETTINGS.model_copy(update={"database": "sqlite"})
    assert of_stack(KINDS, SETTINGS) == KINDS
    assert of_stack(KINDS, sqlite) == KINDS[1:]
    assert "LABELRIG_POSTGRES_PASSWORD" not in made_anew(of_stack(KINDS, sqlite), sqlite)
    with pytest.raises(SettingsError, match="the stack works on sqlite, which has no password; nothing was changed"):
        of_stack(("database",), sqlite)


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        (("database",), {"LABELRIG_POSTGRES_PASSWORD"}),
        (("secret-key",), {"LABEL_STUDIO_SECRET_KEY"}),
        (("backend", "password"), {"LABELRIG_BACKEND_PASSWORD", "LABEL_STUDIO_PASSWORD"}),
        (("token",), set()),
    ],
)
def test_new_values_are_made_of_what_was_asked(kinds: tuple[Kind, ...], names: set[str]) -> None:
    made = made_anew(kinds, SETTINGS)
    assert set(made) == names
    assert all(len(value) >= 20 for value in made.values())
    assert made_anew(kinds, SETTINGS) != made or not names


def test_what_goes_on_is_kept_privately() -> None:
    host = FakeHost()
    pending = Pending(host, "/state")
    assert pending.read() == ()
    pending.write(("database", "token"))
    assert host.modes == {"/state/rotation.json": 0o600}
    assert pending.read() == ("database", "token")
    host.files["/state/rotation.json"] = b'["data'
    assert pending.read() == KINDS
    host.script("rm", "-f", "/state/rotation.json")
    pending.remove()
    assert host.commands == [("rm", "-f", "/state/rotation.json")]
