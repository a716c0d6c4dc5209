"""Which password of the first user labelrig last set in Label Studio: kept as a hash, never as it is.

Label Studio keeps its own hash, and a password may be changed in the browser. With this record a password that was
changed in the file is told from one that was changed there. The user is named in it: of another one nothing is known.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from hosts.base import Host

NAME = "password.record"
MODE = 0o600


@dataclass(frozen=True)
class PasswordRecord:
    """The record of one stack, a file in its folder of state."""

    host: Host
    path: str

    @classmethod
    def of(cls, host: Host, state: str) -> PasswordRecord:
        """The record in a folder of state on `host`."""
        return cls(host, f"{state}/{NAME}")

    def holds(self, username: str, password: str) -> bool | None:
        """Whether this password is the recorded one; None where nothing readable is recorded of this user."""
        content = self.host.read(self.path, as_root=not self.host.is_local)
        salt, digest, user = [*(content or b"").decode("utf-8", "replace").strip().split(" ", 2), "", ""][:3]
        if user != username:
            return None
        return hmac.compare_digest(_digest(salt, username, password).encode(), digest.encode())

    def write(self, username: str, password: str) -> None:
        """Record it; the file is private and whole, or as it was."""
        salt = secrets.token_hex(16)
        line = f"{salt} {_digest(salt, username, password)} {username}\n"
        self.host.write(self.path, line.encode(), MODE, as_root=not self.host.is_local)


def _digest(salt: str, username: str, password: str) -> str:
    made = hashlib.scrypt(f"{username}\n{password}".encode(), salt=salt.encode(), n=2**14, r=8, p=1)
    return made.hex()
