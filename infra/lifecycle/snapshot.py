"""One backup as its manifest describes it, and whether it may become the state of a stack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from core.errors import LabelrigError, SettingsError
from hosts.base import ANY_EXIT_CODE, Host
from hosts.looking import looks_as_root
from infra.config.dotenv import parse_env_bytes
from infra.config.settings import settings_secrets
from infra.config.stack_settings import Database
from infra.lifecycle.label_studio_image import label_studio_of
from infra.lifecycle.script import Answer
from infra.roles.stack.image_folders import DEMO, ImageFolder

# What of a `.env` belongs to the stack and not to its machine: taken over where the machine says nothing else.
CHOICES = ("LABELRIG_DATA", "LABELRIG_MODEL", "LABEL_STUDIO_USERNAME", "LABELRIG_DATABASE", "LABELRIG_COMPANION")
OF_THE_MACHINE = ("LABELRIG_POSTGRES_PASSWORD", "LABELRIG_BACKUP_PASSWORD")
LIST_TIMEOUT = 1800.0
SHOWN = 3


@dataclass(frozen=True)
class Snapshot:
    """A backup.

    Attributes:
        id: of the snapshot.
        manifest: see `infra.roles.backup.inside.saving`.
        small: secrets, connected folders, lists of image files: name in the backup -> text.
        machine: the name of the machine that made it, where it is another one; else empty.
    """

    id: str
    manifest: Mapping[str, Any]
    small: Mapping[str, str] = field(repr=False)
    machine: str = ""

    @classmethod
    def of(cls, answer: Answer) -> Snapshot:
        """Read what `backup.sh show` answered."""
        return cls(str(answer["snapshot"]), answer["manifest"], answer["small"], str(answer.get("machine", "")))

    @property
    def kind(self) -> Database:
        """The kind of database."""
        return "postgres" if self.manifest["database"]["kind"] == "postgres" else "sqlite"

    @property
    def tables(self) -> Mapping[str, Mapping[str, object]]:
        """Table -> rows and digest."""
        tables: Mapping[str, Mapping[str, object]] = self.manifest["database"]["tables"]
        return tables

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return int(str(self.tables.get(table, {}).get("rows", 0)))

    @property
    def made(self) -> str:
        """When it was made, for people."""
        return str(self.manifest["made_at"]).replace("T", " ").replace("Z", " UTC")

    def sentence(self) -> str:
        """What it is, for people."""
        return (
            f"backup {self.id} of {self.made} from {self.manifest['machine']}: {self.rows('project')} projects, "
            f"{self.rows('task')} tasks, {self.rows('task_completion')} annotations, {self.rows('htx_user')} people, "
            f"{self.manifest['media']['files']} uploaded files"
        )

    def settings(self) -> dict[str, str]:
        """The lines of its `.env` or `secrets.env`."""
        return parse_env_bytes(self.small["secrets.env"].encode(), f"secrets of the backup {self.id}")

    def secrets(self, present: Mapping[str, str]) -> dict[str, str]:
        """The secrets that become the machine's. Those that only the machine itself uses stay where it has them.

        Args:
            present: the secrets of the machine.
        """
        given = {name: value for name, value in self.settings().items() if name in settings_secrets()}
        return {name: value for name, value in given.items() if name not in OF_THE_MACHINE or name not in present}

    def choices(self, present: Mapping[str, str]) -> dict[str, str]:
        """Settings of the stack that the machine's `.env` does not name."""
        chosen = {"LABELRIG_DATABASE": self.kind, "LABEL_STUDIO_USERNAME": str(self.manifest["username"])}
        given = {**self.settings(), **chosen}
        return {name: given[name] for name in CHOICES if name in given and name not in present}

    def folders(self) -> list[ImageFolder]:
        """The image folders that were connected, but for the demo images, which are drawn where the stack is."""
        rows = json.loads(self.small.get("stack/folders.json", "[]"))
        return [ImageFolder(str(row["name"]), str(row["path"])) for row in rows if row["name"] != DEMO]


def refuse_other_kind(snapshot: Snapshot, database: Database, name: str, *, here: bool) -> None:
    """Raises: SettingsError: the backup is of the other kind of database than the stack is to have."""
    if snapshot.kind != database:
        key = "LABELRIG_DATABASE in .env" if here else f"`database` of {name} in the inventory"
        raise SettingsError(
            f"{name}: the backup {snapshot.id} is of a {snapshot.kind} database and the settings say {database}; set "
            f"{key} to {snapshot.kind}, and move the work afterwards with `./inv database.move`; nothing was changed"
        )


def refuse_other_user(snapshot: Snapshot, username: str, name: str) -> None:
    """Raises: SettingsError: labelrig would log in as a user whom the backup does not have."""
    if snapshot.manifest["username"] != username:
        raise SettingsError(
            f"{name}: the first user of the backup {snapshot.id} is {snapshot.manifest['username']}, and the settings "
            f"say {username}; set `username` (LABEL_STUDIO_USERNAME) to the former; nothing was changed"
        )


def refuse_later_version(snapshot: Snapshot, host: Host, image: str, uid: int) -> None:
    """A database that Label Studio has moved on is not put under an older one, which would work on it half blind.

    Raises:
        LabelrigError: the backup has migrations that this image does not know. Nothing was changed.
    """
    known = label_studio_of(host, image, uid).known
    if later := sorted(set(snapshot.manifest["migrations"]) - known):
        raise LabelrigError(
            f"{host.name}: the backup {snapshot.id} is of a later Label Studio "
            f"({snapshot.manifest['label_studio_image']}) than this one ({image}), which does not know {len(later)} of "
            f"its migrations, {later[0]} among them; use the version of labelrig that made it, or a later one; "
            "nothing was changed"
        )


def different_tables(wanted: Mapping[str, Mapping[str, object]], found: Mapping[str, object]) -> list[str]:
    """Where a restored database differs from the manifest, a sentence a table."""
    problems = []
    for name in sorted({*wanted, *found}):
        before, after = wanted.get(name), found.get(name)
        if before == after:
            continue
        if not isinstance(after, dict) or before is None:
            problems.append(f"the table {name} {'is missing' if before is not None else 'is not in the backup'}")
        elif before["rows"] != after["rows"]:
            problems.append(f"the table {name} has {after['rows']} rows and {before['rows']} in the backup")
        else:
            problems.append(f"the table {name} has other values than in the backup")
    return problems


def old_secrets(snapshot: Snapshot, present: Mapping[str, str], host_option: str) -> list[str]:
    """What the backup brings back of secrets that were replaced since, a sentence; empty: none was.

    Args:
        present: the secrets of the machine.
        host_option: of the command that makes others; see `Site.host_option`.
    """
    replaced = [name for name, value in snapshot.secrets(present).items() if present.get(name, value) != value]
    if not replaced:
        return []
    return [
        f"the secrets of {snapshot.made} become valid again ({', '.join(sorted(replaced))}), also for whoever should "
        f"not know them any more; where they were replaced for that, `./inv secrets.rotate all{host_option}` afterwards"
    ]


def missing_images(snapshot: Snapshot, host: Host) -> list[str]:
    """What of the image folders is not on this machine as it was when the backup was made, a sentence a folder."""
    sentences = []
    for folder in snapshot.folders():
        text = snapshot.small.get(f"images/{folder.name}.list")
        if text is None:
            continue
        wanted = _listed(text)
        command = ("find", "-H", folder.path, "-type", "f", "-printf", "%s %T@ %P\\0")
        shown = host.run(*command, ok=ANY_EXIT_CODE, timeout=LIST_TIMEOUT, as_root=looks_as_root(host))
        there = _listed(shown.stdout)
        gone = [path for path in wanted if path not in there]
        other = [path for path in wanted if path in there and there[path] != wanted[path]]
        if gone or other:
            names = ", ".join(PurePosixPath(path).name for path in (*gone, *other)[:SHOWN])
            sentences.append(
                f"{folder.path}: of {len(wanted)} files that it had, {len(gone)} are not there and {len(other)} have "
                f"another size ({names}, ...); images are not in backups: bring them back yourself"
            )
    return sentences


def _listed(text: str) -> dict[str, str]:
    """Path -> size, of what `find` printed."""
    rows = (row.split(" ", 2) for row in text.split("\0") if row)
    return {row[2]: row[0] for row in rows if len(row) == 3}


def counts(rows: Sequence[str]) -> str:
    """Problems in one sentence: the first, and how many more."""
    return rows[0] + (f", and {len(rows) - 1} more" if rows[1:] else "")
