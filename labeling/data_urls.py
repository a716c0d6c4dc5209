"""Images that are written into a task itself (`data:image/png;base64,...`), read as browsers read them (RFC 2397)."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

HEAD = re.compile(r"\s*data:(?P<kind>[^,;]*)[^,]*", re.IGNORECASE)
BASE64 = re.compile(r";[ ]*base64[ ]*\Z", re.IGNORECASE)
LINE_BREAKS = re.compile(r"[\t\n\r]")
WHITE_SPACE = b"\t\n\f\r "
SHOWN_KIND = 40  # characters


def is_data_url(url: str) -> bool:
    """Whether a task's image is written into the task."""
    return HEAD.match(url) is not None


def content_of(url: str) -> bytes:
    """The bytes of a data URL.

    Raises:
        ValueError: it is not one, or is damaged; the message follows "cannot be read: ".
    """
    head = HEAD.match(url)
    if head is None or url[head.end() : head.end() + 1] != ",":
        raise ValueError("the data URL has no comma before its content")
    # Where a `#` begins, the URL's fragment does.
    content = unquote_to_bytes(LINE_BREAKS.sub("", url[head.end() + 1 :]).partition("#")[0])
    if not BASE64.search(head[0]):
        return content
    code = content.translate(None, WHITE_SPACE)
    code += b"=" * (-len(code) % 4) if not code.endswith(b"=") else b""
    try:
        return base64.b64decode(code, validate=True)
    except binascii.Error:
        raise ValueError("the content of the data URL is not base64") from None


def shown_data_url(url: str) -> str:
    """What people are told instead of megabytes of code."""
    head = HEAD.match(url)
    kind = re.sub(r"[^\w.+/-]", "?", head["kind"].strip()) if head else ""
    return f"data:{kind[:SHOWN_KIND]},..."
