"""Typed settings of one run: defaults, then `.env`, then the environment, then the command line.

Everything is checked before anything happens, and all problems are reported at once. Values are never shown
in messages: some of them are secrets.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from core.errors import SettingsError
from core.repository import REPOSITORY
from infra.config.address import address_problems, has_own_tls
from infra.config.alert_settings import AlertSettings, alert_problems
from infra.config.backend import PREFIX, backend_names, backend_problems
from infra.config.dotenv import read_env_file
from infra.config.stack_settings import StackSettings, about, env_name, in_words, listed, unknown
from infra.config.value_types import CONTROL, Whole, fits_env_file, nearest

PLACEHOLDERS = ("changeme", "change-me", "password", "secret", "xxx", "todo")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - recognised, not bound
EIGHT = "text, 8 characters or more"
TOKEN_LENGTH = 24
OURS = "LABELRIG_"
ENV_FILE = "LABELRIG_ENV_FILE"
UID = "LABELRIG_UID"
CLUSTER_TOKEN = "LABELRIG_CLUSTER_TOKEN"  # noqa: S105 - its name
# Above every account of a person, below those that systemd gives to services (61184 to 65519), and used by no
# distribution; the images have a name for each of them (make-user.sh).
FIRST_UID, LAST_UID = 61041, 61060
# The one name that counts in the environment alone.
ENV_FILE_SETTING: FieldInfo = about(
    "path of a file",
    "Another file instead of `.env`, for a second stack from one clone. It stands in the environment, not in a file.",
)
AnyModel = TypeVar("AnyModel", bound=BaseModel)


def _real_secret(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    text = value.get_secret_value()
    if len(text) < 8 or text.lower().strip("<>") in PLACEHOLDERS:
        raise ValueError("is shorter than 8 characters or a placeholder; delete the line to have one made")
    return value


def _carried(value: SecretStr | None) -> SecretStr | None:
    """What reaches the container as it was written, and what a login form takes: that one cuts off spaces."""
    text = "" if value is None else value.get_secret_value()
    if not fits_env_file(text) or text != text.strip():
        raise ValueError(
            "may hold no single quote and no line break or other control character, begin or end with no space and "
            "end with no backslash; choose another, or delete the line to have one made"
        )
    return value


def _in_a_header(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("is not a token: it holds other characters; delete the line to have one made")
    return value


def _one_line(value: SecretStr | None) -> SecretStr | None:
    if value is not None and CONTROL.search(value.get_secret_value()):
        raise ValueError("may hold no line break or other control character")
    return value


def _plain_characters(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", value.get_secret_value()):
        raise ValueError("may hold letters, digits, `_` and `-` only; delete the line to have one made")
    return value


def _token(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(rf"[!-~]{{{TOKEN_LENGTH},}}", value.get_secret_value()):
        raise ValueError(f"must be {TOKEN_LENGTH} characters or more without spaces; `openssl rand -hex 24` makes one")
    return value


def _in_env(field: str) -> str:
    """The alias of a field of `StackSettings`; the secrets have theirs in the field."""
    return env_name(StackSettings.model_fields[field]) or field


def _secret(env: str, kind: str, text: str) -> Any:
    return about(kind, text, env=env, alias=env, repr=False)


Secret = Annotated[SecretStr | None, AfterValidator(_real_secret), AfterValidator(_carried)]
LoginSecret = Annotated[SecretStr | None, AfterValidator(_one_line)]


class Settings(StackSettings):
    """The settings of a stack with its secrets. The alias is the name in `.env`.

    Secrets that are None are generated on the first run and written to `.env`.
    """

    model_config = ConfigDict(alias_generator=_in_env)

    password: Annotated[
        Secret,
        _secret(
            "LABEL_STUDIO_PASSWORD",
            EIGHT,
            "Password of the first user. Made on the first run when missing; one that is changed here is set in Label "
            "Studio by the next run. No single quote, and no space at an end.",
        ),
    ] = None
    secret_key: Annotated[
        Secret,
        _secret(
            "LABEL_STUDIO_SECRET_KEY",
            EIGHT,
            "Signs Label Studio's sessions and tokens. Made on the first run when missing. With another one everybody "
            "is signed out and tokens are void: let `./inv secrets.rotate secret-key` change it.",
        ),
    ] = None
    api_key: Annotated[
        Secret,
        AfterValidator(_in_a_header),
        _secret(
            "LABEL_STUDIO_API_KEY",
            "personal access token",
            "The first user's token, with which labelrig and the backend speak to Label Studio. Made on the first run.",
        ),
    ] = None
    postgres_password: Annotated[
        Secret,
        AfterValidator(_plain_characters),
        _secret(
            "LABELRIG_POSTGRES_PASSWORD",
            EIGHT,
            "Password of the PostgreSQL database. Made on the first run that needs it; Label Studio alone uses it.",
        ),
    ] = None

    uid: Annotated[
        Whole | None,
        about(
            f"whole number, {FIRST_UID} to {LAST_UID}",
            "Number of the user, and of the group, that the containers run as. The first run chooses one that no "
            "account of the machine has, and keeps it; with another number the next run hands the volumes over.",
            env=UID,
            alias=UID,
            ge=FIRST_UID,
            le=LAST_UID,
        ),
    ] = None

    backend_password: Annotated[
        Secret,
        AfterValidator(_plain_characters),
        _secret(
            "LABELRIG_BACKEND_PASSWORD",
            EIGHT,
            "Password that the SAM2 backend asks Label Studio and labelrig for. Made on the first run when missing; "
            "one that is changed here is given to both sides by the next run.",
        ),
    ] = None

    cluster_token: Annotated[
        Secret,
        AfterValidator(_plain_characters),
        _secret(
            "LABELRIG_CLUSTER_TOKEN",
            EIGHT,
            "Token of Ray on hosts that serve together (`serve` in the inventory). Made on the head when missing, and "
            "given to the others by the next deploy of the group; Ray's processes answer no one without it.",
        ),
    ] = None

    backup_password: Annotated[
        Secret,
        _secret(
            "LABELRIG_BACKUP_PASSWORD",
            EIGHT,
            "Password of the backups, where `backup_password_file` names none. Made with the first backup; never "
            "change it: the backups that are there open with it alone. Keep a copy on another machine.",
        ),
    ] = None

    metrics_token: Annotated[
        Secret,
        AfterValidator(_token),
        _secret(
            "LABELRIG_METRICS_TOKEN",
            f"text, {TOKEN_LENGTH} characters or more",
            "Whoever sends it as a bearer token reads the figures of the stack for Prometheus at /labelrig/metrics. "
            "Without it nobody does. `openssl rand -hex 24` makes one.",
        ),
    ] = None

    @property
    def url(self) -> str:
        """Where labelrig, and people on the machine itself, find Label Studio: always http."""
        return f"http://{self.own_address}:{self.port}"

    @property
    def address_for_people(self) -> str:
        """What people open, on the machine itself where there is nothing else."""
        return self.public_url or self.url

    @property
    def own_address(self) -> str:
        """An address of the machine at which Label Studio is published by http: with TLS its own alone."""
        return "127.0.0.1" if self.listen == EVERYWHERE or has_own_tls(self) else self.listen


class LoginSecrets(BaseModel):
    """How the `--host` commands get onto another machine; used there for nothing else, and never sent on."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ssh_password: Annotated[
        LoginSecret,
        _secret(
            "LABELRIG_SSH_PASSWORD",
            "text",
            "Password for the SSH login on a host that takes no keys. A key is safer; this is tried when no key fits.",
        ),
    ] = None
    ssh_passphrase: Annotated[
        LoginSecret,
        _secret(
            "LABELRIG_SSH_PASSPHRASE",
            "text",
            "Passphrase of an encrypted SSH key. Not needed where an SSH agent holds the key.",
        ),
    ] = None
    sudo_password: Annotated[
        LoginSecret,
        _secret(
            "LABELRIG_SUDO_PASSWORD",
            "text",
            "Password that sudo asks for on a host. Not needed for root, or where sudo asks for none.",
        ),
    ] = None


def env_file(environment: Mapping[str, str]) -> Path:
    """Return the path of `.env`: the clone's own, or the one that LABELRIG_ENV_FILE names (two stacks, one clone)."""
    return Path(environment.get(ENV_FILE) or REPOSITORY / ".env").absolute()


def env_fields() -> dict[str, FieldInfo]:
    """The settings that `.env` may hold, by their names there; those of the backend apart."""
    fields = [field for model in (Settings, LoginSecrets, AlertSettings) for field in model.model_fields.values()]
    return {name: field for field in fields if (name := env_name(field)) is not None}


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting holds a secret."""
    return SecretStr in get_args(field.annotation)


def settings_secrets() -> tuple[str, ...]:
    """The names in `.env` of the secrets of a stack."""
    fields = Settings.model_fields.values()
    return tuple(name for field in fields if is_secret(field) and (name := env_name(field)) is not None)


def secret_names() -> tuple[str, ...]:
    """The names in `.env` of everything that must not be shown."""
    return tuple(name for name, field in env_fields().items() if is_secret(field))


def load_settings(path: Path, environment: Mapping[str, str], arguments: Mapping[str, str | None]) -> Settings:
    """Merge the sources and check them.

    Args:
        path: path of `.env`; it need not exist.
        environment: the process environment; only our own names count.
        arguments: from the command line, by the name in `.env`; None means not given.

    Raises:
        SettingsError: lists everything that is wrong, by name, without values.
    """
    return _load(path, environment, arguments)[0]


def load_login_secrets(path: Path, environment: Mapping[str, str]) -> LoginSecrets:
    """Return the passwords of SSH and sudo; see `load_settings`."""
    return _load(path, environment, {})[1]


def load_alert_settings(path: Path, environment: Mapping[str, str]) -> AlertSettings:
    """Return whom alerts go to; see `load_settings`."""
    return _load(path, environment, {})[2]


def _load(
    path: Path, environment: Mapping[str, str], arguments: Mapping[str, str | None]
) -> tuple[Settings, LoginSecrets, AlertSettings]:
    from_file = read_env_file(path)
    known = (*env_fields(), *backend_names())
    problems = [f"{path}: {unknown(name, known)}" for name in from_file if name not in known]
    problems += _misspelt(environment, known)
    given: dict[str, str] = {name: value for name, value in from_file.items() if name in known}
    given |= {name: environment[name] for name in known if environment.get(name)}
    given |= {name: value for name, value in arguments.items() if value is not None}
    given = {name: value for name, value in given.items() if value != ""}
    login, alerts = (
        {name: given.pop(name) for name in map(env_name, model.model_fields.values()) if name in given}
        for model in (LoginSecrets, AlertSettings)
    )
    backend = {name.removeprefix(PREFIX): given.pop(name) for name in backend_names() if name in given}
    wrong = backend_problems(backend)
    problems += [f"{PREFIX}{name}: expected {kind}" for name, kind in wrong.items()]
    backend = {name: value for name, value in backend.items() if name not in wrong}
    settings = _checked(Settings, {**given, "backend": backend}, problems)
    login_secrets = _checked(LoginSecrets, login, problems)
    if settings is not None:
        problems += [f"{_in_env(name)}: {sentence}" for name, sentence in address_problems(settings)]
    alert_settings = _checked(AlertSettings, alerts, problems)
    problems += alert_problems(alert_settings) if alert_settings is not None else []
    if settings is None or login_secrets is None or alert_settings is None or problems:
        raise SettingsError(listed(problems))
    return settings, login_secrets, alert_settings


def _misspelt(environment: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """Names of ours in the environment that are a letter away from a setting; others may be a lab's own."""
    for name in environment:
        if name.startswith(OURS) and name not in (*known, ENV_FILE) and (near := nearest(name, known, 1, alike=0.9)):
            yield f"{name}: is not a setting (it stands in the environment); did you mean {near[0]}?"


def _checked(model: type[AnyModel], values: Mapping[str, object], problems: list[str]) -> AnyModel | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error)
        return None


def problems_of(error: ValidationError) -> list[str]:
    """What is wrong with values that have the names of `.env`, a sentence each, without the values."""
    return [in_words(one, env_fields()) for one in error.errors(include_input=False, include_url=False)]


def missing_secrets(settings: Settings, *, cluster: bool = False) -> dict[str, str]:
    """Make the secrets that `settings` lacks, by their name in `.env`.

    Args:
        cluster: the host serves together with others.
    """
    made: dict[str, str] = {}
    if settings.password is None:
        made["LABEL_STUDIO_PASSWORD"] = secrets.token_urlsafe(15)
    if settings.secret_key is None:
        made["LABEL_STUDIO_SECRET_KEY"] = secrets.token_urlsafe(48)
    if settings.postgres_password is None and settings.database == "postgres":
        made["LABELRIG_POSTGRES_PASSWORD"] = secrets.token_urlsafe(24)
    if settings.backend_password is None:
        made["LABELRIG_BACKEND_PASSWORD"] = secrets.token_urlsafe(24)
    if settings.cluster_token is None and cluster:
        made[CLUSTER_TOKEN] = secrets.token_urlsafe(32)
    if settings.backup_password is None and settings.backup_repository and not settings.backup_password_file:
        made["LABELRIG_BACKUP_PASSWORD"] = secrets.token_urlsafe(24)
    return made
