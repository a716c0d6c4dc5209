"""Web servers on the loopback, one handler per path, and a Label Studio that knows tokens."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Route = Callable[["Handler"], None]
PERSONAL = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCIsImV4cCI6NDAwMDAwMDAwMH0.cGVyc29uYWw"
LEGACY = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Seen:
    """A request: `target` is the path with its query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """What a server answers, and what it was asked. `closing` ends every wait in a route."""

    routes: dict[str, Route] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    url: str = ""
    port: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, path: str) -> list[Seen]:
        """The requests for a path."""
        with self.lock:
            return [one for one in self.seen if one.target.split("?")[0] == path]


class Handler(BaseHTTPRequestHandler):
    """Hands requests to the routes."""

    protocol_version = "HTTP/1.1"
    served: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def give(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; `ETag` as keyword `etag`, underscores are hyphens."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        with self.served.lock:
            self.served.seen.append(seen)
        route = self.served.routes.get(self.path.split("?")[0], status(404))
        self.body = body
        try:
            route(self)
        except (BrokenPipeError, ConnectionResetError):  # who asked has gone: several tests want that
            self.close_connection = True


class _Threads(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A failed TLS handshake is the client's to report."""


@contextmanager
def serving(routes: dict[str, Route] | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve on a free port of the loopback."""
    served = Server(dict(routes or {}))
    handler = type("OneHandler", (Handler,), {"served": served})
    with _Threads(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        served.port = server.server_address[1]
        served.url = f"http{'s' if tls else ''}://127.0.0.1:{served.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            served.closing.set()
            server.shutdown()
            thread.join()


def file(content: bytes, etag: str = "") -> Route:
    """The content, or 304 to who has this version."""

    def route(handler: Handler) -> None:
        if etag and handler.headers.get("If-None-Match") == etag:
            handler.give(304, ETag=etag)
        else:
            handler.give(200, content, **({"ETag": etag} if etag else {}))

    return route


def redirect(url: str, status: int = 303) -> Route:
    """To somewhere else."""
    return lambda handler: handler.give(status, Location=url)


def status(code: int) -> Route:
    """An error that says more than it should."""
    return lambda handler: handler.give(code, b"<html>secrets of the server</html>")


@dataclass
class Desk:
    """Sells and checks access tokens as Label Studio does.

    Attributes:
        valid: access tokens that are accepted now.
        life: seconds, told in the token.
    """

    valid: list[str] = field(default_factory=list)
    sold: int = 0
    life: int = 300
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self, handler: Handler) -> None:
        """`POST /api/token/refresh/`"""
        if json.loads(handler.body).get("refresh") != PERSONAL:
            handler.give(401, b'{"detail": "Token is invalid"}')
            return
        with self.lock:
            now = int(time.time())
            claims = json.dumps({"iat": now, "exp": now + self.life, "serial": self.sold}).encode()
            access = "eyJhbGciOiJIUzI1NiJ9." + base64.urlsafe_b64encode(claims).decode().rstrip("=") + ".c2ln"
            self.sold += 1
            self.valid = [access]
        handler.give(200, json.dumps({"access": access}).encode())

    def only_for_known(self, route: Route) -> Route:
        """401 to everybody else."""

        def checked(handler: Handler) -> None:
            given = handler.headers.get("Authorization", "")
            with self.lock:
                known = given == f"Token {LEGACY}" or given.removeprefix("Bearer ") in self.valid
            (route if known else status(401))(handler)

        return checked


@contextmanager
def label_studio(desk: Desk, files: dict[str, Route]) -> Iterator[Server]:
    """A server whose files are for known users alone."""
    routes = {path: desk.only_for_known(route) for path, route in files.items()}
    with serving({"/api/token/refresh/": desk.refresh, **routes}) as server:
        yield server
