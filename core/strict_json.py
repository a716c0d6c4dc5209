"""Reading JSON that people bring: text that is not JSON, is nested without end or is not text is said in a sentence."""

from __future__ import annotations

import json
import reprlib

from core.errors import SettingsError

BOM = b"\xef\xbb\xbf"


def parse_json(content: bytes, origin: str) -> object:
    """Return what a JSON text holds.

    Args:
        content: one document in UTF-8, with or without a byte order mark.
        origin: the file's path, for messages.

    Raises:
        SettingsError: it is not JSON, or cannot be kept.
    """
    try:
        value = json.loads(content.removeprefix(BOM).decode("utf-8"))
    except UnicodeDecodeError:
        raise SettingsError(f"{origin}: is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise SettingsError(f"{origin}: is not JSON: line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise SettingsError(f"{origin}: is nested too deeply") from None
    except ValueError:  # a number of more digits than Python reads
        raise SettingsError(f"{origin}: holds too long a number") from None
    if problem := why_not_text(value):
        raise SettingsError(f"{origin}: {problem}")
    return value


def why_not_text(value: object) -> str:
    """Why a value of JSON cannot be written as UTF-8 again, or nothing."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        return "is nested too deeply"
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate, \\ud800 to \\udfff), which is not text"
    except (TypeError, ValueError):
        return "holds a value that is not JSON"
    return ""


def shown(value: object) -> str:
    """A value of an input file for a message: short, on one line, however deep it is."""
    text = reprlib.repr(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
