"""A stretch of network between us and a server that can be cut without a word to either side."""

from __future__ import annotations

import contextlib
import math
import socket
import threading

CHUNK = 65536
POLL = 0.1


class TcpRelay:
    """Listens on `port` of 127.0.0.1 and carries bytes to another port there, until it is cut.

    `cut_after`: how many bytes it carries before it is.

    After that it still takes connections and bytes, as a jump host does whose machine behind it has gone away.
    """

    def __init__(self, to: int, cut_after: float = math.inf) -> None:
        self._to = to
        self._left = cut_after
        self._cut = threading.Event()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Swallow everything from now on."""
        self._cut.set()

    def mend(self) -> None:
        """Carry what new connections send; what was swallowed is lost."""
        self._cut.clear()

    def close(self) -> None:
        """End all connections."""
        self._ended.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            for pair in ((near, far), (far, near)):
                thread = threading.Thread(target=self._carry, args=pair, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        source.settimeout(POLL)
        swallowed = False
        with source, contextlib.suppress(OSError):
            while not self._ended.is_set():
                try:
                    data = source.recv(CHUNK)
                except TimeoutError:
                    continue
                swallowed = swallowed or self._cut.is_set()
                if not data and not swallowed:
                    target.shutdown(socket.SHUT_WR)
                if not data:
                    return
                if not swallowed:
                    target.sendall(data)
                self._left -= len(data)
                if self._left <= 0:
                    self.cut()
