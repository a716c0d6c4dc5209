"""The secrets of the stack: made once, kept in `.env`, never shown."""

from __future__ import annotations

from pathlib import Path

from infra.dotenv_file import MODE, update_env_file
from infra.hosts.base import Host
from infra.operation import Change
from infra.settings import Settings, missing_secrets


class SecretsMade:
    """`.env` holds every secret, and nobody else may read the file."""

    name = "secrets in .env"

    def __init__(self, host: Host, env_file: Path, settings: Settings) -> None:
        self._host = host
        self._env_file = env_file
        self._missing = missing_secrets(settings)
        self._made = False

    def plan(self) -> list[Change]:
        """Make what is missing; close the file where others could read it."""
        changes = []
        if self._missing and not self._made:
            names = ", ".join(self._missing)
            changes.append(Change(f"make {names} and write them to {self._env_file.name}", self._make))
        elif self._env_file.exists() and self._env_file.stat().st_mode & 0o077:
            changes.append(Change(f"make {self._env_file.name} readable for its owner only", self._close))
        return changes

    def _make(self) -> None:
        update_env_file(self._host, str(self._env_file), self._missing)
        self._made = True

    def _close(self) -> None:
        self._env_file.chmod(MODE)
