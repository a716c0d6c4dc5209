"""The secrets of the stack: made once, kept in `.env` (or the host's own file of secrets), never shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from core.operation import Change, Operation
from hosts.base import Host
from infra.config.dotenv import MODE, parse_env_bytes, update_env_file
from infra.config.settings import Settings, missing_secrets

SECRET_KEY = "LABEL_STUDIO_SECRET_KEY"  # noqa: S105 - its name
BACKUP_PASSWORD = "LABELRIG_BACKUP_PASSWORD"  # noqa: S105 - its name
NEVER_CHANGED = (SECRET_KEY, BACKUP_PASSWORD)  # by a lost line: sessions and backups open with them alone
ROTATION = "rotation.json"  # in the folder of state: which secrets a rotation is about, while it goes on
NOTHING: Mapping[str, str] = MappingProxyType({})


class SecretGiven(Operation):
    """A host's file of secrets holds a secret that another host made."""

    def __init__(self, host: Host, env_file: str, name: str, value: str) -> None:
        self._host = host
        self._env_file = env_file
        self._name = name
        self._value = value

    @property
    def name(self) -> str:
        return f"{self._name} in {PurePosixPath(self._env_file).name}"

    def plan(self) -> list[Change]:
        """Write it where it is missing or another one."""
        content = self._host.read(self._env_file, as_root=not self._host.is_local)
        known = {} if content is None else parse_env_bytes(content, f"{self._host.name}:{self._env_file}")
        if known.get(self._name) == self._value:
            return []
        return [Change(f"write {self._name} to {PurePosixPath(self._env_file).name}", self._write)]

    def _write(self) -> None:
        update_env_file(self._host, self._env_file, {self._name: self._value})


class SecretsMade(Operation):
    """`.env` holds every secret, and only its owner may read the file.

    A secret that is missing is made, but for those that are known from the stack that is there: all of them where the
    whole file is lost, and always those that a lost line must never change.
    """

    def __init__(
        self,
        host: Host,
        env_file: Path | str,
        settings: Settings,
        kept: Mapping[str, str] = NOTHING,
        *,
        cluster: bool = False,
    ) -> None:
        """
        Args:
            kept: the secrets that the stack was last started with, by their name in `.env`.
            cluster: the host serves together with others.
        """
        self._host = host
        self._env_file = PurePosixPath(env_file)
        self._missing = missing_secrets(settings, cluster=cluster)
        self._kept = kept
        self._made = False

    @property
    def name(self) -> str:
        return f"secrets in {self._env_file.name}"

    def plan(self) -> list[Change]:
        """Make or recover what is missing; close the file where others could read it."""
        changes = []
        if self._missing and not self._made:
            recovered = self.recovered()
            if recovered:
                changes.append(
                    Change(
                        f"recover {', '.join(recovered)} from the stack that is there and write them to "
                        f"{self._env_file.name}, which lacks them",
                        self._write,
                    )
                )
            if new := [name for name in self._missing if name not in recovered]:
                changes.append(Change(f"make {', '.join(new)} and write them to {self._env_file.name}", self._write))
        elif self._is_open():
            changes.append(Change(f"make {self._env_file.name} readable for its owner only", self._close))
        return changes

    def recovered(self) -> dict[str, str]:
        """Those of the missing secrets that are known from the stack that is there."""
        lost = self._host.read(str(self._env_file), as_root=not self._host.is_local) is None
        return {
            name: self._kept[name] for name in self._missing if name in self._kept and (lost or name in NEVER_CHANGED)
        }

    def values(self) -> dict[str, str]:
        """Every secret that is missing, as it will be written: for a plan, which writes nothing."""
        return {**self._missing, **self.recovered()}

    def _write(self) -> None:
        if not self._made:
            update_env_file(self._host, str(self._env_file), self.values())
            self._made = True

    def _is_open(self) -> bool:
        # Exit code 1: there is no such file.
        shown = self._host.run(
            "stat", "-L", "-c", "%a", str(self._env_file), ok=(0, 1), as_root=not self._host.is_local
        )
        return shown.ok and bool(int(shown.stdout, 8) & 0o077)

    def _close(self) -> None:
        self._host.run("chmod", f"{MODE:o}", str(self._env_file), as_root=not self._host.is_local)
