"""A web server on the loopback that serves one file, and misbehaves as told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", "Origin"], bool]


@dataclass
class Origin:
    """What the server has, and what goes wrong: each request takes the next fault, then all is well.

    A fault answers the request itself and returns True, or returns False to let it be answered well.
    """

    content: bytes
    faults: list[Fault] = field(default_factory=list)
    ranges: bool = True
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def etag(self) -> str:
        """Strong, and another one for other content."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'

    @property
    def gets(self) -> list[dict[str, str]]:
        """The requests that asked for bytes."""
        return [one for one in self.requests if one["method"] == "GET"]


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with ranges (RFC 9110, section 14) and If-Range."""

    protocol_version = "HTTP/1.1"
    origin: Origin

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def start_of_range(self) -> int:
        """First byte that is asked for, 0 for all of it."""
        asked = self.headers.get("Range", "")
        fresh = self.headers.get("If-Range", self.origin.etag) == self.origin.etag
        if self.origin.ranges and fresh and asked.startswith("bytes="):
            return int(asked.removeprefix("bytes=").removesuffix("-"))
        return 0

    def head(self, start: int, length: int) -> None:
        """Status line and headers for the bytes from `start` on, `length` of them announced."""
        self.send_response(206 if start else 200)
        if start:
            total = len(self.origin.content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("Content-Length", str(length))
        self.send_header("ETag", self.origin.etag)
        self.end_headers()

    def _answer(self) -> None:
        origin = self.origin
        with origin.lock:
            origin.requests.append({"method": self.command, **self.headers})
            fault = origin.faults.pop(0) if origin.faults and self.command == "GET" else None
        if fault is not None and fault(self, origin):
            return
        start = self.start_of_range()
        if start and start >= len(origin.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(origin.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = origin.content[start:]
        self.head(start, len(body))
        if self.command == "GET":
            self.wfile.write(body)


def truncate(after: int) -> Fault:
    """Announce everything, send some, hang up."""

    def fault(handler: Handler, origin: Origin) -> bool:
        start = handler.start_of_range()
        handler.head(start, len(origin.content) - start)
        handler.wfile.write(origin.content[start : start + after])
        handler.close_connection = True
        return True

    return fault


def stall(after: int) -> Fault:
    """Announce everything, send some, then nothing until the server closes."""

    def fault(handler: Handler, origin: Origin) -> bool:
        start = handler.start_of_range()
        handler.head(start, len(origin.content) - start)
        handler.wfile.write(origin.content[start : start + after])
        handler.wfile.flush()
        origin.closing.wait(60)
        handler.close_connection = True
        return True

    return fault


def status(code: int) -> Fault:
    """An error without content."""

    def fault(handler: Handler, origin: Origin) -> bool:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return fault


def corrupt(handler: Handler, origin: Origin) -> bool:
    """The right length, one wrong byte at the end."""
    start = handler.start_of_range()
    body = bytearray(origin.content[start:])
    body[-1] ^= 0xFF
    handler.head(start, len(body))
    handler.wfile.write(body)
    return True


def replace(content: bytes) -> Fault:
    """From this request on the file is another one."""

    def fault(handler: Handler, origin: Origin) -> bool:
        origin.content = content
        return False

    return fault


@contextmanager
def served(origin: Origin) -> Iterator[Origin]:
    """Serve on a free port of the loopback."""
    handler = type("OneHandler", (Handler,), {"origin": origin})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        origin.url = f"http://127.0.0.1:{server.server_address[1]}/"
        try:
            yield origin
        finally:
            origin.closing.set()
            server.shutdown()
            thread.join()
