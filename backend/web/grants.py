"""Who may see one picture: Label Studio decides, and signs a grant that the proxy brings here (HMAC, RFC 2104).

The proxy knows no password, and who gets hold of a grant gets one picture, for a minute. It is made by
`infra/roles/images/dockerfiles/label-studio/server/labelrig_pictures.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

HEADER = "X-Labelrig-Picture"
LONGEST = 20_000  # characters


class Grant(BaseModel):
    """An image as its task names it, and until when it may be asked for (seconds of the wall clock)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[str, Field(min_length=1, max_length=8000)]
    until: float


def read_grant(text: str, key: bytes | None) -> Grant | None:
    """What a grant says; None where it is not ours, or has ended.

    Args:
        text: `<what it says, JSON>.<its HMAC-SHA-256>`, both in URL-safe base64 without padding.
        key: SHA-256 of the backend's password; None grants nothing.
    """
    body, dot, signature = text.partition(".")
    if key is None or not dot or len(text) > LONGEST or not text.isascii():
        return None
    expected = hmac.new(key, body.encode(), hashlib.sha256).digest()
    try:
        if not hmac.compare_digest(_bytes(signature), expected):
            return None
        grant = Grant.model_validate_json(_bytes(body))
    except (binascii.Error, ValidationError):
        return None
    return grant if time.time() <= grant.until else None


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
