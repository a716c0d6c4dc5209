"""Authorization for plain HTTP calls: a personal token is exchanged for an access token that lives 300 s."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import httpx

from core.errors import LabelStudioError
from labelstudio.answers import refusal

USE_FOR = 240.0


class TokenRefused(LabelStudioError):
    """The personal token is not accepted."""


class TokenAuth(httpx.Auth):
    """Adds the header that fits the token: `Bearer` for a personal one (a JWT), `Token` for a legacy one."""

    requires_response_body = True

    def __init__(self, base_url: str, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._base_url = base_url
        self._token = token
        self._clock = clock
        self._access: str | None = None
        self._got_at = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See `httpx.Auth`.

        Raises:
            TokenRefused: the personal token is not accepted.
            LabelStudioError: no clear answer.
        """
        if self._token.count(".") != 2:
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        if self._access is None or self._clock() - self._got_at > USE_FOR:
            url = httpx.URL(self._base_url).copy_with(path="/api/token/refresh/")
            answer = yield httpx.Request("POST", url, json={"refresh": self._token})
            if answer.status_code != httpx.codes.OK:
                error = refusal(self._base_url, "use the stored token", answer.status_code, answer.text)
                raise TokenRefused(str(error)) if answer.status_code == httpx.codes.UNAUTHORIZED else error
            self._access, self._got_at = str(answer.json()["access"]), self._clock()
        request.headers["Authorization"] = f"Bearer {self._access}"
        yield request
