"""Reading and writing `.env`: secrets and the few settings that belong to one machine.

The file is kept as its owner wrote it: we only add lines or replace the value of a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from core.errors import SettingsError
from core.text_file import text_of
from hosts.base import Host
from infra.config.value_types import CONTROL

MODE = 0o600
KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
SECRET = re.compile(r"PASSWORD|PASSPHRASE|SECRET|KEY")
CUT_OFF = re.compile(r"^[^=]*=\s*[^'\"\s].*?\s#")  # an unquoted value with what may be its end behind it
OURS = ("LABELRIG_", "LABEL_STUDIO_", "BACKEND_")


def parse_env_text(text: str, origin: str) -> dict[str, str]:
    """Return the keys and values of a `.env` text.

    Args:
        text: the file's content.
        origin: its path, for messages.

    Raises:
        SettingsError: lists every line that is not `KEY=value`, every key given twice, and every secret that may go on
            behind a ` #`. Values are never shown.
    """
    problems: list[str] = []
    values: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        text_of_binding = binding.original.string
        line = binding.original.line + len(text_of_binding) - len(text_of_binding.lstrip("\n"))
        if binding.error or (binding.key is not None and not KEY.match(binding.key)):
            problems.append(f"line {line} is not KEY=value")
        elif binding.key is not None and binding.value is None:
            problems.append(f"line {line}: {_shown(binding.key)} has no `=`")
        elif binding.key is not None and binding.value is not None:
            if binding.key in values:
                problems.append(f"line {line}: {binding.key} is given twice")
            if SECRET.search(binding.key) and CUT_OFF.search(text_of_binding):
                cut = "` #` begins a comment; put the whole value in single quotes"
                problems.append(f"line {line}: {binding.key}: {cut}")
            values[binding.key] = binding.value
    if problems:
        raise SettingsError(f"{origin}: " + "; ".join(problems) + "; see .env.example for the form")
    return values


def parse_env_bytes(content: bytes, origin: str) -> dict[str, str]:
    """Return the keys and values of a `.env` file's content; a byte order mark at its begin is left out.

    Raises:
        SettingsError: it is not UTF-8 text, or see `parse_env_text`.
    """
    return parse_env_text(text_of(content, origin), origin)


def _shown(key: str) -> str:
    """A name of ours; anything else may be a secret that lost the name in front of it."""
    return key if key.startswith(OURS) else "what stands there"


def read_env_file(path: Path) -> dict[str, str]:
    """Return the keys and values of a `.env` file, nothing where there is no file.

    Raises:
        SettingsError: it cannot be read as text, or a line is broken (see `parse_env_text`).
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_env_bytes(content, str(path))


def update_env_file(host: Host, path: str, values: Mapping[str, str]) -> None:
    """Set keys in a `.env` file on `host` and leave every other line as it is. Mode 0600, atomic; root's elsewhere.

    Raises:
        ValueError: a key or a value cannot stand in a `.env` file.
    """
    for key, value in values.items():
        if not KEY.fullmatch(key) or CONTROL.search(value):
            raise ValueError(f"{key}: the name or the value cannot stand in a .env file")
    as_root = not host.is_local
    content = host.read(path, as_root=as_root) or b""
    left = dict(values)
    lines: list[str] = []
    for binding in parse_stream(StringIO(text_of(content, path))):
        if binding.key in left:
            lines.append(_line(binding.key, left.pop(binding.key)))
        else:
            lines.append(binding.original.string)
    text = "".join(lines)
    if text and not text.endswith("\n"):
        text += "\n"
    text += "".join(_line(key, value) for key, value in left.items())
    host.write(path, text.encode("utf-8"), MODE, as_root=as_root)


def _line(key: str, value: str) -> str:
    """A line from which `parse_env_text` reads the same value."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'\n"
