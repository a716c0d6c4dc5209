"""What the command line said, kept in `.env`, so that the next run without arguments does the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.operation import Change
from hosts.base import Host
from infra.config.dotenv import read_env_file, update_env_file


class SettingsRemembered:
    """`.env` says what the command line said."""

    name = "choices remembered in .env"

    def __init__(self, host: Host, env_file: Path, values: Mapping[str, str]) -> None:
        self._host = host
        self._env_file = env_file
        self._values = values

    def plan(self) -> list[Change]:
        """One change for all values that differ from the file's."""
        present = read_env_file(self._env_file)
        differ = {name: value for name, value in self._values.items() if present.get(name) != value}
        if not differ:
            return []
        names = ", ".join(differ)
        return [Change(f"write {names} to .env", lambda: update_env_file(self._host, str(self._env_file), differ))]
