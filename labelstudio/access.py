"""How labelrig gets at one Label Studio during a run: the login, and the token once there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import httpx
from pydantic import SecretStr

from core.errors import LabelStudioError

if TYPE_CHECKING:
    from labelstudio.client import Client


class Login(Protocol):
    """What the settings say about Label Studio."""

    @property
    def url(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> SecretStr | None: ...
    @property
    def api_key(self) -> SecretStr | None: ...


class Access:
    """Where Label Studio is and who we are there. `client()` connects when it is first asked for.

    `transport` is how HTTP travels; tests bring their own, an upgrade one with its pass.
    """

    def __init__(
        self,
        base_url: str,
        username: str,
        password: str,
        api_key: str | None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url
        self.username = username
        self.password = password
        self.transport = transport
        self._api_key = api_key
        self._client: Client | None = None

    @classmethod
    def of(cls, settings: Login, base_url: str | None = None, transport: httpx.BaseTransport | None = None) -> Access:
        """Take the login from the settings; `base_url` where Label Studio is not at `settings.url` (a tunnel).

        Raises:
            LabelStudioError: the settings hold no password yet.
        """
        if settings.password is None:
            raise LabelStudioError(
                "no LABEL_STUDIO_PASSWORD is known; `./inv up` (on a server `./inv deploy`) makes it, or recovers it"
            )
        return cls(
            base_url or settings.url,
            settings.username,
            settings.password.get_secret_value(),
            settings.api_key.get_secret_value() if settings.api_key is not None else None,
            transport,
        )

    @property
    def api_key(self) -> str | None:
        """The personal access token, if there is one."""
        return self._api_key

    def use(self, api_key: str) -> None:
        """Use this token from now on."""
        self.close()
        self._api_key = api_key

    def close(self) -> None:
        """Close the connections; `client()` opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def client(self) -> Client:
        """The connected client.

        Raises:
            LabelStudioError: there is no token yet.
        """
        if self._client is None:
            if self._api_key is None:
                raise LabelStudioError(
                    "there is no personal access token yet; `./inv up` makes one and writes it to .env"
                )
            from labelstudio.client import Client

            self._client = Client(self.base_url, self._api_key, self.transport)
        return self._client
