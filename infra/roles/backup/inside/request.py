"""What one run of the container is to do, from its environment: `LABELRIG_BACKUP_*` and what the stack's files say."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from infra.roles.backup.inside.places import Problem

TAG = "labelrig"
BEFORE_RESTORE = "before-restore"
BEFORE_UPGRADE = "before-upgrade"
BEFORE = (BEFORE_RESTORE, BEFORE_UPGRADE)  # reasons of backups that are the way back from something
KEEP = re.compile(r"(\d+)d (\d+)w (\d+)m")


@dataclass(frozen=True)
class Request:
    """The stack and its repository.

    Attributes:
        project: the name of the stack, as it stands in snapshots.
        machine: the name of the machine, as it stands in snapshots.
        repository: as restic takes it.
        known: a repository was there before.
        keep: how many daily, weekly and monthly snapshots stay.
        uid: user and group of the containers.
        database: sqlite or postgres.
        database_bytes: how large the database is.
        images: of Label Studio and the backup, by their tags.
        version: of labelrig.
        username: the first user of Label Studio.
        reason: a further tag of the snapshot; empty: none.
    """

    project: str
    machine: str
    repository: str
    known: bool
    keep: str
    uid: int
    database: str
    database_bytes: int
    image: str
    version: str
    username: str
    reason: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str] | None = None) -> Request:
        """Read the environment."""
        values = os.environ if given is None else given

        def text(name: str) -> str:
            return values.get(f"LABELRIG_{name}", "")

        return cls(
            project=text("BACKUP_PROJECT"),
            machine=text("BACKUP_MACHINE"),
            repository=text("BACKUP_REPOSITORY"),
            known=text("BACKUP_KNOWN") == "yes",
            keep=text("BACKUP_KEEP"),
            uid=int(text("UID") or 0),
            database=text("BACKUP_DATABASE"),
            database_bytes=int(text("BACKUP_DATABASE_BYTES") or 0),
            image=text("LABEL_STUDIO_IMAGE"),
            version=text("VERSION"),
            username=text("BACKUP_USERNAME"),
            reason=text("BACKUP_REASON"),
        )

    @property
    def tags(self) -> list[str]:
        """The tags of a snapshot of this stack."""
        return [TAG, f"project:{self.project}", *([self.reason] if self.reason else [])]

    @property
    def keep_arguments(self) -> list[str]:
        """For `restic forget`."""
        found = KEEP.fullmatch(self.keep)
        if found is None:
            raise Problem(f"LABELRIG_BACKUP_KEEP: {self.keep!r} is not like `7d 5w 12m`")
        names = ("daily", "weekly", "monthly")
        pairs = [(name, count) for name, count in zip(names, found.groups(), strict=True) if int(count)]
        return [word for name, count in pairs for word in (f"--keep-{name}", count)]
