"""Ways to what listens on a machine behind SSH: its ports, and a program there that joins its streams to something."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from core.errors import ConnectionLost, HostError
from hosts.forwarding import OtherEnd
from hosts.port_relay import REFUSED, relay_command
from hosts.ssh_channel import BROKEN, CHUNK, send_all, shell_line
from hosts.ssh_links import Links, NothingListens, PortsRefused

TOKEN_SECONDS = 30.0


class ClosedAtOnce(Exception):
    """A program that was to carry bytes ended before it began to; the text is what it said last."""


def dial_program(
    links: Links, argv: Sequence[str], token: bytes, first_bytes: bytes = b"", *, count: int = 0
) -> OtherEnd:
    """Begin a program whose standard streams lead somewhere.

    Args:
        links: the connections to the machine.
        argv: the program, with what stands in front of it.
        token: see `hosts.ssh_channel.shell_line`.
        first_bytes: sent before anything else.
        count: how many bytes the program says at first, for which is waited.

    Raises:
        ClosedAtOnce: it did not come so far.
        ConnectionLost: the connection died, or the program does not begin.
    """
    channel = links.open_session(shell_line(f"exec {shlex.join(argv)}", token))
    try:
        send_all(channel, first_bytes)
        channel.settimeout(TOKEN_SECONDS)
        heard = b""
        while token not in heard or len(heard.partition(token)[2]) < count:
            data = channel.recv(CHUNK)
            if not data:
                raise ClosedAtOnce(_last_words(channel, token))
            heard += data
        channel.settimeout(None)
    except BROKEN as error:
        channel.close()
        raise ConnectionLost(f"{links.name}: the connection was lost ({links.lost() or error})") from None
    except BaseException:
        channel.close()
        raise
    return OtherEnd(channel, heard.partition(token)[2])


class Ports:
    """The ports of a machine: forwarded by its SSH server, else carried over a session."""

    def __init__(self, links: Links, token: bytes, environment: Callable[[], Sequence[str]]) -> None:
        """Keep what is needed; nothing is asked yet.

        Args:
            links: the connections to the machine.
            token: see `hosts.ssh_channel.shell_line`.
            environment: what stands in front of a command, new for each.
        """
        self._links = links
        self._token = token
        self._environment = environment
        self._refused = False

    def check(self, port: int, address: str) -> None:
        """Find out how a port is reached, whether or not something listens there.

        Raises:
            HostError: there is no way.
        """
        with contextlib.suppress(NothingListens):
            self.dial(port, address).channel.close()

    def dial(self, port: int, address: str) -> OtherEnd:
        """Connect to `port` of one of the machine's own addresses.

        Raises:
            NothingListens: the machine refuses the connection.
            HostError: there is no way to its ports.
            ConnectFailed, ConnectionLost: the machine is gone.
        """
        if not self._refused:
            try:
                return OtherEnd(self._links.open_port(address, port))
            except PortsRefused:
                self._refused = True
        try:
            argv = (*self._environment(), *relay_command(address, port))
            other = dial_program(self._links, argv, self._token, count=1)
        except ClosedAtOnce as error:
            raise HostError(
                f"{self._links.name}: the SSH server forwards no port (AllowTcpForwarding in its sshd_config), and "
                f"perl, which would carry it over a session, does not run there ({error}); `apt-get install perl-base` "
                "there, or allow the user `AllowTcpForwarding local`"
            ) from None
        answer, rest = other.greeting[:1], other.greeting[1:]
        if answer == REFUSED:
            other.channel.close()
            raise NothingListens(f"{self._links.name}: nothing listens on {address} port {port}")
        return OtherEnd(other.channel, rest)


def _last_words(channel: Any, token: bytes) -> str:
    with contextlib.suppress(*BROKEN):
        said = bytes(channel.recv_stderr(CHUNK)).rpartition(token)[2].decode("utf-8", "replace")
        return (said.strip().splitlines() or ["it says nothing"])[-1].strip()
    return "it says nothing"
