"""`./inv docs [KEY]`: what a setting is for. Everything comes from the settings themselves."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from pydantic.fields import FieldInfo

from core.errors import SettingsError
from core.strict_yaml import one_line
from infra.config.backend import BACKEND_SETTINGS, PREFIX, backend_names
from infra.config.host_settings import setting_fields
from infra.config.serving import KEY as SERVE
from infra.config.serving import serve_fields
from infra.config.settings import ENV_FILE, ENV_FILE_SETTING, Settings, env_fields, is_secret
from infra.config.stack_settings import unknown

WIDTH = 100
PLACES = {
    "defaults": "Settings for every host. A group and the host itself win over them.",
    "groups": (
        "Names for several hosts: `hosts` lists them, every other key is a setting for all of them. A host may be in "
        "several; the later group in the file wins. The group `all` is there without being written."
    ),
    SERVE: (
        "Of a group: its hosts answer clicks together, behind the Label Studio of one of them. docs/cluster.md says "
        "when that is worth it. "
        + " ".join(f"`{name}` ({one.title}): {one.description}" for name, one in serve_fields().items())
    ),
    "hosts": "The machines, by the name that people and `--host` use. It wins over groups and `defaults`.",
}


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
    fields, env = setting_fields(), {**env_fields(), ENV_FILE: ENV_FILE_SETTING}
    if len(parts) == 1 and key in PLACES:
        return f"{key} (a part of infra/inventory.yaml)\n\n{_wrapped(PLACES[key])}"
    if name.removeprefix(PREFIX) in BACKEND_SETTINGS and (name.startswith(PREFIX) or "backend" in parts[:-1]):
        return _backend_setting(name.removeprefix(PREFIX))
    if name in fields and (len(parts) == 1 or parts[0] in PLACES):
        return _host_setting(name, fields[name])
    if name in env and len(parts) == 1:
        return _env_name(name, env[name])
    raise SettingsError(unknown(key, (*fields, *env, *backend_names()), 3))


def default_in_inventory(field: FieldInfo) -> str:
    """A default as YAML writes it; nothing where there is none."""
    value = field.default
    if value in (None, "", (), {}):
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, Path) else one_line(value)


def default_in_env(field: FieldInfo) -> str:
    """A default as `.env` writes it; nothing where there is none."""
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    return "" if field.default is None or field.is_required() else str(field.default)


def kind_in_env(field: FieldInfo) -> str:
    """The kind of a setting in words, as `.env` writes it."""
    return "on or off" if isinstance(field.default, bool) else field.title or ""


def first_sentence(text: str | None) -> str:
    """The first sentence, which can stand alone."""
    return re.split(r"(?<=[.])\s", text or "", maxsplit=1)[0]


def _host_setting(name: str, field: FieldInfo) -> str:
    heading = f"{name} (a setting of a host, in infra/inventory.yaml: under `defaults`, a group or the host)"
    lines = [_explained(heading, field.title or "", default_in_inventory(field), field.description)]
    lines += [f"  {name}: {one_line(example)}" for example in field.examples or ()]
    same = Settings.model_fields.get(name)
    if same is not None and same.alias in env_fields():
        lines += [f"  For this machine (`./inv up`): {same.alias} in .env."]
    return "\n\n".join(lines)


def _env_name(name: str, field: FieldInfo) -> str:
    heading = f"{name} ({'a secret' if is_secret(field) else 'a setting'}, in .env or the environment)"
    return _explained(heading, kind_in_env(field), default_in_env(field), field.description)


def _backend_setting(name: str) -> str:
    setting = BACKEND_SETTINGS[name]
    heading = f"{name} (a setting of the SAM2 backend; `backend` in infra/inventory.yaml, {PREFIX}{name} in .env)"
    text = f"{setting.text[0].upper()}{setting.text[1:]}."
    return _explained(heading, setting.kind, setting.default, text)


def _explained(heading: str, kind: str, default: str, text: str | None) -> str:
    return f"{heading}\n\n  kind      {kind}\n  default   {default or 'none'}\n\n{_wrapped(text or '')}"


def _everything() -> str:
    parts = (
        ("infra/inventory.yaml, for each host", setting_fields()),
        (".env, for this machine, and all secrets", {**env_fields(), ENV_FILE: ENV_FILE_SETTING}),
    )
    width = max(len(name) for _, fields in parts for name in fields)
    lines: list[str] = []
    for heading, fields in parts:
        lines += [
            heading,
            *(f"  {name:<{width}}  {first_sentence(one.description)}" for name, one in fields.items()),
            "",
        ]
    return "\n".join([*lines, f"and {PREFIX}... in .env, `backend` in the inventory: docs/backend.md"])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
