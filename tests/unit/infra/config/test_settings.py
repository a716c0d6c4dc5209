from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from core.errors import SettingsError
from infra.config.settings import Settings, load_login_secrets, load_settings, missing_secrets
from infra.releases.hooks import HookValues


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_defaults_need_no_file(env_file: Path) -> None:
    settings = load_settings(env_file, {}, {})
    assert (settings.project, settings.port, settings.model) == ("labelrig", 8080, "auto")
    assert settings.url == "http://127.0.0.1:8080"


def test_command_line_wins_over_environment_over_file(env_file: Path) -> None:
    """The command line wins over the environment and that over the file."""
    env_file.write_text("LABELRIG_MODEL=tiny\nLABEL_STUDIO_PORT=8081\nLABELRIG_PROJECT=from-file\n")
    environment = {"LABELRIG_MODEL": "small", "LABEL_STUDIO_PORT": "8082", "UNRELATED": "x"}
    settings = load_settings(env_file, environment, {"LABELRIG_MODEL": "large", "LABELRIG_DATA": None})
    assert (settings.model, settings.port, settings.project) == ("large", 8082, "from-file")


def test_all_problems_are_reported_at_once_and_no_value_is_shown(env_file: Path) -> None:
    env_file.write_text("LABEL_STUDIO_PORT=eighty\nLABELRIG_MODLE=tiny\nLABEL_STUDIO_PASSWORD=hunter2\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, {}, {})
    text = str(caught.value)
    assert text.startswith("3 settings cannot be used:\n")
    assert f"{env_file}: LABELRIG_MODLE: is not a setting; did you mean LABELRIG_MODEL?" in text
    assert "LABEL_STUDIO_PORT: expected whole number, 1 to 65535" in text
    assert "LABEL_STUDIO_PASSWORD: is shorter than 8 characters or a placeholder" in text
    assert "hunter2" not in text
    assert "eighty" not in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("LABEL_STUDIO_PORT\n", "line 1: LABEL_STUDIO_PORT has no `=`"),
        ("# fine\n\n'unclosed\n", "line 3 is not KEY=value"),
        ("9PORT=1\n", "line 1 is not KEY=value"),
        ("LABEL_STUDIO_PORT=1\nLABEL_STUDIO_PORT=2\n", "line 2: LABEL_STUDIO_PORT is given twice"),
        (
            "LABELRIG_MODEL=tiny # fine\nLABEL_STUDIO_PASSWORD=correct horse #1 battery\n",
            "line 2: LABEL_STUDIO_PASSWORD: ` #` begins a comment; put the whole value in single quotes",
        ),
    ],
)
def test_a_broken_line_is_named(env_file: Path, text: str, problem: str) -> None:
    env_file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, {}, {})
    assert str(caught.value) == f"{env_file}: {problem}; see .env.example for the form"


def test_a_hash_in_a_secret_is_kept(env_file: Path) -> None:
    """In quotes, or without a space before it."""
    env_file.write_text("LABEL_STUDIO_PASSWORD='correct horse #1' # why\nLABEL_STUDIO_SECRET_KEY=one#two#three\n")
    settings = load_settings(env_file, {}, {})
    assert settings.password is not None
    assert settings.secret_key is not None
    secrets = settings.password.get_secret_value(), settings.secret_key.get_secret_value()
    assert secrets == ("correct horse #1", "one#two#three")


def test_a_file_that_is_not_text_is_refused(env_file: Path) -> None:
    env_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="line 1: is not UTF-8 text"):
        load_settings(env_file, {}, {})


@pytest.mark.parametrize(
    "subnet", ["8.8.8.0/24", "172.31.250.1/24", "10.0.0.0/30", "10.0.0.0/8", "fd00::/64", "nonsense"]
)
def test_refuses_public_and_odd_networks(env_file: Path, subnet: str) -> None:
    """A network that is not a private one of sensible size is refused."""
    with pytest.raises(SettingsError, match="LABELRIG_SUBNET"):
        load_settings(env_file, {"LABELRIG_SUBNET": subnet}, {})


@pytest.mark.parametrize("placeholder", ["changeme", "password", "<secret>", "short"])
def test_placeholder_secrets_are_refused(env_file: Path, placeholder: str) -> None:
    with pytest.raises(SettingsError, match="shorter than 8 characters or a placeholder"):
        load_settings(env_file, {"LABEL_STUDIO_SECRET_KEY": placeholder}, {})


def test_a_value_that_the_backend_refuses_is_refused_here(env_file: Path) -> None:
    """The backend would say so after everything was built, and not start."""
    env_file.write_text(
        "BACKEND_MASK_KEEP=clickd\nBACKEND_CLICK_LIMIT=0\nBACKEND_MASK_MEMORY_MB=\nLABEL_STUDIO_PORT=x\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, {}, {})
    assert str(caught.value) == (
        "3 settings cannot be used:\n"
        "  - BACKEND_MASK_KEEP: expected all, largest or clicked\n"
        "  - BACKEND_CLICK_LIMIT: expected whole number, 1 to 1000\n"
        "  - LABEL_STUDIO_PORT: expected whole number, 1 to 65535"
    )


def test_a_misspelt_name_in_the_environment_is_refused(env_file: Path) -> None:
    """It would count for nothing, without a word. Names that are like no setting are a lab's own, or a hook's."""
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, {"LABELRIG_MODLE": "tiny"}, {})
    assert str(caught.value) == (
        "LABELRIG_MODLE: is not a setting (it stands in the environment); did you mean LABELRIG_MODEL?"
    )
    values = {one.name: "x" for one in fields(HookValues)}
    others = {"LABELRIG_SSH_KEY": "x", "LABELRIG_KNOWN_HOSTS": "x", "LABELRIG_RUN": "x", "LABELRIG_SCREENSHOTS": "x"}
    hook = {name: value for name, value in HookValues(**values).environment().items() if name != "LABELRIG_PROJECT"}
    assert load_settings(env_file, {"LABELRIG_ENV_FILE": str(env_file), **hook, **others}, {}).model == "auto"


CARRIED = (
    "may hold no single quote and no line break or other control character, begin or end with no space and end with no "
    "backslash; choose another, or delete the line to have one made"
)


@pytest.mark.parametrize(
    "value",
    ["it's-a-secret", "two\nlines-here", "a-tab\there", " begins-with", "ends-with ", "back-slash\\", "half\udcff-one"],
)
@pytest.mark.parametrize("name", ["LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY"])
def test_secrets_that_compose_cannot_carry_are_refused(env_file: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file, {name: value}, {})
    assert str(caught.value) == f"{name}: {CARRIED}"


def test_everything_else_is_carried(env_file: Path) -> None:
    odd = 'a "quoted" $one $$two #three \\four ñ 🙂 =five'
    settings = load_settings(env_file, {"LABEL_STUDIO_PASSWORD": odd}, {})
    assert settings.password is not None
    assert settings.password.get_secret_value() == odd


@pytest.mark.parametrize("name", ["LABELRIG_SUDO_PASSWORD", "LABELRIG_SSH_PASSWORD", "LABELRIG_SSH_PASSPHRASE"])
def test_login_secrets_are_one_line(env_file: Path, name: str) -> None:
    """sudo reads its password up to the line's end: a wrong one would be taken for a refusal."""
    with pytest.raises(SettingsError, match=f"^{name}: may hold no line break or other control character$"):
        load_login_secrets(env_file, {name: "two\nlines"})


def test_a_token_fits_into_a_header(env_file: Path) -> None:
    with pytest.raises(SettingsError, match=r"^LABEL_STUDIO_API_KEY: is not a token"):
        load_settings(env_file, {"LABEL_STUDIO_API_KEY": "señal-de-prueba"}, {})


@pytest.mark.parametrize("folder", ["images", "./a", "/NAS/a\nb", "/NAS/\udcff", "~nobody-by-this-name/x"])
def test_a_folder_that_cannot_be_mounted_is_refused(env_file: Path, folder: str) -> None:
    with pytest.raises(SettingsError, match=r"^LABELRIG_DATA: (must be the absolute path|begins with the home)"):
        load_settings(env_file, {"LABELRIG_DATA": folder}, {})
    home = load_settings(env_file, {"LABELRIG_DATA": "~/images", "HOME": "/x"}, {}).data
    assert home == Path("~/images").expanduser()


@pytest.mark.parametrize("name", ["me@lab", "ñ@lab.example", "a b@lab.example", "me@-lab.example", "it's@lab.example"])
def test_a_name_that_cannot_sign_in_is_refused(env_file: Path, name: str) -> None:
    """Label Studio makes the user all the same; its login form then refuses the name."""
    with pytest.raises(SettingsError, match=r"^LABEL_STUDIO_USERNAME: must be an e-mail address$"):
        load_settings(env_file, {"LABEL_STUDIO_USERNAME": name}, {})


def test_a_name_is_written_small_as_the_form_does(env_file: Path) -> None:
    given = {"LABEL_STUDIO_USERNAME": "Ana.Ruiz+lab@Lab.Example"}
    assert load_settings(env_file, given, {}).username == "ana.ruiz+lab@lab.example"


def test_only_missing_secrets_are_made() -> None:
    """Secrets are made only where missing and never twice the same."""
    first, second = missing_secrets(Settings()), missing_secrets(Settings())
    assert set(first) == {"LABEL_STUDIO_PASSWORD", "LABEL_STUDIO_SECRET_KEY", "LABELRIG_BACKEND_PASSWORD"}
    assert all(len(value) >= 20 for value in first.values())
    assert not set(first.values()) & set(second.values())
    complete = Settings.model_validate(first)
    assert missing_secrets(complete) == {}
    assert first["LABEL_STUDIO_PASSWORD"] not in repr(complete)


def test_login_in_a_web_address_belongs_into_env(env_file: Path) -> None:
    """The inventory refuses one; the file with the secrets may hold it."""
    env_file.write_text("LABELRIG_CHECKPOINT_URL=https://me:hunter22@mirror.lab/sam2\n")
    assert load_settings(env_file, {}, {}).checkpoint_url == "https://me:hunter22@mirror.lab/sam2"
    env_file.write_text("LABELRIG_CHECKPOINT_URL=https:///sam2\n")
    with pytest.raises(
        SettingsError, match=r"^LABELRIG_CHECKPOINT_URL: must begin with http:// or https:// and name a"
    ):
        load_settings(env_file, {}, {})


@pytest.mark.parametrize("netloc", ["me:hunter22\N{ACCOUNT OF}@mirror.lab", "me:hunter[22@mirror.lab"])
def test_broken_web_address_is_not_shown(env_file: Path, netloc: str) -> None:
    """The parser's own message may hold the login."""
    env_file.write_text(f"LABELRIG_CHECKPOINT_URL=https://{netloc}/sam2\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^LABELRIG_CHECKPOINT_URL: must begin with .* and name a host$"):
        load_settings(env_file, {}, {})


def test_login_secrets_are_apart_from_the_settings(env_file: Path) -> None:
    env_file.write_text("LABELRIG_SSH_PASSWORD=hunter22\nBACKEND_MASK_KEEP=clicked\nLABEL_STUDIO_PORT=81\n")
    settings, secrets = load_settings(env_file, {}, {}), load_login_secrets(env_file, {"LABELRIG_SUDO_PASSWORD": "pw"})
    assert (settings.port, dict(settings.backend)) == (81, {"MASK_KEEP": "clicked"})
    given = [one and one.get_secret_value() for one in (secrets.ssh_password, secrets.sudo_password)]
    assert given == ["hunter22", "pw"]
    assert secrets.ssh_passphrase is None
    assert "hunter22" not in repr(settings) + repr(secrets)
