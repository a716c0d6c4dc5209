"""The SAM2 backend's own token: for images that are not in the mounted folder (uploads, cloud storage)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.errors import LabelStudioError
from core.operation import Change, Operation
from hosts.base import Exec, Host
from infra.config.dotenv import update_env_file
from infra.roles.project.token import KEY
from infra.roles.stack.backend_secrets import KEY_FILE, SecretWriter
from labelstudio.access import Access
from labelstudio.asking import ask_inside
from labelstudio.session import rotate_token, token_owner

ACCOUNT = "sam2-backend@labelrig.invalid"  # no mail gets there (RFC 2606), and no password opens it
NO_FILE = 1
LOOK_TIMEOUT = 20.0


@dataclass(frozen=True)
class BackendTokenPresent(Operation):
    """The backend has a token of an account of its own, which Label Studio accepts.

    The account is a plain member of the organisation: it sees the images, is no administrator, and cannot sign in. An
    earlier labelrig handed the first user's token over; that one is made void.

    It is a file in a volume of its own and no variable of the container: the token is made when the containers run
    already, and a variable would mean to make the container, which has the model loaded, anew.
    """

    access: Access
    host: Host
    env_file: str
    exec_in_label_studio: Exec
    exec_in_backend: Exec
    write: SecretWriter
    key_file: str = KEY_FILE

    @property
    def name(self) -> str:
        return "token of the SAM2 backend's own account"

    def plan(self) -> Sequence[Change]:
        held = held_token(self.exec_in_backend, self.key_file)
        if held is not None and token_owner(self.access.base_url, held, self.access.transport) == ACCOUNT:
            return []
        changes = [Change(f"make a token for {ACCOUNT} and hand it over to the SAM2 backend", self._make)]
        if held is not None and held == self.access.api_key:
            # First: where this breaks off, the next run finds a token that is void, and makes the account's.
            user, file = self.access.username, PurePosixPath(self.env_file).name
            void = f"make the token of {user} void, which the SAM2 backend holds, and write another to {file}"
            changes.insert(0, Change(void, self._renew))
        return changes

    def _renew(self) -> None:
        access = self.access
        if access.api_key is None:
            raise LabelStudioError("there is no personal access token to renew; run the same command again")
        token = rotate_token(access.base_url, access.api_key, access.transport)
        update_env_file(self.host, self.env_file, {KEY: token})
        access.use(token)

    def _make(self) -> None:
        (told,) = ask_inside(self.exec_in_label_studio, "service_account", {"email": ACCOUNT})
        self.write(self.key_file, str(told["token"]).encode())


def held_token(exec_in_backend: Exec, key_file: str = KEY_FILE) -> str | None:
    """The token that the backend has; None without one."""
    held = exec_in_backend("cat", key_file, ok=(0, NO_FILE), timeout=LOOK_TIMEOUT)
    return held.stdout.strip() or None if held.ok else None
