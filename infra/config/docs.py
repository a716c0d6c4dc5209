"""`./inv docs [KEY]`, and the tables of settings in the documents. Everything comes from the settings themselves.

`python -m infra.config.docs` says whether the tables are up to date, `--write` brings them there.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic.fields import FieldInfo

from core.errors import SettingsError
from core.repository import REPOSITORY
from infra.config.backend import PASSED_ON, PREFIX
from infra.config.docs_backend import BACKEND_TEXTS
from infra.config.docs_env import ENV_NAMES
from infra.config.host_settings import setting_fields
from infra.config.settings import Settings
from infra.config.value_types import nearest

BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"
WIDTH = 100
PLACES = {
    "defaults": "Settings for every host. A group and the host itself win over them.",
    "groups": (
        "Names for several hosts: `hosts` lists them, every other key is a setting for all of them. A host may be in "
        "several; the later group in the file wins. The group `all` is there without being written."
    ),
    "hosts": "The machines, by the name that people and `--host` use. It wins over groups and `defaults`.",
}


@dataclass(frozen=True)
class Table:
    """A document with a place between markers for a table. It need not have the place unless `required`."""

    path: Path
    make: Callable[[], str]
    required: bool


def explain(key: str = "") -> str:
    """Return what a setting is for, or a list of all settings where no key is given.

    Args:
        key: a setting of a host, with or without its path (`port`, `hosts.gpu01.port`, `backend.MASK_KEEP`), a part of
            the inventory, or a name in `.env`.

    Raises:
        SettingsError: there is no such setting; names what may have been meant.
    """
    if not key:
        return _everything()
    parts = key.split(".")
    name = parts[-1]
    fields = setting_fields()
    if len(parts) == 1 and key in PLACES:
        return f"{key} (a part of infra/inventory.yaml)\n\n{_wrapped(PLACES[key])}"
    if name.removeprefix(PREFIX) in PASSED_ON and (name.startswith(PREFIX) or "backend" in parts[:-1]):
        return _backend_setting(name.removeprefix(PREFIX))
    if name in fields and (len(parts) == 1 or parts[0] in PLACES):
        return _host_setting(name, fields[name])
    if name in ENV_NAMES and len(parts) == 1:
        return _env_name(name)
    near = nearest(name, (*fields, *ENV_NAMES, *(PREFIX + one for one in PASSED_ON)), 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`./inv docs` lists them all"
    raise SettingsError(f"{key}: is not a setting; {hint}")


def inventory_table() -> str:
    """Every setting of a host as a markdown table: kind, default, and the whole text."""
    rows = (
        (f"`{name}`", field.title or "", _code(_default(field)), field.description or "")
        for name, field in setting_fields().items()
    )
    return _table(("setting", "kind", "default", "what"), rows)


def short_table() -> str:
    """The same with the first sentence only."""
    rows = (
        (f"`{name}`", _code(_default(field)), _first_sentence(field.description or ""))
        for name, field in setting_fields().items()
    )
    return _table(("setting", "default", "what"), rows)


def tables() -> tuple[Table, ...]:
    """The documents that hold a generated table."""
    return (
        Table(REPOSITORY / "docs" / "inventory.md", inventory_table, required=True),
        Table(REPOSITORY / "README.md", short_table, required=False),
    )


def renewed(text: str, table: str) -> str | None:
    """Return a document with the table between its markers, or None where it has no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}" if begin and end else None


def main(arguments: Sequence[str]) -> int:
    """See the module. Returns the exit code: 1 when a table is out of date and was not written."""
    if list(arguments) not in ([], ["--write"]):
        sys.stderr.write("usage: python -m infra.config.docs [--write]\n")
        return 2
    left = 0
    for table in tables():
        old = table.path.read_text(encoding="utf-8")
        new = renewed(old, table.make())
        if new is None and table.required:
            sys.stderr.write(f"{table.path}: has no {BEGIN} ... {END}\n")
            left += 1
        elif new is not None and new != old:
            sys.stderr.write(f"{table.path}: {'written' if arguments else 'is out of date; add --write'}\n")
            if arguments:
                table.path.write_text(new, encoding="utf-8")
            else:
                left += 1
    return 1 if left else 0


def _host_setting(name: str, field: FieldInfo) -> str:
    same = Settings.model_fields.get(name)
    lines = [
        f"{name} (a setting of a host, in infra/inventory.yaml: under `defaults`, a group or the host)",
        "",
        f"  kind      {field.title}",
        f"  default   {_default(field) or 'none'}",
        "",
        _wrapped(field.description or ""),
    ]
    for example in field.examples or ():
        lines += ["", f"  {name}: {_yaml(example)}"]
    if same is not None and same.alias is not None:
        lines += ["", f"  For this machine (`./inv up`): {same.alias} in .env."]
    return "\n".join(lines)


def _env_name(name: str) -> str:
    told = ENV_NAMES[name]
    return "\n".join(
        [
            f"{name} ({'a secret' if told.secret else 'a setting'}, in .env or the environment)",
            "",
            f"  kind      {told.kind}",
            f"  default   {_env_default(name) or 'none'}",
            "",
            _wrapped(told.text),
        ]
    )


def _backend_setting(name: str) -> str:
    default, text = BACKEND_TEXTS[name]
    return "\n".join(
        [
            f"{name} (a setting of the SAM2 backend; `backend` in infra/inventory.yaml, {PREFIX}{name} in .env)",
            "",
            f"  default   {default or 'none'}",
            "",
            _wrapped(f"{text[0].upper()}{text[1:]}. The backend checks it when it starts; docs/backend.md says more."),
        ]
    )


def _everything() -> str:
    settings = {name: field.description or "" for name, field in setting_fields().items()}
    env = {name: told.text for name, told in ENV_NAMES.items()}
    width = max(map(len, (*settings, *env)))
    parts = (("infra/inventory.yaml, for each host", settings), (".env, for this machine, and all secrets", env))
    lines: list[str] = []
    for heading, texts in parts:
        lines += [heading, *(f"  {name:<{width}}  {_first_sentence(text)}" for name, text in texts.items()), ""]
    return "\n".join([*lines, f"and {PREFIX}... in .env, `backend` in the inventory: docs/backend.md"])


def _default(field: FieldInfo) -> str:
    """A default as YAML writes it; nothing where there is none."""
    value = field.default
    if value in (None, "", (), {}):
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, Path) else _yaml(value)


def _yaml(value: object) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=sys.maxsize, sort_keys=False)
    return text.removesuffix("...\n").rstrip()


def _env_default(name: str) -> str:
    values = (field.default for field in Settings.model_fields.values() if field.alias == name)
    return next(("on" if value is True else str(value) for value in values if value is not None), "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "|".join(_cell(cell) for cell in line) + "|" for line in lines)


def _cell(text: str) -> str:
    escaped = text.replace("|", "\\|")
    return escaped if text == "---" else f" {escaped} " if text else " "


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.])\s", text, maxsplit=1)[0]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
