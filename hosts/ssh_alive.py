"""Whether the machine at the other end of an SSH connection still answers.

paramiko's keep-alive asks for no answer, and TCP only hears of the next machine: behind a jump host or a proxy, one
that has gone away looks like one that is silent.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko  # type: ignore[import-untyped]

MISSED = 3
POLL_SECONDS = 0.05
QUESTION = "keepalive@openssh.com"


class Listening:
    """A socket that knows when something last came in."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.heard_at = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """See `socket.recv`."""
        data: bytes = self._sock.recv(size)
        if data:
            self.heard_at = time.monotonic()
        return data


class KeepAlive:
    """Asks the server now and then, and closes a connection on which nothing came for too long."""

    def __init__(self, transport: Any, socket: Listening, interval: float, notice: Callable[[str], None]) -> None:
        """Begin.

        Args:
            transport: paramiko's, logged in.
            socket: the one below it.
            interval: seconds between two questions. After `MISSED` times that without a sign the machine is gone.
            notice: called once, with the reason, when the machine counts as gone: who waits may hear of it later.
        """
        self._transport = transport
        self._socket = socket
        self._interval = interval
        self._notice = notice
        self._ask = threading.Event()
        self.limit = MISSED * interval  # seconds
        self.gone: str | None = None
        for work in (self._question, self._watch):
            threading.Thread(target=work, daemon=True, name="ssh keep-alive").start()

    def answers(self) -> bool:
        """Ask now. Returns with the first sign of life, or when the machine counts as gone."""
        began = time.monotonic()
        self._ask.set()
        while self._transport.is_active():
            if self._socket.heard_at > began:
                return True
            time.sleep(POLL_SECONDS)
        return False

    def end(self) -> None:
        """Ask no more; to be called when the connection was closed."""
        self._ask.set()

    def _question(self) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            while self._transport.is_active():
                self._ask.wait(self._interval)
                self._ask.clear()
                self._transport.global_request(QUESTION, wait=True)  # until it is answered, or the connection closed

    def _watch(self) -> None:
        while self._transport.is_active():
            quiet = time.monotonic() - self._socket.heard_at
            if quiet >= self.limit:
                self.gone = f"nothing came from there for {quiet:.0f} s"
                self._transport.close()
                self._notice(self.gone)
                return
            pause, began = min(self.limit - quiet, 1.0) + POLL_SECONDS, time.monotonic()
            time.sleep(pause)
            if time.monotonic() - began > pause + self._interval:  # this process was stopped and read nothing
                self._socket.heard_at = time.monotonic()
