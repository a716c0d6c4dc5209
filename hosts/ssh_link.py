"""One open SSH connection."""

from __future__ import annotations

import threading
from typing import Any

import paramiko  # type: ignore[import-untyped]

from hosts.ssh_alive import KeepAlive
from hosts.ssh_channel import BROKEN, NotOpened

CLOSED = "it was closed from there"


class SshLink:
    """An open connection, and those to the jump hosts that it goes through."""

    def __init__(self, connection: Any, through: SshLink | None) -> None:
        self._connection = connection
        self._through = through
        self._opening = threading.Lock()
        self._alive: KeepAlive | None = None

    def watch(self, alive: KeepAlive) -> None:
        """Take the connection's keep-alive; it ends with it."""
        self._alive = alive

    @property
    def transport(self) -> Any:
        """paramiko's transport."""
        return self._connection.transport

    @property
    def user(self) -> str:
        """Who is logged in."""
        return str(self._connection.user)

    @property
    def is_active(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        return bool(self._connection.is_connected)

    @property
    def gone(self) -> str:
        """Why it does not stand any more."""
        return (self._alive.gone if self._alive is not None else None) or CLOSED

    @property
    def patience(self) -> float:
        """Seconds without a sign after which the machine counts as gone."""
        return self._alive.limit if self._alive is not None else 0.0

    def answers(self) -> bool:
        """Whether the machine answers, asked now; see `KeepAlive.answers`."""
        return self._alive is not None and self._alive.answers()

    def open_channel(self, kind: str, to: tuple[str, int] | None = None, source: tuple[str, int] | None = None) -> Any:
        """Open a channel. One at a time: of several, paramiko gives the refusal of one to another.

        Raises:
            NotOpened: the connection is dead.
            paramiko.ChannelException: the server refuses it.
            paramiko.SSHException: the server did not answer in time, and is there.
        """
        with self._opening:
            try:
                return self.transport.open_channel(kind, to, source)
            except paramiko.ChannelException:
                raise
            except BROKEN:
                if self.answers():
                    raise
        self.transport.join(1.0)  # it is known as dead after it has closed its channels
        raise NotOpened(self.gone)

    def close(self) -> None:
        """End it. More than once does no harm."""
        self._connection.client.close()
        if self._alive is not None:
            self._alive.end()
        if self._through is not None:
            self._through.close()
