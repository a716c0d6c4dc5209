"""Sockets of this machine that lead to another one: each connection is joined to a channel of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import HostError
from hosts.ssh_channel import BROKEN, CHUNK, send_all

POLL_SECONDS = 0.2
END_SECONDS = 5.0


@dataclass(frozen=True)
class OtherEnd:
    """A channel to the other machine, and what it has said already."""

    channel: Any
    greeting: bytes = b""


Dial = Callable[[], OtherEnd]


class Forwarder:
    """Accepts connections until it is closed. One that leads nowhere is closed at once, as by a dead server."""

    def __init__(self, listener: socket.socket, dial: Dial) -> None:
        self._listener = listener
        self._dial = dial
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._joined: dict[threading.Thread, tuple[socket.socket, Any]] = {}
        listener.settimeout(POLL_SECONDS)  # closing a socket does not wake who waits for it
        self._acceptor = threading.Thread(target=self._accept, daemon=True, name="forwarding")
        self._acceptor.start()

    def close(self) -> None:
        """End all connections and stop listening."""
        self._closing.set()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            joined = dict(self._joined)
        for connection, channel in joined.values():
            _hang_up(connection)
            if channel is not None:
                channel.close()
        for thread in joined:
            thread.join(END_SECONDS)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True, name="forwarded")
            with self._lock:
                self._joined[thread] = (connection, None)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        thread = threading.current_thread()
        with connection:
            try:
                other = self._dial()
                with self._lock:
                    self._joined[thread] = (connection, other.channel)
                if self._closing.is_set():
                    other.channel.close()
                pump(connection, other)
            except (HostError, *BROKEN):
                pass  # whoever connected sees a closed connection, and has a deadline of its own
            finally:
                with self._lock:
                    self._joined.pop(thread, None)


def pump(connection: socket.socket, other: OtherEnd) -> None:
    """Carry bytes both ways until both ends are done; one that has said all may still listen."""
    channel = other.channel
    upward = threading.Thread(target=_send, args=(connection, channel), daemon=True, name="forwarded up")
    upward.start()
    with contextlib.suppress(*BROKEN):
        if other.greeting:
            connection.sendall(other.greeting)
        while data := channel.recv(CHUNK):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        channel.status_event.wait()  # set when the channel closes, or the command behind it has ended
    channel.close()
    _hang_up(connection)
    upward.join()


def _send(connection: socket.socket, channel: Any) -> None:
    try:
        while data := connection.recv(CHUNK):
            send_all(channel, data)
        channel.shutdown_write()
    except BROKEN:
        channel.close()


def _hang_up(connection: socket.socket) -> None:
    """Wake whoever reads from the socket; closing it would not."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def listen_on_port(port: int = 0) -> socket.socket:
    """Listen on 127.0.0.1.

    Args:
        port: 0 takes a free one.

    Raises:
        HostError: another program listens there.
    """
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = "end what uses it, or name another port"
        else:
            advice = "name another port (below 1024 only root may)"
        reason = os.strerror(error.errno or 0)  # Python adds more to its own
        raise HostError(f"this machine: cannot listen on 127.0.0.1 port {port}: {reason}; {advice}") from None


class ForwardedSocket:
    """A unix socket of this machine, in a folder that only this user may enter, that leads to another machine."""

    def __init__(self, dial: Dial) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="labelrig-"))
        self.path = str(self._folder / "docker.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self.path)
            os.chmod(self.path, 0o600)
            listener.listen()
        except OSError as error:
            listener.close()
            shutil.rmtree(self._folder)
            raise HostError(f"this machine: cannot listen on {self.path}: {error}; is TMPDIR too long?") from None
        self._forwarder = Forwarder(listener, dial)

    def close(self) -> None:
        """End all connections and remove the socket."""
        self._forwarder.close()
        shutil.rmtree(self._folder, ignore_errors=True)
