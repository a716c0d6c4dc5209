"""Opens SSH connections: host keys enforced, every step with a time limit, jump hosts treated like any other.

Fabric's own way accepts unknown host keys, also those of jump hosts, and sets no time limit.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fabric import Config, Connection
from pydantic import SecretStr

from core.errors import ConnectFailed, HostError, SettingsError
from hosts.known_hosts import SYSTEM_FILE, HostKeyPolicy, KnownHosts, known_name
from hosts.ssh_login import DEFAULT_KEYS, Login

USER_KNOWN_HOSTS = Path("~/.ssh/known_hosts")
MISSED_KEEPALIVES = 3


@dataclass(frozen=True)
class SshTarget:
    """A machine and how to get there. What is None comes from ssh_config, then from OpenSSH's defaults.

    `jump` is `user@host:port`, several with commas, the nearest first. `known_hosts` is read besides
    ~/.ssh/known_hosts, and new keys go there.
    """

    name: str
    address: str
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    jump: str | None = None
    known_hosts: Path | None = None
    connect_timeout: float = 10
    keepalive: int = 15
    accept_new_host_key: bool = False
    ssh_password: SecretStr | None = None
    key_passphrase: SecretStr | None = None
    sudo_password: SecretStr | None = None


class SshLink:
    """An open connection, and those to the jump hosts that it goes through."""

    def __init__(self, connection: Any, through: SshLink | None) -> None:
        self._connection = connection
        self._through = through

    @property
    def transport(self) -> Any:
        """paramiko's transport: channels are opened on it, by several threads if need be."""
        return self._connection.transport

    @property
    def user(self) -> str:
        """Who is logged in."""
        return str(self._connection.user)

    @property
    def is_active(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        return bool(self._connection.is_connected)

    def close(self) -> None:
        """End it. More than once does no harm."""
        self._connection.client.close()
        if self._through is not None:
            self._through.close()


def connect(target: SshTarget, notice: Callable[[str], None]) -> SshLink:
    """Open a connection.

    Args:
        target: where to.
        notice: called when a host key was recorded.

    Raises:
        HostKeyRefused: the server's key, or a jump host's, is not one that we trust.
        LoginRefused: a server does not let the user in.
        ConnectFailed: for any other reason; the text says which.
    """
    # It logs every failure with a traceback; ours are said once, by the errors.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    config = _ssh_config()
    settings = config.base_ssh_config.lookup(target.address)
    jumps = target.jump or settings.get("proxyjump") or ""
    through: SshLink | None = None
    try:
        for hop in jumps.split(",") if jumps.lower() not in ("", "none") else ():
            through = _open(_jump_target(target, hop.strip()), config, through, notice)
        return _open(target, config, through, notice)
    except BaseException:
        if through is not None:
            through.close()
        raise


def _ssh_config() -> Config:
    try:
        return Config()
    except (paramiko.SSHException, OSError, ValueError) as error:
        raise SettingsError(f"this machine: the SSH configuration cannot be read: {error}") from None


def _jump_target(target: SshTarget, hop: str) -> SshTarget:
    user, _, place = hop.rpartition("@")
    address, colon, port = place.rpartition(":") if place.count(":") == 1 else (place, "", "")
    if not address or (colon and not port.isdigit()):
        raise SettingsError(f"{target.name}: jump host {hop!r} is not of the form user@host:port")
    return replace(
        target,
        name=f"{target.name} (jump host {address})",
        address=address,
        user=user or None,
        port=int(port) if port else None,
        ssh_password=None,  # the machine's password is none of the jump host's business
    )


def _open(target: SshTarget, config: Config, through: SshLink | None, notice: Callable[[str], None]) -> SshLink:
    connection = Connection(
        target.address,
        user=target.user,
        port=target.port,
        config=config,
        gateway=False,
        forward_agent=False,
        connect_timeout=max(1, math.ceil(target.connect_timeout)),
    )
    files = [target.known_hosts] if target.known_hosts is not None else []
    name = connection.ssh_config.get("hostkeyalias") or known_name(connection.host, connection.port)
    known = KnownHosts([file.expanduser() for file in (*files, USER_KNOWN_HOSTS, SYSTEM_FILE)])
    policy = HostKeyPolicy(target.name, name, known, target.accept_new_host_key, notice)
    preferred = policy.preferred_algorithms()
    connection.client.set_missing_host_key_policy(policy)
    link = SshLink(connection, through)
    where = f"{connection.host} port {connection.port}"
    sock = _dial(target, connection, through, where)
    connection.connect_kwargs = {
        "sock": sock,
        "auth_strategy": _login(target, connection, where),
        "transport_factory": lambda sock, **kwargs: _transport(sock, preferred, **kwargs),
        "banner_timeout": target.connect_timeout,
        "auth_timeout": target.connect_timeout,
        "channel_timeout": target.connect_timeout,
    }
    try:
        connection.open()
        connection.transport.set_keepalive(target.keepalive)
    except HostError:
        connection.client.close()
        raise
    except (paramiko.SSHException, EOFError, OSError) as error:
        connection.client.close()
        raise ConnectFailed(_no_ssh(target, where, error)) from None
    except BaseException:
        connection.client.close()
        raise
    finally:
        if not link.is_active:
            sock.close()
    return link


def _login(target: SshTarget, connection: Connection, where: str) -> Login:
    configured = [Path(path).expanduser() for path in connection.ssh_config.get("identityfile", [])]
    usual = [Path("~/.ssh").expanduser() / name for name in DEFAULT_KEYS]
    return Login(
        server=target.name,
        where=where,
        user=connection.user,
        key=target.key.expanduser() if target.key is not None else None,
        other_keys=[path for path in configured or usual if path.exists()],
        use_agent=target.key is None and connection.ssh_config.get("identitiesonly", "no").lower() != "yes",
        passphrase=target.key_passphrase,
        password=target.ssh_password,
    )


def _transport(sock: Any, preferred: list[str], **kwargs: Any) -> Any:
    transport = paramiko.Transport(sock, **kwargs)
    options = transport.get_security_options()
    first = [kind for kind in preferred if kind in options.key_types]
    options.key_types = (*dict.fromkeys(first), *(kind for kind in options.key_types if kind not in first))
    return transport


def _dial(target: SshTarget, connection: Connection, through: SshLink | None, where: str) -> Any:
    """A socket, or what behaves like one, to the server's SSH port."""
    if through is not None:
        try:
            return through.transport.open_channel(
                "direct-tcpip", (connection.host, connection.port), ("127.0.0.1", 0), timeout=target.connect_timeout
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise ConnectFailed(
                f"{target.name}: the jump host cannot reach {where} ({_reason(error)}); "
                "is the name right as the jump host knows it, and is the machine on?"
            ) from None
    if command := connection.ssh_config.get("proxycommand"):
        raise ConnectFailed(
            f"{target.name}: ssh_config says `ProxyCommand {command}`, which is not supported; "
            "use ProxyJump there, or `jump:` in the inventory"
        )
    try:
        sock = _reach(_addresses(target, connection.host, connection.port), target.connect_timeout)
    except TimeoutError:
        raise ConnectFailed(
            f"{target.name}: no answer from {where} within {target.connect_timeout:g} s; "
            "is the machine on, and is a VPN or a firewall in the way?"
        ) from None
    except ConnectionRefusedError:
        raise ConnectFailed(
            f"{target.name}: nothing listens on {where}; does the SSH server run there, and is the port right?"
        ) from None
    except OSError as error:
        raise ConnectFailed(
            f"{target.name}: {where} cannot be reached ({_reason(error)}); is the network or the VPN up?"
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _notice_a_dead_peer(sock, target.keepalive)
    return sock


def _addresses(target: SshTarget, host: str, port: int) -> list[tuple[Any, ...]]:
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
        answer = answers.get(timeout=target.connect_timeout)
    except queue.Empty:
        raise ConnectFailed(
            f"{target.name}: the name {host} was not resolved within {target.connect_timeout:g} s; {advice}"
        ) from None
    if isinstance(answer, OSError):
        raise ConnectFailed(f"{target.name}: the name {host} is not known ({_reason(answer)}); {advice}") from None
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


def _notice_a_dead_peer(sock: socket.socket, keepalive: int) -> None:
    """Let the kernel end a connection whose packets are not acknowledged: paramiko's keep-alive asks for no answer."""
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, MISSED_KEEPALIVES * keepalive * 1000)


def _no_ssh(target: SshTarget, where: str, error: BaseException) -> str:
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return f"{target.name}: {where} and we have no SSH algorithm in common ({error}); is its OpenSSH very old?"
    return (
        f"{target.name}: {where} takes connections but does not answer as an SSH server within "
        f"{target.connect_timeout:g} s ({_reason(error)}); is the port right, and is the machine overloaded?"
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, paramiko.ChannelException):
        return str(error.text)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
