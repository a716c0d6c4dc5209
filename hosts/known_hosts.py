"""Which SSH host keys we know, as OpenSSH's known_hosts files say it.

Read by ourselves and not by paramiko: it knows no patterns, no @revoked and no certificates, ends in a traceback at a
line for an authority, and cannot say in which file and line a key stands.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import FileAccessError, HostKeyRefused
from hosts.certificates import SUFFIX, HostCertificate, certificate_of, in_revoked_file

REVOKED = "@revoked"
AUTHORITY = "@cert-authority"
HASHED = "|1|"
# What a server may present for a key that known_hosts calls by its family's name.
ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
CERTIFIED = tuple(
    f"{kind}{SUFFIX}"
    for kind in (
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    )
)


@dataclass(frozen=True)
class KnownKey:
    """One line of a known_hosts file. `blob` is the public key as it travels in the protocol."""

    file: Path
    line: int
    marker: str
    names: str
    kind: str
    blob: bytes

    def is_for(self, name: str) -> bool:
        """Whether the line speaks of this host; `name` is as `known_name` makes it."""
        if self.names.startswith(HASHED):
            return _is_hash_of(self.names, name)
        patterns = self.names.lower().split(",")
        if any(_fits(pattern[1:], name) for pattern in patterns if pattern.startswith("!")):
            return False
        return any(_fits(pattern, name) for pattern in patterns)


def known_name(address: str, port: int) -> str:
    """The name under which known_hosts files hold a server."""
    name = address.lower()
    return name if port == 22 else f"[{name}]:{port}"


def fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key as `ssh-keygen -lf` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def parse_known_hosts(text: str, file: Path) -> list[KnownKey]:
    """Read the lines of a known_hosts file; those that are no keys are left out, as OpenSSH does."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        with contextlib.suppress(binascii.Error):
            blob = base64.b64decode(fields[2], validate=True)
            keys.append(KnownKey(file, number, marker, fields[0], fields[1], blob))
    return keys


class KnownHosts:
    """The keys of several files; new ones are recorded in the first of the user's own."""

    def __init__(self, own: Sequence[Path], system: Sequence[Path] = ()) -> None:
        self._own = own
        self._files = (*own, *system)

    def of(self, name: str) -> list[KnownKey]:
        """All lines that speak of a server: keys, revoked keys and authorities.

        Raises:
            FileAccessError: a file is there and cannot be read.
        """
        return [key for file in self._files for key in parse_known_hosts(_text_of(file), file) if key.is_for(name)]

    def record(self, name: str, kind: str, blob: bytes) -> Path:
        """Add a key to the first file, which keeps its other lines; returns the file.

        Raises:
            FileAccessError: it cannot be written, or there is none.
        """
        if not self._own:
            raise FileAccessError(
                f"this machine: the SSH key of {name} cannot be recorded: the SSH configuration names no "
                "UserKnownHostsFile; name a file with `known_hosts:` in the inventory"
            )
        file = self._own[0]
        line = f"{name} {kind} {base64.b64encode(blob).decode()}\n"
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0) as stream:
                stream.seek(0, os.SEEK_END)
                if stream.tell():
                    stream.seek(-1, os.SEEK_END)
                    if stream.read(1) != b"\n":
                        line = "\n" + line
                stream.write(line.encode())
        except OSError as error:
            raise FileAccessError(f"this machine: cannot write {file}: {error.strerror}") from None
        return file


@dataclass(frozen=True)
class HostKeyPolicy:
    """Decides about the key that one server presents. paramiko calls it, as it is given no keys of its own.

    Attributes:
        server: for messages.
        host: the server's name without its port: what a certificate must be for.
        name: as `known_name` makes it.
        known: what we hold.
        revoked: a file with revoked keys, as a list or as OpenSSH's KRL.
        accept_new: record a key that is not known yet.
        notice: gets what a person must not miss.
    """

    server: str
    host: str
    name: str
    known: KnownHosts
    revoked: Path | None
    accept_new: bool
    notice: Callable[[str], None]

    def preferred_algorithms(self) -> list[str]:
        """The signature algorithms of what we hold: a server with several keys then presents one that we can judge."""
        plain = [algorithm for key in self._keys() for algorithm in ALGORITHMS.get(key.kind, (key.kind,))]
        return [*(CERTIFIED if self._authorities() else ()), *plain]

    def missing_host_key(self, _client: object, _hostname: str, key: Any) -> None:
        """Return for a key that is trusted.

        Raises:
            HostKeyRefused: it is unknown, revoked, or another one than we know.
        """
        kind, blob = str(key.get_name()), bytes(key.asbytes())
        certificate = certificate_of(key)
        self._refuse_revoked(blob, "the SSH key")
        if self.revoked is not None and (words := in_revoked_file(self.revoked, key)) is not None:
            raise HostKeyRefused(
                f"{self.server}: the SSH key {fingerprint(blob)} of {self.name} does not pass the RevokedHostKeys file "
                f"of the SSH configuration: {words}; nothing was sent; ask whoever runs the machine for its new key"
            )
        refused = ""
        if certificate is not None and self._authorities():
            self._refuse_revoked(certificate.authority, "the authority's key")
            problem = self._problem_of(certificate)
            if problem is None:
                return
            refused = f"its certificate does not count: {problem}; "
        trusted = self._keys()
        if any(one.blob == blob for one in (*trusted, *self._keys(self.host))):
            return
        if trusted:
            raise HostKeyRefused(self._changed(trusted, kind, blob, refused))
        unknown = f"{self.server}: the SSH key of {self.name} is not known here: {kind} {fingerprint(blob)}; {refused}"
        if refused:
            raise HostKeyRefused(f"{unknown}ask whoever signs the keys of its machines")
        if not self.accept_new:
            raise HostKeyRefused(
                f"{unknown}compare it with what `ssh-keygen -lf` says there for /etc/ssh/ssh_host_*_key.pub (or ask "
                "whoever runs the machine), then repeat the command once with --accept-new-host-key"
            )
        file = self.known.record(self.name, kind, blob)
        self.notice(f"{self.server}: new SSH key of {self.name} recorded in {file}: {kind} {fingerprint(blob)}")

    def _keys(self, name: str | None = None) -> list[KnownKey]:
        return [one for one in self.known.of(name or self.name) if not one.marker]

    def _authorities(self) -> list[KnownKey]:
        """Lines for authorities; as with OpenSSH, one without a port speaks of every port."""
        held = [*self.known.of(self.name), *self.known.of(self.host)]
        return [one for one in held if one.marker == AUTHORITY]

    def _refuse_revoked(self, blob: bytes, what: str) -> None:
        for one in (*self.known.of(self.name), *self.known.of(self.host)):
            if one.marker == REVOKED and one.blob == blob:
                raise HostKeyRefused(
                    f"{self.server}: {what} {fingerprint(blob)} of {self.name} is marked as revoked in "
                    f"{one.file}, line {one.line}; nothing was sent; ask whoever runs the machine for its new key"
                )

    def _problem_of(self, certificate: HostCertificate) -> str | None:
        """Why a certificate does not prove that this is the server; None where it does."""
        if not any(one.blob == certificate.authority for one in self._authorities()):
            return f"no known_hosts file trusts its authority {fingerprint(certificate.authority)} for {self.host}"
        if certificate.problem is not None:
            return certificate.problem
        if certificate.names and not any(_fits(pattern.lower(), self.host) for pattern in certificate.names):
            return f"it is for {', '.join(certificate.names)}, not for {self.host}"
        return None

    def _changed(self, trusted: Sequence[KnownKey], kind: str, blob: bytes, refused: str) -> str:
        ours = next((one for one in trusted if one.kind == kind), trusted[0])
        return (
            f"{self.server}: the SSH key of {self.name} is not the one we know: it presents {kind} "
            f"{fingerprint(blob)}, and {ours.file}, line {ours.line}, holds {ours.kind} {fingerprint(ours.blob)}; "
            f"{refused}nothing was sent. If the machine was installed anew, check the fingerprint with whoever runs "
            f"it, then type `ssh-keygen -R '{self.name}' -f {ours.file}` and repeat the command with "
            "--accept-new-host-key; otherwise this may be a man-in-the-middle attack"
        )


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise FileAccessError(f"this machine: cannot read {file}: {error.strerror}") from None


def _is_hash_of(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part) for part in hashed.removeprefix(HASHED).split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def _fits(pattern: str, name: str) -> bool:
    """OpenSSH's patterns know only * and ?; brackets are part of a name with a port."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None
