"""Images that are written into a task, as `data:image/png;base64,...` (RFC 2397): Label Studio shows them."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_to_bytes

DATA_URL = re.compile(r"data:", re.IGNORECASE)


def is_data_url(url: str) -> bool:
    """Whether a task's URL is the image itself."""
    return DATA_URL.match(url) is not None


def content_of(url: str) -> bytes:
    """The bytes that are written into a data URL.

    Raises:
        ValueError: it has no comma, or is not base64 though it says so.
    """
    head, comma, body = url.partition(",")
    if not comma:
        raise ValueError("the data URL has no comma, behind which the image would be")
    if not head.lower().rstrip().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode(b"".join(unquote_to_bytes(body).split()), validate=True)
    except ValueError:
        raise ValueError("what the data URL holds is not base64") from None
