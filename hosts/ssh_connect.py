"""Opens SSH connections: host keys enforced, every step with a time limit, jump hosts treated like any other.

Fabric's own way accepts unknown host keys, also those of jump hosts, and sets no time limit.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fabric import Config, Connection
from pydantic import SecretStr

from core.errors import ConnectFailed, HostError, SettingsError
from hosts.known_hosts import HostKeyPolicy, KnownHosts, known_name
from hosts.ssh_alive import KeepAlive, Listening
from hosts.ssh_channel import BROKEN
from hosts.ssh_config import HostConfig, read_config
from hosts.ssh_dial import dial, dial_program, dial_through, reason_of
from hosts.ssh_link import SshLink
from hosts.ssh_login import Login
from hosts.ssh_proxy import ProxySocket

KEEPALIVE = 15  # seconds
# As OpenSSH has it; an IPv6 address is in brackets.
JUMP = re.compile(r"(ssh://)?((?P<user>.+)@)?((?P<name>[^:\[\]@/]+)|\[(?P<address>[^\[\]]+)\])(:(?P<port>[0-9]+))?/?")


@dataclass(frozen=True)
class SshTarget:
    """A machine and how to get there. What is None comes from the SSH configuration.

    `jump` is `user@host:port`, several with commas, the nearest first. `known_hosts` is read besides
    ~/.ssh/known_hosts, and new keys go there. `keepalive`: seconds between two questions whether the machine is there.
    """

    name: str
    address: str
    user: str | None = None
    port: int | None = None
    key: Path | None = None
    jump: str | None = None
    known_hosts: Path | None = None
    connect_timeout: float = 10
    keepalive: int | None = None
    accept_new_host_key: bool = False
    ssh_password: SecretStr | None = None
    key_passphrase: SecretStr | None = None
    sudo_password: SecretStr | None = None


def connect(target: SshTarget, notice: Callable[[str], None], seen: Sequence[str] = ()) -> SshLink:
    """Open a connection.

    Args:
        target: where to.
        notice: called when a host key was recorded, and when the machine does not answer any more.
        seen: the machines that are reached through this one.

    Raises:
        HostKeyRefused: the server's key, or a jump host's, is not one that we trust.
        LoginRefused: a server does not let the user in.
        ConnectFailed: for any other reason; the text says which.
        SettingsError: the SSH configuration cannot be used.
    """
    # It logs every failure with a traceback; ours are said once, by the errors.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    config = read_config(target.name, target.address, target.user, target.port)
    way = target.jump if target.jump is not None else config.jump
    jumps = [_jump_target(target, hop.strip()) for hop in way.split(",")] if way.lower() not in ("", "none") else []
    seen = (*seen, target.address)
    if len(seen) > 1 and any(jump.address in seen for jump in jumps):
        jumps = []  # a `ProxyJump` for all hosts speaks of the jump host too
    through: SshLink | None = None
    try:
        for jump in jumps:
            # As for OpenSSH: the first may need jump hosts of its own, the others are reached from the one before.
            if through is None:
                through = connect(jump, notice, seen)
            else:
                through = _open(jump, read_config(jump.name, jump.address, jump.user, jump.port), through, notice)
        return _open(target, config, through, notice)
    except BaseException:
        if through is not None:
            through.close()
        raise


def _jump_target(target: SshTarget, hop: str) -> SshTarget:
    found = JUMP.fullmatch(hop)
    if found is None:
        raise SettingsError(f"{target.name}: jump host {hop!r} is not of the form user@host:port")
    user, address, port = found["user"], found["name"] or found["address"], found["port"]
    return replace(
        target,
        name=f"{target.name} (jump host {address})",
        address=address,
        user=user or None,
        port=int(port) if port else None,
        jump=None,
        ssh_password=None,  # the machine's password is none of the jump host's business
    )


def _open(target: SshTarget, config: HostConfig, through: SshLink | None, notice: Callable[[str], None]) -> SshLink:
    connection = Connection(
        config.address,
        user=config.user,
        port=config.port,
        config=Config(ssh_config=paramiko.SSHConfig()),  # an empty one: it was read by OpenSSH
        gateway=False,
        forward_agent=False,
        connect_timeout=max(1, math.ceil(target.connect_timeout)),
    )
    own = [target.known_hosts.expanduser()] if target.known_hosts is not None else []
    known = KnownHosts([*own, *config.known_hosts], config.system_known_hosts)
    host = (config.alias or config.address).lower()
    name = config.alias.lower() or known_name(config.address, config.port)
    policy = HostKeyPolicy(target.name, host, name, known, config.revoked, target.accept_new_host_key, notice)
    preferred = policy.preferred_algorithms()
    connection.client.set_missing_host_key_policy(policy)
    link = SshLink(connection, through)
    where = f"{config.address} port {config.port}"
    way = _way(target, config, through)
    sock = Listening(way)
    connection.connect_kwargs = {
        "sock": sock,
        "auth_strategy": _login(target, config, where),
        "transport_factory": lambda sock, **kwargs: _Transport(sock, preferred, **kwargs),
        "banner_timeout": target.connect_timeout,
        "auth_timeout": target.connect_timeout,
        "channel_timeout": target.connect_timeout,
    }
    try:
        connection.open()
        interval = target.keepalive or config.keepalive or KEEPALIVE
        gone = f"{target.name}: the connection is gone"
        link.watch(KeepAlive(connection.transport, sock, interval, lambda why: notice(f"{gone}: {why}")))
    except HostError:
        connection.client.close()
        raise
    except BROKEN as error:
        connection.client.close()
        way.close()
        raise ConnectFailed(_no_ssh(target, where, error, way)) from None
    except BaseException:
        connection.client.close()
        raise
    finally:
        if not link.is_active:
            sock.close()
    return link


def _way(target: SshTarget, config: HostConfig, through: SshLink | None) -> Any:
    """A socket, or what behaves like one, to the server's SSH port."""
    if through is not None:
        return dial_through(target.name, through, config.address, config.port)
    if config.proxy_command and target.jump is None:
        return dial_program(target.name, config.proxy_command)
    return dial(target.name, config.address, config.port, target.connect_timeout)


def _login(target: SshTarget, config: HostConfig, where: str) -> Login:
    return Login(
        server=target.name,
        where=where,
        user=config.user,
        key=target.key.expanduser() if target.key is not None else None,
        other_keys=[path for path in config.identities if path.exists()],
        public_keys=[path if path.suffix == ".pub" else Path(f"{path}.pub") for path in config.identities],
        certificates=[path for path in config.certificates if path.exists()],
        use_agent=target.key is None and not config.identities_only,
        passphrase=target.key_passphrase,
        password=target.ssh_password,
    )


class _Transport(paramiko.Transport):  # type: ignore[misc]
    """paramiko's, which asks for the keys that we know first; its own order has certificates last."""

    def __init__(self, sock: Any, preferred: list[str], **kwargs: Any) -> None:
        super().__init__(sock, **kwargs)
        self._first = preferred

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms of host keys, the ones that we want first."""
        usual: tuple[str, ...] = super().preferred_keys
        first = [kind for kind in self._first if kind in usual]
        return (*dict.fromkeys(first), *(kind for kind in usual if kind not in first))


def _no_ssh(target: SshTarget, where: str, error: BaseException, way: Any) -> str:
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return f"{target.name}: {where} and we have no SSH algorithm in common ({error}); is its OpenSSH very old?"
    if isinstance(way, ProxySocket):
        return (
            f"{target.name}: the ProxyCommand of the SSH configuration leads to no SSH server within "
            f"{target.connect_timeout:g} s ({way.last_words}); try `ssh {target.address}` by hand"
        )
    return (
        f"{target.name}: {where} takes connections but does not answer as an SSH server within "
        f"{target.connect_timeout:g} s ({reason_of(error)}); is the port right, and is the machine overloaded?"
    )
