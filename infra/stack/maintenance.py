"""The maintenance page: people see it instead of Label Studio, and only an upgrade's own requests get through.

The proxy looks for two files in the volume that it shares with Label Studio, at each request: one that says that there
is maintenance, and one that is named after what a request carries in the header. See its label-studio.caddy.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property

import httpx

from infra.stack.site import Site
from labelstudio.access import Access, Login

HEADER = "X-Labelrig-Pass"
FOLDER = "/label-studio/static/maintenance"  # of the proxy's /srv/static; labelrig_start.py leaves it there
TIMEOUT = 120.0
BEGIN = 'umask 022; read -r pass; rm -rf "$1" && mkdir "$1" && : >"$1/pass-$pass" && : >"$1/on"'
END = 'rm -rf "$1"'


def new_pass() -> str:
    """What requests of one upgrade carry."""
    return secrets.token_hex(24)


@dataclass(frozen=True)
class MaintenancePass:
    """The way in while people see the maintenance page."""

    value: str

    @cached_property
    def transport(self) -> httpx.BaseTransport:
        """How requests travel that are to get through."""
        return PassingTransport(self.value)


class PassingTransport(httpx.BaseTransport):
    """HTTP with the pass in every request. May be used again after it was closed."""

    def __init__(self, value: str, inner: httpx.BaseTransport | None = None) -> None:
        """
        Args:
            inner: how requests travel; by default as they do without a pass.
        """
        self._value = value
        self._given = inner
        self._inner: httpx.BaseTransport | None = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request."""
        if self._inner is None:
            self._inner = httpx.HTTPTransport(trust_env=False)
        request.headers[HEADER] = self._value
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        if self._inner is not None:
            self._inner.close()
        self._inner = self._given


def access_of(settings: Login, passing: MaintenancePass | None, base_url: str | None = None) -> Access:
    """The login to a stack's Label Studio, with the pass where there is one; see `Access.of`."""
    return Access.of(settings, base_url, passing.transport if passing is not None else None)


def begin_maintenance(site: Site, passing: MaintenancePass) -> None:
    """From here on people see the page; a stack from before there was a proxy has none."""
    _in_label_studio(site, BEGIN, f"{passing.value}\n".encode())


def end_maintenance(site: Site) -> None:
    """People reach Label Studio again."""
    _in_label_studio(site, END)


def _in_label_studio(site: Site, script: str, stdin: bytes | None = None) -> None:
    """Run a script in a container of its own with the volumes of Label Studio, which need not run."""
    if not site.proxy:
        return
    flags = ("--rm", "--no-TTY", "--no-deps", "--quiet-pull")
    command = ("run", *flags, "label-studio", "sh", "-c", script, "sh", FOLDER)
    site.compose.run(*command, timeout=TIMEOUT, stdin=stdin)
