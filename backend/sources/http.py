"""HTTP as the backend speaks it with servers that it does not trust: every wait has an end.

Built on httpcore's connections, because its network backend is where a connection's address is chosen. No proxy is
used, whatever the environment says: behind one it is unknown which address is connected to.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpcore
import httpx

from backend.errors import ImageError, SourceUnavailable
from backend.sources.addresses import HostPolicy, HostRefused
from backend.sources.locations import origin_of

REDIRECTS = frozenset({301, 302, 303, 307, 308})
REDIRECT_LIMIT = 5
USER_AGENT = "labelrig"
LOGIN_PAGE = "/user/login"


class OutOfTime(SourceUnavailable):
    """The deadline of this request passed first; another may have more time."""


@dataclass(frozen=True)
class Patience:
    """Seconds without any progress."""

    connect_seconds: float = 5.0
    read_seconds: float = 20.0


@dataclass(frozen=True)
class Answer:
    """The head of an answer, and its body in pieces as they come. `host` is who gave it."""

    status: int
    headers: httpx.Headers
    body: Iterator[bytes]
    host: str


class _Stream(httpcore.NetworkStream):
    """A connection on which no single wait goes beyond the deadline, however slowly the bytes drip."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Network(httpcore.NetworkBackend):
    """Connects to one of the addresses that were checked, whatever the name means by now."""

    def __init__(self, addresses: list[str], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        *others, last = self._addresses
        for address in others:
            try:
                return self._connect(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(last, port, timeout)

    def _connect(self, address: str, port: int, timeout: float | None) -> httpcore.NetworkStream:
        stream = self._inner.connect_tcp(address, port, timeout=_left(self._deadline, timeout))
        return _Stream(stream, self._deadline)


class Http:
    """Sends requests. Safe to use from many threads; keeps no connection."""

    def __init__(self, policy: HostPolicy, patience: Patience | None = None) -> None:
        """Certificates are checked against `SSL_CERT_FILE` or `SSL_CERT_DIR`, else against certifi's list."""
        self._policy = policy
        self._patience = patience or Patience()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()

    @contextmanager
    def request(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], deadline: float, content: bytes = b""
    ) -> Iterator[Answer]:
        """One request to one server, redirects not followed.

        Raises:
            ImageError: the server is not allowed.
            SourceUnavailable: it does not answer, or not to the end; also while the body is read.
        """
        origin = origin_of(url)
        addresses = self._policy.addresses(origin, min(deadline, time.monotonic() + self._patience.connect_seconds))
        patience = self._patience
        timeout = {"connect": patience.connect_seconds, "read": patience.read_seconds, "write": patience.read_seconds}
        always = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        if content:
            always["Content-Length"] = str(len(content))
        sent = always | dict(headers)
        with (
            _told_apart(url.host, deadline),
            httpcore.ConnectionPool(
                ssl_context=self._tls if url.scheme == "https" else None,
                max_connections=1,
                network_backend=_Network(addresses, deadline),
            ) as pool,
            pool.stream(
                method,
                httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"),
                headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()],
                content=content or None,
                extensions={"timeout": timeout},
            ) as answer,
        ):
            yield Answer(answer.status, httpx.Headers(answer.headers), _pieces(answer, deadline), url.host)

    @contextmanager
    def get(
        self, url: httpx.URL, headers: Mapping[str, str], authorization: str | None, deadline: float
    ) -> Iterator[Answer]:
        """GET, following up to five redirects; each server on the way is checked.

        `authorization` is sent as long as the request stays with Label Studio, and never again after it left.
        """
        is_presigned = False  # Label Studio has sent us on to a storage
        for _ in range(REDIRECT_LIMIT + 1):
            if not self._policy.is_label_studio(origin_of(url)):
                is_presigned = is_presigned or authorization is not None
                authorization = None
            sent = {**headers, "Authorization": authorization} if authorization else headers
            with _another_way(is_presigned), self.request("GET", url, sent, deadline) as answer:
                if answer.status not in REDIRECTS:
                    yield answer
                    return
                following = _next(url, answer)
                if authorization and LOGIN_PAGE in following.path:
                    yield Answer(401, answer.headers, iter(()), answer.host)
                    return
                url = following
        raise ImageError(f"the image's server {url.host} redirects more than {REDIRECT_LIMIT} times")


@contextmanager
def _another_way(is_presigned: bool) -> Iterator[None]:
    """Where Label Studio leads to a storage inside this network: what people can do themselves."""
    try:
        yield
    except HostRefused as error:
        if not is_presigned:
            raise
        raise ImageError(
            f"{error}, or switch pre-signed URLs off in the settings of the storage: then Label Studio reads it"
        ) from None


@contextmanager
def _told_apart(host: str, deadline: float) -> Iterator[None]:
    """Say in one sentence what happened on the network. No URL: it may hold a signature."""
    try:
        yield
    except httpcore.ConnectTimeout:
        _check(host, deadline)
        raise SourceUnavailable(f"the image's server {host} cannot be reached: no connection in time") from None
    except httpcore.TimeoutException:
        _check(host, deadline)
        raise SourceUnavailable(f"the image's server {host} stopped sending") from None
    except httpcore.ConnectError as error:
        reason = "its certificate is not trusted" if "CERTIFICATE_VERIFY" in str(error) else "no connection"
        raise SourceUnavailable(f"the image's server {host} cannot be reached: {reason}") from None
    except httpcore.NetworkError:
        raise SourceUnavailable(f"the image's server {host} broke the connection off") from None
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol):
        raise SourceUnavailable(f"the image's server {host} ended too early, or answered with no valid HTTP") from None


def _pieces(answer: httpcore.Response, deadline: float) -> Iterator[bytes]:
    for piece in answer.iter_stream():
        _left(deadline, None)
        yield piece


def _check(host: str, deadline: float) -> None:
    if time.monotonic() >= deadline:
        raise OutOfTime(f"the image's server {host} did not send the image in time") from None


def _left(deadline: float, timeout: float | None) -> float:
    """Seconds that a single wait may take."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left if timeout is None else min(timeout, left)


def _next(url: httpx.URL, answer: Answer) -> httpx.URL:
    """Where a redirect leads, if one may go there."""
    try:
        following = url.join(answer.headers.get("Location", ""))
        leads = following.scheme in ("http", "https") and following.host and not following.userinfo
    except (httpx.InvalidURL, UnicodeError):  # the latter also of a host that begins with `xn--` and is none
        leads = False
    if not leads or following == url:
        raise ImageError(f"the image's server {url.host} redirects to no http(s) address")
    return following
