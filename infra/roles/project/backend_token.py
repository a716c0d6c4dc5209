"""The SAM2 backend's copy of the token: for images that are not in the mounted folder (uploads, cloud storage)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import LabelStudioError
from core.operation import Change, Operation
from hosts.base import Exec
from labelstudio.access import Access

KEY_FILE = "/secrets/label_studio_api_key"
# Read from standard input: the key stands in no argument list, and in a file that is private from its first byte.
WRITE = 'umask 077 && cat >"$1.new" && mv -f "$1.new" "$1"'


@dataclass(frozen=True)
class BackendKeyPresent(Operation):
    """The backend has the token that stands in `.env`.

    It is a file in a volume of its own and no variable of the container: the token is made when the containers run
    already, and a variable would mean to make the container, which has the model loaded, anew.
    """

    access: Access
    exec_in_backend: Exec
    key_file: str = KEY_FILE

    @property
    def name(self) -> str:
        return "token known to the SAM2 backend"

    def plan(self) -> Sequence[Change]:
        # Exit code 1: there is no such file yet.
        there = self.exec_in_backend("sha256sum", self.key_file, ok=(0, 1))
        if there.ok and there.stdout.split()[:1] == [hashlib.sha256(self._key()).hexdigest()]:
            return []
        return [Change("hand the personal access token to the SAM2 backend", self._write)]

    def _key(self) -> bytes:
        if self.access.api_key is None:
            raise LabelStudioError("there is no personal access token yet; `./inv up` makes one and writes it to .env")
        return self.access.api_key.encode()

    def _write(self) -> None:
        self.exec_in_backend("sh", "-c", WRITE, "sh", self.key_file, stdin=self._key())
