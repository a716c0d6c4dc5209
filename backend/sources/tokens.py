"""The token that opens Label Studio's files.

Label Studio 1.23.2 knows two kinds (`jwt_auth/`): a legacy token is sent as it is (`Authorization: Token ...`); a
personal token is a refresh token in the form of a JWT, which buys an access token for some minutes
(`POST /api/token/refresh/`), and that is sent (`Authorization: Bearer ...`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from backend.errors import ImageError, SourceUnavailable
from backend.sources.http import Http, OutOfTime

REFRESH_PATH = "/api/token/refresh/"
REFRESH_EARLY = 0.1  # of an access token's life
SHORT_LIFE_SECONDS = 60.0  # of an access token that does not say how long it lives
ANSWER_LIMIT = 64 * 1024
KEY = re.compile(r"[\x21-\x7e]+")
Refresh = Callable[[str, float], str]


class TokenSource:
    """Gives the `Authorization` header for Label Studio. Safe to use from many threads."""

    def __init__(
        self,
        key: str | None,
        key_file: Path | None,
        refresh: Refresh,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            key: a personal or a legacy token.
            key_file: read when `key` is None, and again whenever it changes. Need not exist yet.
            refresh: buys an access token for a personal token before a deadline; see `refresh_at`.
            clock: seconds.
        """
        self._given = key
        self._file = key_file
        self._refresh = refresh
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._from_file = ""
        self._bought_with = ""
        self._access = ""
        self._renew_at = 0.0

    def authorization(self, deadline: float, refused: str | None = None) -> str:
        """The header's value.

        Args:
            deadline: `time.monotonic()` until when to wait.
            refused: what this method gave before and Label Studio refused: it is not given again.

        Raises:
            ImageError: there is no usable token.
            SourceUnavailable: Label Studio gives no access token now.
        """
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise OutOfTime("Label Studio did not renew the access token in time")
        try:
            key = self._key()
            value = f"Bearer {self._access_for(key, deadline, refused)}" if _claims(key) else f"Token {key}"
        finally:
            self._lock.release()
        if value == refused:
            raise ImageError(
                "Label Studio refuses the backend's token; make a new one and set LABEL_STUDIO_API_KEY or "
                "LABEL_STUDIO_API_KEY_FILE"
            )
        return value

    def _access_for(self, key: str, deadline: float, refused: str | None) -> str:
        now = self._clock()
        if key != self._bought_with or now >= self._renew_at or f"Bearer {self._access}" == refused:
            access = self._refresh(key, deadline)
            self._access, self._bought_with = access, key
            self._renew_at = now + _life(access) * (1 - REFRESH_EARLY)
        return self._access

    def _key(self) -> str:
        key = self._given or self._read()
        if not key:
            raise ImageError(
                "this image comes from Label Studio by HTTP, and the backend has no token for it; set "
                "LABEL_STUDIO_API_KEY to a personal token, or LABEL_STUDIO_API_KEY_FILE to a file that holds one"
            )
        if not KEY.fullmatch(key):
            raise ImageError("the backend's token for Label Studio holds characters that no token has; copy it again")
        return key

    def _read(self) -> str:
        if self._file is None:
            return ""
        try:
            status = self._file.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._from_file = self._file.read_text(encoding="utf-8").strip()
                self._seen = seen
        except FileNotFoundError:
            self._from_file, self._seen = "", None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ImageError(f"the file of LABEL_STUDIO_API_KEY_FILE cannot be read: {reason}") from None
        return self._from_file


def refresh_at(label_studio_url: str, http: Http) -> Refresh:
    """What buys access tokens at a Label Studio."""
    url = httpx.URL(label_studio_url.rstrip("/") + REFRESH_PATH)

    def refresh(personal: str, deadline: float) -> str:
        body = json.dumps({"refresh": personal}).encode()
        with http.request("POST", url, {"Content-Type": "application/json"}, deadline, body) as answer:
            if answer.status in (400, 401, 403):
                raise ImageError(
                    f"Label Studio refuses the backend's personal token ({answer.status}): expired or revoked; make a "
                    "new one and set LABEL_STUDIO_API_KEY or LABEL_STUDIO_API_KEY_FILE"
                )
            if answer.status != 200:
                raise SourceUnavailable(f"Label Studio answered {answer.status} when asked for an access token")
            content = bytearray()
            for piece in answer.body:
                content += piece
                if len(content) > ANSWER_LIMIT:
                    break
        try:
            access = json.loads(content)["access"]
        except (ValueError, KeyError, TypeError):
            access = None
        if not isinstance(access, str) or not KEY.fullmatch(access):
            raise SourceUnavailable("Label Studio answered without an access token; is LABEL_STUDIO_URL its address?")
        return access

    return refresh


def _claims(token: str) -> dict[str, Any]:
    """What a JWT (RFC 7519) says; empty for anything else. The signature is for Label Studio to check."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        header, payload = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except (ValueError, binascii.Error):
        return {}
    return payload if isinstance(header, dict) and "alg" in header and isinstance(payload, dict) else {}


def _life(access: str) -> float:
    """Seconds between issue and expiry, both by Label Studio's clock, which need not be ours."""
    claims = _claims(access)
    issued, expires = claims.get("iat"), claims.get("exp")
    if isinstance(issued, int | float) and isinstance(expires, int | float) and expires > issued:
        return float(expires - issued)
    return SHORT_LIFE_SECONDS
