"""What the SSH configuration says of a machine, as OpenSSH itself reads it: `ssh -G`.

So `Include`, `Match`, `Host` patterns and defaults are OpenSSH's own, and what `ssh gpu01` does is what we do.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import FileAccessError, SettingsError

PROGRAM = "ssh"
TIMEOUT = 10.0
USER_FILE = Path("~/.ssh/config")
SYSTEM_FILE = Path("/etc/ssh/ssh_config")
NO_FILE = ("none", os.devnull)
TOKEN = re.compile(r"%.?")
TOKEN_OR_VARIABLE = re.compile(r"%.?|\$\{[^}]*\}")
WITH_VARIABLES = ("identityfile", "certificatefile")  # `ssh -G` leaves them in these


@dataclass(frozen=True)
class HostConfig:
    """What OpenSSH would do to reach a machine.

    Attributes:
        address: what is connected to: a name or an IP address.
        user: who logs in.
        port: of the SSH server.
        alias: the name under which known_hosts files hold it, where that is not the address.
        jump: jump hosts as `ProxyJump` has them, the nearest first; "" for none.
        proxy_command: a shell command whose standard streams lead to the server; "" for none.
        identities: private keys.
        certificates: certificates of our own keys, besides `KEY-cert.pub`.
        identities_only: use only the keys above, not all those of an agent.
        keepalive: seconds between two questions whether the server is there (`ServerAliveInterval`); 0: unsaid.
        known_hosts: the user's files with the keys of servers; new ones go into the first.
        system_known_hosts: the system's.
        revoked: a file with revoked keys, `RevokedHostKeys`.
    """

    address: str
    user: str
    port: int
    alias: str
    jump: str
    proxy_command: str
    identities: Sequence[Path]
    certificates: Sequence[Path]
    identities_only: bool
    keepalive: int
    known_hosts: Sequence[Path]
    system_known_hosts: Sequence[Path]
    revoked: Path | None


def read_config(name: str, address: str, user: str | None, port: int | None) -> HostConfig:
    """Ask OpenSSH what it would do.

    Args:
        name: of the machine, for messages.
        address: as a person would type it after `ssh`.
        user, port: what counts more than the configuration; None leaves it to that.

    Raises:
        SettingsError: the configuration cannot be read, or asks for what is not supported.
        FileAccessError: there is no room for a temporary file.
    """
    given = (*(("-l", user) if user else ()), *(("-p", str(port)) if port else ()))
    values = _parsed(_ask((*given, "--", address)))
    one = {key: found[0] for key, found in values.items()}
    if one.get("proxyusefdpass") == "yes":
        raise SettingsError(f"{name}: ssh_config says `ProxyUseFdpass yes`, which is not supported; take it out there")
    user, host, port = one["user"], one["hostname"], int(one["port"])
    alias = one.get("hostkeyalias", "")
    me = pwd.getpwuid(os.getuid()).pw_name
    machine = socket.gethostname()
    tokens = {"%h": host, "%n": address, "%p": str(port), "%r": user, "%k": alias or host, "%%": "%"}
    more = {"%u": me, "%d": str(Path.home()), "%i": str(os.getuid()), "%l": machine, "%L": machine.partition(".")[0]}
    variables = {f"${{{variable}}}": value for variable, value in os.environ.items()}

    def files(key: str) -> list[Path]:
        known = tokens | more | (variables if key in WITH_VARIABLES else {})
        return [_file(expanded(name, key, text, known)) for text in values.get(key, ()) if text not in NO_FILE]

    return HostConfig(
        address=host,
        user=user,
        port=port,
        alias=alias,
        jump=one.get("proxyjump", ""),
        proxy_command=expanded(name, "ProxyCommand", one.get("proxycommand", ""), tokens),
        identities=files("identityfile"),
        certificates=files("certificatefile"),
        identities_only=one.get("identitiesonly") == "yes",
        keepalive=int(one.get("serveraliveinterval", 0)),
        known_hosts=[_file(text) for text in one.get("userknownhostsfile", "").split() if text not in NO_FILE],
        revoked=next(iter(files("revokedhostkeys")), None),
        system_known_hosts=[_file(text) for text in one.get("globalknownhostsfile", "").split()],
    )


def expanded(name: str, key: str, text: str, tokens: Mapping[str, str]) -> str:
    """Put values in the place of `%h` and its like, as OpenSSH does, and of `${HOME}` where it does.

    Raises:
        SettingsError: OpenSSH knows no such token there, or the environment no such variable.
    """

    def value(found: re.Match[str]) -> str:
        if found[0] not in tokens:
            raise SettingsError(f"{name}: ssh_config: {key} {text}: there is no value for {found[0]}")
        return tokens[found[0]]

    return (TOKEN_OR_VARIABLE if key in WITH_VARIABLES else TOKEN).sub(value, text)


def _ask(arguments: Sequence[str]) -> str:
    # Two files that include the others: with `-F` OpenSSH leaves the system's out, without it $HOME.
    files = [path for path in (USER_FILE.expanduser(), SYSTEM_FILE) if path.exists()]
    text = "".join(f'Include "{path}"\n' for path in files)
    try:
        with tempfile.NamedTemporaryFile(prefix="labelrig-") as file:
            file.write(os.fsencode(text))
            file.flush()
            return _answer(file.name, arguments)
    except OSError as error:
        raise FileAccessError(f"this machine: the SSH configuration cannot be asked for: {error}") from error


def _answer(file: str, arguments: Sequence[str]) -> str:
    # A file and no pipe: for `Match final` and canonical names OpenSSH reads it twice.
    try:
        ended = subprocess.run(
            (PROGRAM, "-F", file, "-T", "-G", *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise SettingsError(
            "this machine: OpenSSH's `ssh` is not installed, which reads the SSH configuration; install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"this machine: `ssh -G {shlex.join(arguments)}` did not end in {TIMEOUT:g} s; does ~/.ssh/config run a "
            "program (`Match exec`) that hangs?"
        ) from None
    if ended.returncode != 0:
        said = "; ".join(line.strip() for line in ended.stderr.decode("utf-8", "replace").splitlines())
        raise SettingsError(f"this machine: the SSH configuration cannot be read: {said}")
    return ended.stdout.decode("utf-8", "replace")


def _parsed(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def _file(text: str) -> Path:
    """A path of the output. OpenSSH asks the user database for the home, everything else of ours asks $HOME."""
    home = pwd.getpwuid(os.getuid()).pw_dir
    return Path.home() / text.removeprefix(f"{home}/") if text.startswith(f"{home}/") else Path(text).expanduser()
