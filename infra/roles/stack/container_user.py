"""The number that the containers run as: chosen once, kept in `.env` (or the host's own file of secrets)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from core.operation import Change, Operation
from hosts.base import Host
from infra.config.dotenv import update_env_file
from infra.config.settings import UID, Settings
from infra.roles.preflight.container_user import free_number, taken
from infra.roles.stack.render import parse_stack_env


class ContainerUserChosen(Operation):
    """A number that no account of the machine has stands in `.env`."""

    def __init__(self, host: Host, env_file: Path | str, settings: Settings, rendered: str) -> None:
        """
        Args:
            rendered: the values that the stack was last started with: where `.env` was lost, the number is there.
        """
        self._host = host
        self._env_file = PurePosixPath(env_file)
        self._settings = settings
        self._rendered = rendered
        self._chosen: int | None = settings.uid
        self._written = settings.uid is not None

    @property
    def name(self) -> str:
        return f"user of the containers in {self._env_file.name}"

    def plan(self) -> Sequence[Change]:
        """Choose a number where there is none yet."""
        if self._written:
            return []
        summary = f"choose number {self.number()} for the user of the containers and write it to {self._env_file.name}"
        return [Change(summary, self._write)]

    def number(self) -> int:
        """The number, also before it was written: for a plan, which writes nothing."""
        if self._chosen is None:
            self._chosen = self._kept() or free_number(self._host, self._settings.project)
        return self._chosen

    def _kept(self) -> int | None:
        content = self._host.read(self._rendered, as_root=not self._host.is_local)
        number = parse_stack_env(content or b"").get(UID, "")
        return int(number) if number.isdigit() and not taken(self._host, [int(number)]) else None

    def _write(self) -> None:
        update_env_file(self._host, str(self._env_file), {UID: str(self.number())})
        self._written = True
