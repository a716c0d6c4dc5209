"""Typed settings of one run: defaults, then `.env`, then the environment, then the command line.

Everything is checked before anything happens, and all problems are reported at once. Values are never shown
in messages: some of them are secrets.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from core.errors import SettingsError
from core.repository import REPOSITORY
from infra.config.backend import PREFIX, backend_names
from infra.config.dotenv import read_env_file

PLACEHOLDERS = ("changeme", "change-me", "password", "secret", "xxx", "todo")
Model = Literal["auto", "demo", "tiny", "small", "base-plus", "large"]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - recognised, not bound
Database = Literal["sqlite", "postgres"]
Gpu = Literal["auto", "require", "off"]


def private_subnet(text: str) -> str:
    network = ipaddress.ip_network(text)  # its ValueError says what is wrong
    if network.version != 4 or not network.is_private or not 16 <= network.prefixlen <= 28:
        raise ValueError("must be a private IPv4 network between /16 and /28")
    return str(network)


def _ipv4(text: str) -> str:
    return str(ipaddress.IPv4Address(text))  # its ValueError says what is wrong


def _real_secret(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    text = value.get_secret_value()
    if len(text) < 8 or text.lower().strip("<>") in PLACEHOLDERS:
        raise ValueError("is shorter than 8 characters or a placeholder; delete the line to have one made")
    return value


def _plain_characters(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", value.get_secret_value()):
        raise ValueError("may hold letters, digits, `_` and `-` only; delete the line to have one made")
    return value


Secret = Annotated[SecretStr | None, AfterValidator(_real_secret)]


class Settings(BaseModel):
    """What `.env` and the command line can say. The alias is the name in `.env`.

    Secrets that are None are generated on the first run and written to `.env`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    project: Annotated[str, Field(alias="LABELRIG_PROJECT", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")] = "labelrig"
    data: Annotated[Path | None, Field(alias="LABELRIG_DATA")] = None
    model: Annotated[Model, Field(alias="LABELRIG_MODEL")] = "auto"
    database: Annotated[Database, Field(alias="LABELRIG_DATABASE")] = "sqlite"
    gpu: Annotated[Gpu, Field(alias="LABELRIG_GPU")] = "auto"
    companion: Annotated[bool, Field(alias="LABELRIG_COMPANION")] = True  # as text: on or off
    subnet: Annotated[str, Field(alias="LABELRIG_SUBNET"), AfterValidator(private_subnet)] = "172.31.250.0/24"
    listen: Annotated[str, Field(alias="LABELRIG_LISTEN"), AfterValidator(_ipv4)] = "127.0.0.1"
    port: Annotated[int, Field(alias="LABEL_STUDIO_PORT", ge=1, le=65535)] = 8080
    username: Annotated[str, Field(alias="LABEL_STUDIO_USERNAME", pattern=r"^[^@\s']+@[^@\s']+$")] = (
        "admin@labelrig.local"
    )
    password: Annotated[Secret, Field(alias="LABEL_STUDIO_PASSWORD")] = None
    secret_key: Annotated[Secret, Field(alias="LABEL_STUDIO_SECRET_KEY")] = None
    api_key: Annotated[Secret, Field(alias="LABEL_STUDIO_API_KEY")] = None
    postgres_password: Annotated[
        Secret, Field(alias="LABELRIG_POSTGRES_PASSWORD"), AfterValidator(_plain_characters)
    ] = None
    # How `deploy` gets onto another machine; used there for nothing else, and never sent on.
    ssh_password: Annotated[SecretStr | None, Field(alias="LABELRIG_SSH_PASSWORD", repr=False)] = None
    ssh_passphrase: Annotated[SecretStr | None, Field(alias="LABELRIG_SSH_PASSPHRASE", repr=False)] = None
    sudo_password: Annotated[SecretStr | None, Field(alias="LABELRIG_SUDO_PASSWORD", repr=False)] = None
    checkpoint_url: Annotated[str | None, Field(alias="LABELRIG_CHECKPOINT_URL", pattern=r"^https?://")] = None
    backend: Annotated[Mapping[str, str], Field(exclude=True)] = {}  # by the name in `.env`: BACKEND_MASK_KEEP

    @property
    def url(self) -> str:
        """Where people on the machine itself find Label Studio."""
        return f"http://{self.own_address}:{self.port}"

    @property
    def own_address(self) -> str:
        """An address of the machine at which Label Studio is published."""
        return "127.0.0.1" if self.listen == EVERYWHERE else self.listen


def env_file(environment: Mapping[str, str]) -> Path:
    """Return the path of `.env`: the clone's own, or the one that LABELRIG_ENV_FILE names (two stacks, one clone)."""
    return Path(environment.get("LABELRIG_ENV_FILE") or REPOSITORY / ".env").absolute()


def setting_names() -> tuple[str, ...]:
    """The names that `.env` may hold."""
    return tuple(field.alias for field in Settings.model_fields.values() if field.alias is not None)


def load_settings(path: Path, environment: Mapping[str, str], arguments: Mapping[str, str | None]) -> Settings:
    """Merge the sources and check them.

    Args:
        path: path of `.env`; it need not exist.
        environment: the process environment; only our own names are looked at.
        arguments: from the command line, by the name in `.env`; None means not given.

    Raises:
        SettingsError: lists everything that is wrong, by name, without values.
    """
    from_file = read_env_file(path)
    known = (*setting_names(), *backend_names())
    problems = [f"{path}: {name} is not a setting ({_hint(name)})" for name in from_file if name not in known]
    merged: dict[str, str] = {name: value for name, value in from_file.items() if name in known}
    merged |= {name: environment[name] for name in known if environment.get(name)}
    merged |= {name: value for name, value in arguments.items() if value is not None}
    merged = {name: value for name, value in merged.items() if value != ""}
    for_backend = {name: merged.pop(name) for name in backend_names() if name in merged}
    try:
        settings = Settings.model_validate({**merged, "backend": for_backend})
    except ValidationError as error:
        problems += [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        raise SettingsError(_listed(problems)) from None
    if problems:
        raise SettingsError(_listed(problems))
    return settings


def missing_secrets(settings: Settings) -> dict[str, str]:
    """Make the secrets that `settings` has not got, by their name in `.env`."""
    made: dict[str, str] = {}
    if settings.password is None:
        made["LABEL_STUDIO_PASSWORD"] = secrets.token_urlsafe(15)
    if settings.secret_key is None:
        made["LABEL_STUDIO_SECRET_KEY"] = secrets.token_urlsafe(48)
    if settings.postgres_password is None and settings.database == "postgres":
        made["LABELRIG_POSTGRES_PASSWORD"] = secrets.token_urlsafe(24)
    return made


def _hint(name: str) -> str:
    """What there is instead: the names of its kind."""
    kind = backend_names() if name.startswith(PREFIX) else setting_names()
    return f"known: {', '.join(kind)}"


def _listed(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} settings cannot be used:\n" + "\n".join(f"  - {one}" for one in problems)
