"""The SSH connections to one machine: one, and further ones while a server allows no more sessions on it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko  # type: ignore[import-untyped]

from core.errors import ConnectFailed, ConnectionLost, HostError
from hosts.ssh_channel import BROKEN, SESSION_WAIT, NotOpened, begin
from hosts.ssh_connect import SshTarget, connect
from hosts.ssh_link import SshLink

MOST_LINKS = 8
NOT_REACHED = 2  # RFC 4254's reason "connect failed"
POLL_SECONDS = 0.1


class PortsRefused(Exception):
    """The server forwards no ports, or not this one."""


class NothingListens(HostError):
    """Nothing listens at a port of the machine."""


class Links:
    """Connections that are opened when they are needed. Threads may share them."""

    def __init__(self, target: SshTarget, notice: Callable[[str], None]) -> None:
        self.name = target.name
        self._target = target
        self._notice = notice
        self._lock = threading.RLock()
        self._links: list[SshLink] = []
        self._lost: tuple[float, str] | None = None  # why a connection died, and until when what fails may be for that

    def first(self) -> SshLink:
        """A connection that stands, as far as is known; a new one where there is none.

        Raises:
            ConnectFailed: there is none to be had.
        """
        with self._lock:
            self._drop_dead()
            if not self._links:
                self._links.append(connect(self._target, self._notice))
            return self._links[0]

    def open_session(self, line: str, wait: float = SESSION_WAIT) -> Any:
        """Begin a command, on a new connection where the old ones have as many sessions as their server allows.

        Args:
            line: what the login shell gets.
            wait: seconds in which a session must become free where there can be no further connection.

        Raises:
            HostError: no further session, or the server runs no command.
            ConnectFailed: the connection has died, and there is no other to be had.
            paramiko.SSHException, EOFError, OSError: it died while the command began.
        """
        give_up = time.monotonic() + wait
        while True:
            self.first()
            for link in list(self._links):
                try:
                    channel = link.open_channel("session")
                except (NotOpened, *BROKEN):
                    continue  # it is dead, and `first` drops it; or it has as many as it may
                begin(channel, line, self.name, link.answers)
                return channel
            if not self._one_more() and time.monotonic() > give_up:
                raise HostError(
                    f"{self.name}: the SSH server opened no further session for {wait:.0f} s, and no further "
                    "connection; raise MaxSessions in its sshd_config"
                )

    def open_port(self, address: str, port: int) -> Any:
        """Open a channel to a port of the machine.

        Raises:
            PortsRefused: the server does not forward it.
            NothingListens: the machine refuses the connection.
            ConnectFailed, ConnectionLost: the machine is gone.
        """
        try:
            return self.first().open_channel("direct-tcpip", (address, port), ("127.0.0.1", 0))
        except paramiko.ChannelException as error:
            if error.code == NOT_REACHED:
                raise NothingListens(f"{self.name}: nothing listens on {address} port {port}") from None
            raise PortsRefused from None
        except NotOpened as error:
            raise ConnectionLost(f"{self.name}: the connection was lost ({error})") from None
        except BROKEN as error:
            raise HostError(f"{self.name}: the SSH server did not open the port in time ({error})") from None

    def lost(self) -> str | None:
        """Why the connection is gone, where it is, or was just now. Takes as long as the keep-alive does at most."""
        for link in list(self._links):
            link.answers()
        with self._lock:
            self._drop_dead()
            until, why = self._lost or (-math.inf, None)
        return why if time.monotonic() < until else None

    def close(self) -> None:
        """End all of them; the next call begins anew."""
        with self._lock:
            for link in self._links:
                link.close()
            self._links, self._lost = [], None

    def _drop_dead(self) -> None:
        for link in [one for one in self._links if not one.is_active]:
            self._lost = (time.monotonic() + link.patience, link.gone)
            self._links.remove(link)
            link.close()

    def _one_more(self) -> bool:
        """Open a further connection, which is kept; else wait a little, for a session or for another thread's."""
        with self._lock:
            if len(self._links) < MOST_LINKS:
                try:
                    self._links.append(connect(self._target, self._notice))
                except ConnectFailed:
                    pass  # a server may limit logins too
                else:
                    return True
        time.sleep(POLL_SECONDS)
        return False
