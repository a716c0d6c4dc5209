"""What the SAM2 backend must not tell: files in a volume that it can only read, written by a container of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from core.operation import Change
from hosts.base import ANY_EXIT_CODE, Exec
from infra.roles.docker.compose import Compose

FOLDER = "/secrets"
KEY_FILE = f"{FOLDER}/label_studio_api_key"
PASSWORD_FILE = f"{FOLDER}/backend_password"
WRITER = "secrets-writer"  # its service in compose.yaml
# Read from standard input: a secret stands in no argument list, and in a file that is private from its first byte.
WRITE = 'umask 077 && cat >"$1.new" && mv -f "$1.new" "$1"'
WRITE_TIMEOUT = 120.0

SecretWriter = Callable[[str, bytes], None]


def secret_writer(compose: Compose) -> SecretWriter:
    """Return what writes a secret: called with the path in the volume and the content."""

    def write(path: str, content: bytes) -> None:
        compose.run(
            *("run", "--rm", "--no-TTY", "--no-deps", "--quiet-pull", WRITER, "sh", "-c", WRITE, "sh", path),
            stdin=content,
            timeout=WRITE_TIMEOUT,
        )

    return write


class BackendPasswordPresent:
    """The backend has the password that stands in `.env`. It reads the file anew when it changed: no restart."""

    name = "password known to the SAM2 backend"

    def __init__(
        self, password: str, exec_in_backend: Exec, write: SecretWriter, password_file: str = PASSWORD_FILE
    ) -> None:
        self._password = password.encode()
        self._exec = exec_in_backend
        self._write_secret = write
        self._file = password_file
        self._written = False

    def plan(self) -> list[Change]:
        """One change where the running backend has another one, or none; also where it does not run to be asked."""
        if self._written:
            return []
        there = self._exec("sha256sum", self._file, ok=ANY_EXIT_CODE)
        if there.ok and there.stdout.split()[:1] == [hashlib.sha256(self._password).hexdigest()]:
            return []
        return [Change("hand the password over to the SAM2 backend", self._write)]

    def _write(self) -> None:
        self._write_secret(self._file, self._password)
        self._written = True
