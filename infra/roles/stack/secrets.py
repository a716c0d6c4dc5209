"""The secrets of the stack: made once, kept in `.env` (or the host's own file of secrets), never shown."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from core.operation import Change, Operation
from hosts.base import Host
from infra.config.dotenv import MODE, update_env_file
from infra.config.settings import Settings, missing_secrets


class SecretsMade(Operation):
    """`.env` holds every secret, and only its owner may read the file."""

    def __init__(self, host: Host, env_file: Path | str, settings: Settings) -> None:
        self._host = host
        self._env_file = PurePosixPath(env_file)
        self._missing = missing_secrets(settings)
        self._made = False

    @property
    def name(self) -> str:
        return f"secrets in {self._env_file.name}"

    def plan(self) -> list[Change]:
        """Make what is missing; close the file where others could read it."""
        changes = []
        if self._missing and not self._made:
            names = ", ".join(self._missing)
            changes.append(Change(f"make {names} and write them to {self._env_file.name}", self._make))
        elif self._is_open():
            changes.append(Change(f"make {self._env_file.name} readable for its owner only", self._close))
        return changes

    def _make(self) -> None:
        update_env_file(self._host, str(self._env_file), self._missing)
        self._made = True

    def _is_open(self) -> bool:
        # Exit code 1: there is no such file.
        shown = self._host.run(
            "stat", "-L", "-c", "%a", str(self._env_file), ok=(0, 1), as_root=not self._host.is_local
        )
        return shown.ok and bool(int(shown.stdout, 8) & 0o077)

    def _close(self) -> None:
        self._host.run("chmod", f"{MODE:o}", str(self._env_file), as_root=not self._host.is_local)
