"""Which secrets a stack has that can be made anew, and what ends with the old ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from core.errors import SettingsError
from hosts.base import Host
from infra.config.settings import Settings, missing_secrets
from infra.roles.stack.secrets import ROTATION

Kind = Literal["database", "secret-key", "backend", "token", "password"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALL = "all"
MODE = 0o600
# Of those that are values in the file of secrets: the field of `Settings`, and the name in the file.
FIELDS: dict[Kind, str] = {
    "database": "postgres_password",
    "secret-key": "secret_key",
    "backend": "backend_password",
    "password": "password",
}
ENDS: dict[Kind, str] = {
    "database": "password of PostgreSQL: the database and Label Studio pause for some seconds",
    "secret-key": (
        "SECRET_KEY: everybody is signed out, people's personal tokens are void, Label Studio starts anew; "
        "labelrig's own tokens are made again"
    ),
    "backend": "password and token of the SAM2 backend: clicks of a moment may fail; whoever reads /metrics needs it",
    "token": "personal token of the first user: programs of yours that use it need the new one",
    "password": "password of the first user: who works under it is signed out, Label Studio starts anew",
}


def chosen(given: Sequence[str]) -> tuple[Kind, ...]:
    """Read the words of a command line.

    Raises:
        SettingsError: there is none, or one is no secret; says what there is.
    """
    words = [word.strip() for text in given for word in text.split(",")]
    wrong = [word for word in words if word not in (*KINDS, ALL)]
    if not words or wrong:
        first = f"there is no secret {', '.join(wrong)}." if wrong else "which secret?"
        listed = "\n".join(f"  {kind:<10}  {text}" for kind, text in ENDS.items())
        raise SettingsError(f"{first} There are these, and `{ALL}`:\n{listed}")
    return KINDS if ALL in words else ordered(words)


def ordered(kinds: Iterable[str]) -> tuple[Kind, ...]:
    """Each once, in the order in which they are made."""
    wanted = set(kinds)
    return tuple(kind for kind in KINDS if kind in wanted)


def of_stack(kinds: Sequence[Kind], settings: Settings) -> tuple[Kind, ...]:
    """Those that this stack has.

    Raises:
        SettingsError: the password of a database was asked for by itself, and there is none.
    """
    if settings.database == "postgres" or "database" not in kinds:
        return tuple(kinds)
    if len(kinds) == 1:
        raise SettingsError("the stack works on sqlite, which has no password; nothing was changed")
    return tuple(kind for kind in kinds if kind != "database")


def made_anew(kinds: Sequence[Kind], settings: Settings) -> dict[str, str]:
    """New values, by their name in the file of secrets; tokens are Label Studio's to make."""
    without = dict.fromkeys((FIELDS[kind] for kind in kinds if kind in FIELDS), None)
    return missing_secrets(settings.model_copy(update=without))


class Pending:
    """Which secrets a rotation is about, kept until the stack serves with all of them: the next one completes it."""

    def __init__(self, host: Host, state: str) -> None:
        self._host = host
        self._path = f"{state}/{ROTATION}"

    def read(self) -> tuple[Kind, ...]:
        """Those of a rotation that was cut off; what cannot be read means all of them."""
        content = self._host.read(self._path, as_root=not self._host.is_local)
        if content is None:
            return ()
        try:
            return ordered(map(str, json.loads(content)))
        except (ValueError, TypeError):
            return KINDS

    def write(self, kinds: Sequence[Kind]) -> None:
        """Keep them."""
        self._host.write(self._path, json.dumps(kinds).encode(), MODE, as_root=not self._host.is_local)

    def remove(self) -> None:
        """It is done."""
        self._host.run("rm", "-f", self._path, as_root=not self._host.is_local)
