"""A machine that writes down everything asked of it, to prove that a plan changes nothing."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from hosts.base import DEFAULT_TIMEOUT, Host, Result
from tests.read_only import is_read_only, is_reading_request

CHUNK = 65536
LONGEST_REQUEST = 16384
# Anywhere: a body need not end with a line break. A body that holds such a line is heard too, which errs on our side.
REQUEST = re.compile(rb"((?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE) \S+) HTTP/1\.[01]\r\n")


@dataclass(frozen=True)
class Call:
    """One command. `stdin` is None where it was a stream, of which nothing is known."""

    argv: tuple[str, ...]
    as_root: bool
    stdin: bytes | None = b""

    def __str__(self) -> str:
        return shlex.join(self.argv) + (" (as root)" if self.as_root else "")


class RecordingHost:
    """Passes everything on to another host, and keeps what was asked.

    Also what goes through its forwarded ports and the engine's socket: the method and path of each HTTP request.
    Threads may share it: a list takes one thing at a time.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._engine: _Tap | None = None
        self.name = host.name
        self.calls: list[Call] = []
        self.reads: list[str] = []
        self.writes: list[str] = []
        self.reconnects = 0
        self.engine_requests: list[str] = []
        self.web_requests: list[str] = []

    @property
    def is_local(self) -> bool:
        return self._host.is_local

    @property
    def commands(self) -> list[tuple[tuple[str, ...], bool]]:
        """Each command, and whether it ran as root."""
        return [(call.argv, call.as_root) for call in self.calls]

    def run(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | IO[bytes] | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
        as_root: bool = False,
    ) -> Result:
        known = stdin if isinstance(stdin, bytes) else b"" if stdin is None else None
        self.calls.append(Call(argv, as_root, known))
        return self._host.run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail, as_root=as_root)

    def read(self, path: str, *, as_root: bool = False) -> bytes | None:
        self.reads.append(path)
        return self._host.read(path, as_root=as_root)

    def write(self, path: str, content: bytes, mode: int = 0o644, *, as_root: bool = False) -> None:
        self.writes.append(path)
        self._host.write(path, content, mode, as_root=as_root)

    @contextlib.contextmanager
    def forwarded(self, port: int, address: str = "127.0.0.1") -> Iterator[str]:
        with self._host.forwarded(port, address) as url:
            to = urlsplit(url)
            there = (str(to.hostname), int(to.port or 80))
            listener = socket.create_server(("127.0.0.1", 0))
            tap = _Tap(listener, lambda: socket.create_connection(there), self.web_requests.append)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                tap.close()

    def check_ways(self, port: int, address: str = "127.0.0.1") -> None:
        self._host.check_ways(port, address)

    def lost(self) -> str | None:
        return self._host.lost()

    def docker_socket(self) -> str | None:
        path = self._host.docker_socket()
        if path is None:
            return None
        if self._engine is None:
            self._engine = _socket_tap(path, self.engine_requests.append)
        return str(self._engine.path)

    def reconnect(self) -> bool:
        self.reconnects += 1
        return self._host.reconnect()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._host.close()


def changes_in(recorder: RecordingHost) -> list[str]:
    """Everything that was asked and may change something, in words; empty: it was a look and nothing else."""
    return [
        *(str(call) for call in recorder.calls if not is_read_only(call.argv, call.stdin)),
        *(f"write {path}" for path in recorder.writes),
        *(f"docker engine: {one}" for one in recorder.engine_requests if not is_reading_request(one)),
        *(f"Label Studio: {one}" for one in recorder.web_requests if not is_reading_request(one)),
        *(["reconnect"] if recorder.reconnects else []),
    ]


class _Tap:
    """A socket that leads to another one, and says what is asked on the way."""

    def __init__(
        self, listener: socket.socket, dial: Callable[[], socket.socket], hear: Callable[[str], None], path: str = ""
    ) -> None:
        self.path = path
        self._listener = listener
        self._dial = dial
        self._hear = hear
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        listener.settimeout(0.1)
        self._acceptor = self._start(self._accept)

    def close(self) -> None:
        self._closing.set()
        self._acceptor.join()
        self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        if self.path:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)

    def _start(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            near.settimeout(None)
            self._threads.append(self._start(self._serve, near))

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), self._dial() as far:
            self._open |= {near, far}
            answers = self._start(_carry, far, near)
            _carry(near, far, self._listen())
            answers.join()
            self._open -= {near, far}

    def _listen(self) -> Callable[[bytes], None]:
        rest = b""

        def look(data: bytes) -> None:
            nonlocal rest
            seen = rest + data
            for found in REQUEST.finditer(seen):
                self._hear(found[1].decode("ascii", "replace"))
            rest = seen.rpartition(b"\n")[2][-LONGEST_REQUEST:]

        return look


def _carry(source: socket.socket, target: socket.socket, look: Callable[[bytes], None] = lambda _data: None) -> None:
    try:
        while data := source.recv(CHUNK):
            look(data)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _socket_tap(path: str, hear: Callable[[str], None]) -> _Tap:
    def dial() -> socket.socket:
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            far.connect(path)
        except OSError:
            far.close()
            raise
        return far

    own = f"{tempfile.mkdtemp(prefix='labelrig-tap-')}/docker.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(own)
    listener.listen()
    return _Tap(listener, dial, hear, own)
