"""What the SAM2 backend must not tell: files in a volume that it can only read, written by a container of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Unpack

from core.errors import CannotKnow
from core.operation import Change
from hosts.base import ANY_EXIT_CODE, Exec, Result, RunArguments
from infra.roles.docker.compose import Compose

FOLDER = "/secrets"
KEY_FILE = f"{FOLDER}/label_studio_api_key"
PASSWORD_FILE = f"{FOLDER}/backend_password"
WRITER = "secrets-writer"  # its service in compose.yaml
# Read from standard input: a secret stands in no argument list, and in a file that is private from its first byte.
WRITE = 'umask 077 && cat >"$1.new" && mv -f "$1.new" "$1"'
WRITE_TIMEOUT = 120.0

SecretWriter = Callable[[str, bytes], None]


def in_writer(compose: Compose) -> Exec:
    """Return what runs a command in a container of its own that has the backend's secrets: the backend need not run."""

    def run(*argv: str, **arguments: Unpack[RunArguments]) -> Result:
        arguments.setdefault("timeout", WRITE_TIMEOUT)
        return compose.run("run", "--rm", "--no-TTY", "--no-deps", "--quiet-pull", WRITER, *argv, **arguments)

    return run


def not_in_a_plan(*_argv: str, **_arguments: Unpack[RunArguments]) -> Result:
    """In the place of `in_writer` where no container may be started.

    Raises:
        CannotKnow: always.
    """
    raise CannotKnow("the SAM2 backend does not run, and a plan starts no container to look")


def secret_writer(compose: Compose) -> SecretWriter:
    """Return what writes a secret: called with the path in the volume and the content."""
    run = in_writer(compose)

    def write(path: str, content: bytes) -> None:
        run("sh", "-c", WRITE, "sh", path, stdin=content)

    return write


class BackendPasswordPresent:
    """The backend has the password that stands in `.env`. It reads the file anew when it changed: no restart."""

    name = "password known to the SAM2 backend"

    def __init__(
        self, password: str, looks: Sequence[Exec], write: SecretWriter, password_file: str = PASSWORD_FILE
    ) -> None:
        """
        Args:
            looks: what runs a command where the file can be seen: in the backend, then where that does not run.
            write: see `secret_writer`.
        """
        self._password = password.encode()
        self._looks = tuple(looks)
        self._write_secret = write
        self._file = password_file
        self._written = False

    def plan(self) -> list[Change]:
        """One change where the file holds another password, or is not there."""
        if self._written:
            return []
        for look in self._looks:
            # Not ok: there is no such file, or no such container.
            there = look("sha256sum", self._file, ok=ANY_EXIT_CODE)
            if there.ok and there.stdout.split()[:1] == [hashlib.sha256(self._password).hexdigest()]:
                return []
            if there.ok:
                break
        return [Change("hand the password over to the SAM2 backend", self._write)]

    def _write(self) -> None:
        self._write_secret(self._file, self._password)
        self._written = True
