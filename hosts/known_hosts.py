"""Which SSH host keys we know, as OpenSSH's known_hosts files say it.

Read by ourselves and not by paramiko: it knows no patterns and no @revoked, ends in a traceback at a line for a
certificate authority, and cannot say in which file and line a key stands.
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

SYSTEM_FILE = Path("/etc/ssh/ssh_known_hosts")
REVOKED = "@revoked"
HASHED = "|1|"
# What a server may present for a key that known_hosts calls by its family's name.
ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


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
    """The keys of several files; new ones are recorded in the first."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def of(self, name: str) -> list[KnownKey]:
        """All keys that are held for a server. Lines for certificate authorities are not: we ask for plain keys.

        Raises:
            FileAccessError: a file is there and cannot be read.
        """
        return [
            key
            for file in self._files
            for key in parse_known_hosts(_text_of(file), file)
            if key.marker in ("", REVOKED) and key.is_for(name)
        ]

    def record(self, name: str, kind: str, blob: bytes) -> Path:
        """Add a key to the first file, which keeps its other lines; returns the file.

        Raises:
            FileAccessError: it cannot be written.
        """
        file = self._files[0]
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
    """Decides about the key that one server presents. paramiko calls it, as it is given no keys of its own."""

    server: str
    name: str
    known: KnownHosts
    accept_new: bool
    notice: Callable[[str], None]

    def preferred_algorithms(self) -> list[str]:
        """The signature algorithms of the keys we hold: a server with several keys then presents one of them."""
        kinds = [key.kind for key in self.known.of(self.name) if not key.marker]
        return [algorithm for kind in kinds for algorithm in ALGORITHMS.get(kind, (kind,))]

    def missing_host_key(self, _client: object, _hostname: str, key: Any) -> None:
        """Return for a key that is trusted.

        Raises:
            HostKeyRefused: it is unknown, revoked, or another one than we know.
        """
        kind, blob = str(key.get_name()), bytes(key.asbytes())
        held = self.known.of(self.name)
        for one in held:
            if one.marker == REVOKED and one.blob == blob:
                raise HostKeyRefused(
                    f"{self.server}: the SSH key {fingerprint(blob)} of {self.name} is marked as revoked in "
                    f"{one.file}, line {one.line}; nothing was sent; ask whoever runs the machine for its new key"
                )
        trusted = [one for one in held if not one.marker]
        if any(one.blob == blob for one in trusted):
            return
        if trusted:
            raise HostKeyRefused(self._changed(trusted, kind, blob))
        if not self.accept_new:
            raise HostKeyRefused(
                f"{self.server}: the SSH key of {self.name} is not known here: {kind} {fingerprint(blob)}; compare it "
                "with what `ssh-keygen -lf` says there for /etc/ssh/ssh_host_*_key.pub (or ask whoever runs the "
                "machine), then repeat the command once with --accept-new-host-key"
            )
        file = self.known.record(self.name, kind, blob)
        self.notice(f"{self.server}: new SSH key of {self.name} recorded in {file}: {kind} {fingerprint(blob)}")

    def _changed(self, trusted: Sequence[KnownKey], kind: str, blob: bytes) -> str:
        ours = next((one for one in trusted if one.kind == kind), trusted[0])
        return (
            f"{self.server}: the SSH key of {self.name} is not the one we know: it presents {kind} "
            f"{fingerprint(blob)}, and {ours.file}, line {ours.line}, holds {ours.kind} {fingerprint(ours.blob)}; "
            "nothing was sent. If the machine was installed anew, check the fingerprint with whoever runs it, then "
            f"type `ssh-keygen -R '{self.name}' -f {ours.file}` and repeat the command with --accept-new-host-key; "
            "otherwise this may be a man-in-the-middle attack"
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
