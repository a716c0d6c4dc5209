"""Settings of a command line for its hosts: `--set KEY=VALUE`, `--data`, `--model`, as one layer over the inventory."""

from __future__ import annotations

from collections.abc import Iterable

from core.errors import SettingsError
from core.strict_yaml import parse_yaml
from infra.config.host_settings import setting_fields

OWN_OPTIONS = ("data", "model")  # with an option of their own beside `--set`
AS_YAML = ("mapping", "list of users")  # kinds whose values are more than one text


def read_overrides(given: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return the settings by name; whether the values can be used is checked with the host's others.

    Args:
        given: key and value in the order of the command line. An entry of a mapping has a dot in its key
            (`backend.MASK_KEEP`); it, a mapping and a list are written as in the inventory.

    Raises:
        SettingsError: a key is given twice, or a value is not YAML where it must be.
    """
    fields = setting_fields()
    layer: dict[str, object] = {}
    for key, value in given:
        name, _, entry = key.partition(".")
        kind = fields[name].title if name in fields else None
        into = layer
        if entry and kind == "mapping":
            entries = layer.setdefault(name, {})
            if not isinstance(entries, dict):
                raise _twice(name)
            into = entries
        else:
            entry = key
        if entry in into:
            raise _twice(key)
        into[entry] = parse_yaml(str(value), f"--set {key}") if kind in AS_YAML else value
    return layer


def option(key: str) -> str:
    """The option of a command line that sets this key, for messages."""
    return f"--{key}" if key in OWN_OPTIONS else f"--set {key}"


def _twice(key: str) -> SettingsError:
    also = f" (`--{key}` and `--set {key}=` are the same setting)" if key in OWN_OPTIONS else ""
    return SettingsError(f"{option(key)}: is given twice on the command line{also}; nothing was done")
