"""The files that `./inv fix` makes: `.env.example` and tables from the settings, the backend's version."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.operation import Change, Operation
from core.repository import REPOSITORY, own_version
from core.text import between_markers
from infra.config.backend import BACKEND_SETTINGS, PREFIX
from infra.config.docs import default_in_env, default_in_inventory, first_sentence, kind_in_env
from infra.config.host_settings import setting_fields
from infra.config.settings import ENV_FILE, ENV_FILE_SETTING, Settings, env_fields

BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"
WIDTH = 118
EXAMPLE_HEAD = (
    "Copy to .env (mode 0600) and keep the lines you need. Every line is optional: `./inv up` works without the file "
    "and writes the secrets it makes into it. Precedence: command line, environment, this file, default. "
    "`./inv fix` makes this file from the settings themselves."
)
VERSION = re.compile(r'__version__ = ".*"')
BACKEND_HEAD = "Settings of the SAM2 backend; docs/backend.md says more."


@dataclass(frozen=True)
class Document(Operation):
    """An operation: a file is what its source says. `make` gets the content that it has."""

    path: Path
    make: Callable[[str], str]

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name} up to date"

    def plan(self) -> list[Change]:
        """Write the file where it is out of date."""
        text = self.path.read_text(encoding="utf-8")
        new = self.make(text)
        if new == text:
            return []

        def write() -> None:
            self.path.write_text(new, encoding="utf-8")

        return [Change(f"write {self.path.parent.name}/{self.path.name}", write)]


def documents() -> tuple[Document, ...]:
    """Every file that is made from something else in the repository."""
    return (
        Document(REPOSITORY / ".env.example", lambda _: env_example()),
        Document(REPOSITORY / "docs" / "settings.md", lambda text: between_markers(text, BEGIN, END, settings_table())),
        Document(
            REPOSITORY / "docs" / "inventory.md", lambda text: between_markers(text, BEGIN, END, inventory_table())
        ),
        Document(REPOSITORY / "docs" / "backend.md", lambda text: between_markers(text, BEGIN, END, backend_table())),
        Document(REPOSITORY / "backend" / "__init__.py", with_version),
    )


def with_version(text: str) -> str:
    """Return the backend's `__init__.py` with the version of the project; its image holds no pyproject.toml."""
    return VERSION.sub(f'__version__ = "{own_version()}"', text)


def settings_table() -> str:
    """Every setting with its names in `.env` and in the inventory, its default, and the first sentence about it."""
    hosts = setting_fields()
    keys = {field.alias: name for name, field in Settings.model_fields.items() if name in hosts}
    rows = []
    for name, field in {**env_fields(), ENV_FILE: ENV_FILE_SETTING}.items():
        key = keys.get(name, "")
        default, on_host = default_in_env(field), default_in_env(hosts.get(key, field))
        shown = _code(default) if default == on_host else f"{_code(default)}, on hosts {_code(on_host)}"
        rows.append((_code(name), _code(key), shown, first_sentence(field.description)))
    rows += [
        (_code(f"{PREFIX}...") if name == "backend" else "", _code(name), _code(default_in_inventory(field)), first)
        for name, field in hosts.items()
        if name not in keys.values() or name == "backend"
        for first in [first_sentence(field.description)]
    ]
    return _table(("`.env`", "inventory", "default", "what"), rows)


def inventory_table() -> str:
    """Every setting of a host: kind, default, and the whole text."""
    rows = (
        (_code(name), field.title or "", _code(default_in_inventory(field)), field.description or "")
        for name, field in setting_fields().items()
    )
    return _table(("setting", "kind", "default", "what"), rows)


def backend_table() -> str:
    """Every setting of the backend that a stack passes on."""
    rows = ((_code(name), one.kind, _code(one.default), one.text) for name, one in BACKEND_SETTINGS.items())
    return _table(("setting", "kind", "default", "what"), rows)


def env_example() -> str:
    """The example of a `.env`: every name with its text, all of them commented out."""
    parts = [_comment(EXAMPLE_HEAD)]
    for name, field in env_fields().items():
        shown = next(iter(field.examples or ()), default_in_env(field))
        parts.append(f"{_comment(f'{field.description} ({kind_in_env(field)})')}\n#{name}={shown}")
    backend = (
        f"{_comment(f'{one.text} ({one.kind})')}\n#{PREFIX}{name}={one.default}"
        for name, one in BACKEND_SETTINGS.items()
    )
    return "\n\n".join([*parts, _comment(BACKEND_HEAD), "\n".join(backend)]) + "\n"


def _comment(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "|".join(_cell(cell) for cell in line) + "|" for line in lines)


def _cell(text: str) -> str:
    escaped = text.replace("|", "\\|")
    return escaped if text == "---" else f" {escaped} " if text else " "


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
