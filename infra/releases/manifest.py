"""What a release is: its name, what its release.json says, and which ones are kept. Pure; the host is elsewhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import total_ordering
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

from infra.database.state import DatabaseState
from infra.roles.stack.render import RenderedFile

MANIFEST = "release.json"
STAMP = "%Y%m%dT%H%M%SZ"
COMMIT_LENGTH = 7
ID_FORM = re.compile(r"(?P<stamp>\d{8}T\d{6}Z)-(?P<commit>[0-9a-z]{7})(?P<dirty>-dirty)?(\.(?P<number>[1-9]\d*))?")
NAME_FORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")

Gate = Literal["pending", "passed", "failed"]


@total_ordering
@dataclass(frozen=True)
class ReleaseId:
    """`<time>-<commit>[-dirty]`, then `.2`, `.3` within one second. The order is that of making."""

    moment: datetime
    commit: str
    dirty: bool = False
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> ReleaseId | None:
        """Read what `str` made; None for any other text."""
        found = ID_FORM.fullmatch(text)
        if found is None:
            return None
        try:
            moment = datetime.strptime(found["stamp"], STAMP).replace(tzinfo=UTC)
        except ValueError:
            return None
        one = cls(moment, found["commit"], bool(found["dirty"]), int(found["number"] or 1))
        return one if str(one) == text else None

    def __str__(self) -> str:
        number = f".{self.number}" if self.number > 1 else ""
        return f"{self.moment.strftime(STAMP)}-{self.commit}{'-dirty' if self.dirty else ''}{number}"

    def __lt__(self, other: ReleaseId) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[datetime, int, str, bool]:
        return self.moment, self.number, self.commit, self.dirty


def next_id(present: Collection[ReleaseId], now: datetime, commit: str, dirty: bool) -> ReleaseId:
    """Return an id behind every present one, even where this machine's clock is behind the one that named those."""
    moment = now.astimezone(UTC).replace(microsecond=0)
    newest = max(present, default=None)
    short = commit[:COMMIT_LENGTH]
    if newest is None or moment > newest.moment:
        return ReleaseId(moment, short, dirty)
    return ReleaseId(newest.moment, short, dirty, newest.number + 1)


class ImageRef(BaseModel):
    """An image by the tag that compose uses, and by the id that says which one it was. An unknown id is empty."""

    model_config = ConfigDict(frozen=True)

    tag: str
    id: str = ""


class FileFacts(BaseModel):
    """What tells one version of a file from another."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    mode: int

    @classmethod
    def of(cls, file: RenderedFile) -> FileFacts:
        """The facts of a file to be."""
        return cls(sha256=hashlib.sha256(file.content).hexdigest(), mode=file.mode)


class ReleaseFacts(BaseModel):
    """What is known when a release is written. Holds no secret.

    Attributes:
        by: who makes it.
        images: service -> image.
        model: what SAM2_MODEL gets.
        database: sqlite or postgres.
        folders: the image folders of the host that are mounted.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    commit: str
    dirty: bool
    by: str
    images: Mapping[str, ImageRef]
    model: str
    database: Literal["sqlite", "postgres"]
    folders: tuple[str, ...] = ()


class Manifest(ReleaseFacts):
    """release.json.

    Attributes:
        made_at: the clock of the machine that made it; the id is the order.
        gate: whether it was proven to work.
        model_version: as the backend named it at the gate.
        database_state: of the database that it ran on, read at the gate.
        files: by name, without release.json itself.
    """

    made_at: str
    gate: Gate = "pending"
    model_version: str | None = None
    database_state: DatabaseState | None = None
    files: Mapping[str, FileFacts]


@dataclass(frozen=True)
class Release:
    """A release as it lies on the host. `manifest` is None where release.json is missing or cannot be read."""

    id: ReleaseId
    manifest: Manifest | None
    files: Mapping[str, FileFacts] = field(default_factory=dict)

    @property
    def gate(self) -> Gate:
        """Whether it was proven to work; one without a manifest cannot have been."""
        return self.manifest.gate if self.manifest is not None else "failed"

    def damaged(self) -> list[str]:
        """The files that are missing or not what they were when the release was made."""
        if self.manifest is None:
            return [MANIFEST]
        return sorted(name for name, facts in self.manifest.files.items() if self.files.get(name) != facts)


def file_name(file: RenderedFile) -> str:
    """Return a file's name in its release: releases have no folders.

    Raises:
        ValueError: it cannot be one.
    """
    name = PurePosixPath(file.path).name
    if NAME_FORM.fullmatch(name) is None or name == MANIFEST:
        raise ValueError(f"{file.path}: not the name of a release's file")
    return name


def newest_passed(releases: Sequence[Release], before: ReleaseId | None = None) -> Release | None:
    """Return the newest release that passed its gate; with `before`, of those older than that one."""
    passed = [one for one in releases if one.gate == "passed" and (before is None or one.id < before)]
    return max(passed, key=lambda one: one.id, default=None)


def prunable(releases: Sequence[Release], current: ReleaseId | None, keep: int) -> list[ReleaseId]:
    """Return what can go, oldest first: all but the newest `keep`.

    Never the current one, nor the newest that passed, nor the newest that passed before the current one: that is
    where a rollback goes.
    """
    passed = (newest_passed(releases), newest_passed(releases, current))
    safe = {current, *(one.id for one in passed if one is not None)}
    ids = sorted(one.id for one in releases)
    return [one for one in ids[: max(0, len(ids) - keep)] if one not in safe]


def stamp(now: datetime) -> str:
    """A moment for people and programs, to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
