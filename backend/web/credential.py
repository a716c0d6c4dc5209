"""The backend's door: a password that everything but `GET /health` asks for, by HTTP basic authentication (RFC 7617).

`GET /picture` comes without it, with a grant that was signed with it: see `backend.web.grants`.

Label Studio stores it with the ML backend and sends it with each request; our own tools read the same file. The user
name is not looked at: Label Studio's row carries there which password it holds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import threading
from pathlib import Path

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.web.grants import HEADER, read_grant
from backend.web.middleware import error_response
from backend.web.picture_routes import GRANT, PATH

logger = logging.getLogger(__name__)
OPEN = ("GET", "/health")
GRANTED = ("GET", PATH)
CHALLENGE = {"WWW-Authenticate": 'Basic realm="labelrig SAM2 backend", charset="UTF-8"'}
SHORTEST = 8


class PasswordFile:
    """The password in a file: read again when the file changes, so that a new one counts without a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._digest: bytes | None = None
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Why no password can be right at the moment; None where one can."""
        self._read()
        return self._problem

    def matches(self, given: str) -> bool:
        """Whether this is the password. Compared in constant time; never right while the file holds none."""
        self._read()
        return self._digest is not None and hmac.compare_digest(_digest(given.encode()), self._digest)

    def key(self) -> bytes | None:
        """What grants are signed with: SHA-256 of the password; None while the file holds none."""
        self._read()
        return self._digest

    def _read(self) -> None:
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_size, status.st_ino)
                if seen == self._seen:
                    return
                password = self._path.read_bytes().strip()
            except OSError as error:
                self._forget(f"the file of BACKEND_PASSWORD_FILE cannot be read: {error.strerror}")
                return
            if len(password) < SHORTEST:
                self._forget(f"the file of BACKEND_PASSWORD_FILE holds no password of {SHORTEST} characters or more")
                return
            self._seen, self._digest, self._problem = seen, _digest(password), None

    def _forget(self, problem: str) -> None:
        if problem != self._problem:
            logger.error("%s; every request but GET /health is refused", problem)
        self._seen, self._digest, self._problem = None, None, problem


class CredentialMiddleware:
    """Answers 401 to what comes without the password, before anything of it is read."""

    def __init__(self, app: ASGIApp, password: PasswordFile) -> None:
        self._app = app
        self._password = password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) == OPEN:
            await self._app(scope, receive, send)
            return
        if (scope["method"], scope["path"]) == GRANTED:
            await self._granted(scope, receive, send)
            return
        given = password_in(Headers(scope=scope).get("Authorization", ""))
        if given is not None and self._password.matches(given):
            await self._app(scope, receive, send)
            return
        problem = self._password.problem()
        if problem is None:
            problem = (
                "this backend asks for a password: none came with the request"
                if given is None
                else "this backend asks for a password, and the one that came is another"
            )
            problem += "; `./inv up` (on a server `./inv deploy`) gives Label Studio the right one"
        response = error_response(Request(scope), 401, problem)
        response.headers.update(CHALLENGE)
        await response(scope, receive, send)

    async def _granted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A picture: the grant says which, and the password would not."""
        grant = read_grant(Headers(scope=scope).get(HEADER, ""), self._password.key())
        if grant is None:
            problem = self._password.problem() or (
                "the picture's grant is missing, has ended, or was not signed with this backend's password; load the "
                "page again, and if it stays so, `./inv up` (on a server `./inv deploy`) gives both sides one password"
            )
            await error_response(Request(scope), 401, problem)(scope, receive, send)
            return
        scope.setdefault("state", {})[GRANT] = grant
        await self._app(scope, receive, send)


def password_in(authorization: str) -> str | None:
    """The password of an `Authorization` header; None where it is none of HTTP basic authentication."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    _, colon, password = text.partition(":")
    return password if colon else None


def _digest(password: bytes) -> bytes:
    """Of one length whatever the password's: comparing tells nothing of that either."""
    return hashlib.sha256(password).digest()
