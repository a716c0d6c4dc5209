"""The way to a server's SSH port: a socket, each step with a time limit; or through a jump host or a program."""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING, Any

import paramiko  # type: ignore[import-untyped]

from core.errors import ConnectFailed
from hosts.ssh_channel import BROKEN, NotOpened
from hosts.ssh_proxy import ProxySocket

if TYPE_CHECKING:
    from hosts.ssh_link import SshLink

PROHIBITED = 1  # RFC 4254's reason "administratively prohibited"


def dial_through(name: str, jump: SshLink, host: str, port: int) -> Any:
    """Reach a port from a jump host.

    Args:
        name: of the machine, for messages.
        jump: the connection to the jump host.
        host, port: as the jump host knows them.

    Raises:
        ConnectFailed: it is not reached.
    """
    where = f"{host} port {port}"
    try:
        return jump.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0))
    except paramiko.ChannelException as error:
        if error.code == PROHIBITED:
            raise ConnectFailed(
                f"{name}: the jump host lets no connection to {where} through ({error.text}); its sshd_config must "
                "allow it (AllowTcpForwarding, PermitOpen)"
            ) from None
        raise ConnectFailed(_not_reached(name, where, error)) from None
    except (NotOpened, *BROKEN) as error:
        raise ConnectFailed(_not_reached(name, where, error)) from None


def dial_program(name: str, command: str) -> ProxySocket:
    """Start a `ProxyCommand`.

    Raises:
        ConnectFailed: it cannot be started.
    """
    try:
        return ProxySocket(command)
    except OSError as error:
        raise ConnectFailed(f"{name}: `ProxyCommand {command}` cannot be started: {reason_of(error)}") from None


def dial(name: str, host: str, port: int, timeout: float) -> socket.socket:
    """Connect to a port over the network.

    Args:
        name: of the machine, for messages.
        timeout: seconds for the name, and again for each address.

    Raises:
        ConnectFailed: it is not reached; the text says why.
    """
    where = f"{host} port {port}"
    try:
        sock = _reach(_addresses(name, host, port, timeout), timeout)
    except TimeoutError:
        raise ConnectFailed(
            f"{name}: no answer from {where} within {timeout:g} s; "
            "is the machine on, and is a VPN or a firewall in the way?"
        ) from None
    except ConnectionRefusedError:
        raise ConnectFailed(
            f"{name}: nothing listens on {where}; does the SSH server run there, and is the port right?"
        ) from None
    except OSError as error:
        raise ConnectFailed(
            f"{name}: {where} cannot be reached ({reason_of(error)}); is the network or the VPN up?"
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def reason_of(error: BaseException) -> str:
    """The system's or the server's own words."""
    if isinstance(error, paramiko.ChannelException):
        return str(error.text)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _not_reached(name: str, where: str, error: BaseException) -> str:
    return (
        f"{name}: the jump host cannot reach {where} ({reason_of(error)}); "
        "is the name right as the jump host knows it, and is the machine on?"
    )


def _addresses(name: str, host: str, port: int, timeout: float) -> list[tuple[Any, ...]]:
    """Resolve a name within the time limit: the system's resolver may take minutes when DNS is dead."""
    answers: queue.SimpleQueue[list[tuple[Any, ...]] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=ask, daemon=True, name=f"resolve {host}").start()
    advice = "check the spelling and this machine's DNS, or give an address"
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise ConnectFailed(f"{name}: the name {host} was not resolved within {timeout:g} s; {advice}") from None
    if isinstance(answer, OSError):
        raise ConnectFailed(f"{name}: the name {host} is not known ({reason_of(answer)}); {advice}") from None
    return answer


def _reach(addresses: list[tuple[Any, ...]], timeout: float) -> socket.socket:
    """Connect to the first address that takes it; the error is the last one's."""
    last: OSError = OSError("no address")
    for family, kind, protocol, _name, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last
