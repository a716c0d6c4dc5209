"""The releases of one project on its host: written whole, made current by one rename, read in one round trip."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from pydantic import ValidationError

from core.errors import LabelrigError
from core.operation import Change
from hosts.base import Host
from infra.database.state import DatabaseState
from infra.releases.archive import by_name, changed_names, file_diff, packed
from infra.releases.manifest import (
    MANIFEST,
    FileFacts,
    Gate,
    ImageRef,
    Manifest,
    Release,
    ReleaseFacts,
    ReleaseId,
    next_id,
    prunable,
    stamp,
)
from infra.releases.scripts import run_script
from infra.roles.stack.render import RenderedFile

ABSENT = 3
CANNOT_WRITE = 74
# A truncated archive is no release: the manifest comes last in it, and must be there.
WRITE = """umask 077
part=$1/releases/.$2.part
mkdir -p "$1/releases" && rm -rf "$1"/releases/.*.part && mkdir "$part" &&
    tar --extract --no-same-owner --preserve-permissions --directory "$part" &&
    cat "$part/release.json" >/dev/null && sync "$part"/* && mv -T "$part" "$1/releases/$2" || exit 74
"""


@dataclass(frozen=True)
class Found:
    """Every release on the host, oldest first, and which one `current` names (it may not be there)."""

    releases: tuple[Release, ...]
    current_id: ReleaseId | None

    @property
    def current(self) -> Release | None:
        """The release that `current` leads to."""
        return self.get(self.current_id)

    def get(self, wanted: ReleaseId | str | None) -> Release | None:
        """The release with this id."""
        return next((one for one in self.releases if str(one.id) == str(wanted)), None)


class Releases:
    """The folder `releases` and the link `current` of one project."""

    def __init__(self, host: Host, base: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.host = host
        self._base = base
        self._now = now

    def read(self) -> Found:
        """Read everything but the files' contents. Changes nothing."""
        lines = run_script(self.host, "releases", "look", self._base).stdout.splitlines()
        return parse_listing(lines)

    def current(self) -> Release | None:
        """The release that serves; None before the first deploy."""
        return self.read().current

    def next_id(self, found: Found, facts: ReleaseFacts) -> ReleaseId:
        """The id of a release written now."""
        return next_id([one.id for one in found.releases], self._now(), facts.commit, facts.dirty)

    def read_file(self, release: Release, name: str) -> RenderedFile:
        """Return one file of a release.

        Raises:
            LabelrigError: it is gone.
        """
        path = f"{self._folder(release.id)}/{name}"
        content = self.host.read(path, as_root=True)
        if content is None:
            raise LabelrigError(f"{self.host.name}: {path} has just disappeared; run the same command again")
        return RenderedFile(path, content, release.files[name].mode)

    def write(self, files: Sequence[RenderedFile], facts: ReleaseFacts) -> Release:
        """Write a release that is not current yet. One that was written half is never seen, and goes with the next."""
        new = self.next_id(self.read(), facts)
        hashes = {name: FileFacts.of(file) for name, file in by_name(files).items()}
        manifest = Manifest(**dict(facts), made_at=stamp(self._now()), files=hashes)
        archive = packed(files, _encoded(manifest))
        command = ("sh", "-c", WRITE, "write-release", self._base, str(new))
        result = self.host.run(*command, ok=(0, CANNOT_WRITE), stdin=archive, as_root=True)
        if result.exit_code == CANNOT_WRITE:
            raise LabelrigError(
                f"{self.host.name}: release {new} cannot be written in {self._base} "
                f"({(result.stderr.splitlines() or ['no reason given'])[0]}); the current release stays; "
                "make room there and run the same command again"
            )
        return Release(new, manifest, hashes)

    def activate(self, wanted: ReleaseId) -> None:
        """Make a release the current one.

        Raises:
            LabelrigError: there is no such release.
        """
        result = run_script(self.host, "releases", "activate", self._base, str(wanted), ok=(0, ABSENT))
        if result.exit_code == ABSENT:
            raise LabelrigError(f"{self.host.name}: there is no release {wanted}; nothing was changed")

    def mark(
        self,
        wanted: ReleaseId,
        gate: Gate,
        *,
        model_version: str | None = None,
        database_state: DatabaseState | None = None,
    ) -> None:
        """Record how a release did at its gate, and what was seen there; None leaves what is recorded.

        Raises:
            LabelrigError: there is no such release.
        """
        found = self.read().get(wanted)
        if found is None or found.manifest is None:
            raise LabelrigError(f"{self.host.name}: release {wanted} has no readable {MANIFEST} to record its gate in")
        seen = {"model_version": model_version, "database_state": database_state}
        update = {"gate": gate, **{name: value for name, value in seen.items() if value is not None}}
        manifest = found.manifest.model_copy(update=update)
        self.host.write(f"{self._folder(wanted)}/{MANIFEST}", _encoded(manifest), 0o644, as_root=True)

    def replace_file(self, release: Release, file: RenderedFile) -> None:
        """Give a file of a release other content, which its manifest then says, too: secrets are no part of a release.

        Where this is cut off, the release counts as damaged until it is done again.
        """
        self.host.write(file.path, file.content, file.mode, as_root=True)
        if release.manifest is None:
            return
        name = PurePosixPath(file.path).name
        files = {**release.manifest.files, name: FileFacts.of(file)}
        manifest = release.manifest.model_copy(update={"files": files})
        self.host.write(f"{self._folder(release.id)}/{MANIFEST}", _encoded(manifest), 0o644, as_root=True)

    def prune(self, keep: int) -> tuple[ReleaseId, ...]:
        """Remove the oldest releases; see `prunable`. Returns those that went."""
        found = self.read()
        surplus = prunable(found.releases, found.current_id, keep)
        self.remove(surplus)
        return tuple(surplus)

    def remove(self, gone: Sequence[ReleaseId]) -> None:
        """Remove releases; those that are not there are none."""
        if gone:
            run_script(self.host, "releases", "remove", self._base, *map(str, gone))

    def differs(self, files: Sequence[RenderedFile], release: Release | None) -> dict[str, str]:
        """Return name -> diff, secrets masked, of every file that is not as it is in `release`."""
        present = release.files if release is not None else {}
        wanted = by_name(files)
        diffs = {}
        for name in changed_names(present, files):
            old = self.read_file(release, name) if release is not None and name in present else None
            diffs[name] = file_diff(name, old, wanted.get(name))
        return diffs

    def _folder(self, wanted: ReleaseId) -> str:
        return f"{self._base}/releases/{wanted}"


class ReleaseActive:
    """`current` leads to a release with exactly these files and images, which did not fail its gate."""

    name = "release current"

    def __init__(self, releases: Releases, files: Sequence[RenderedFile], facts: ReleaseFacts) -> None:
        self._releases = releases
        self._files = files
        self._facts = facts
        self._written: ReleaseId | None = None

    def plan(self) -> list[Change]:
        """Write a release and make it current, where the current one is not what is wanted."""
        found = self._releases.read()
        current = found.current
        reasons = list(self._reasons(current))
        if current is not None and not reasons:
            return []
        now = self._releases.next_id(found, self._facts)
        return [
            Change(f"write release {now}", self._write, "\n".join(reasons)),
            Change(f"make {now} current", self._activate),
        ]

    def _reasons(self, current: Release | None) -> Iterator[str]:
        """What speaks against the current release, as diffs."""
        for name, diff in self._releases.differs(self._files, current).items():
            yield diff or f"{name}: new and empty"
        if current is None:
            return
        if current.gate == "failed":
            yield f"gate of {current.id}: failed, so it is tried again as a new release"
        recorded = current.manifest.images if current.manifest is not None else {}
        yield from _image_changes(recorded, self._facts.images)

    def _write(self) -> None:
        self._written = self._releases.write(self._files, self._facts).id

    def _activate(self) -> None:
        if self._written is None:
            raise LabelrigError("a release must be written before it is made current")
        self._releases.activate(self._written)


def parse_listing(lines: Sequence[str]) -> Found:
    """Read what the script printed. A folder that is not named like a release is none."""
    current: ReleaseId | None = None
    releases: list[Release] = []
    found: ReleaseId | None = None
    manifest: Manifest | None = None
    files: dict[str, FileFacts] = {}

    def settle() -> None:
        if found is not None:
            releases.append(Release(found, manifest, files))

    for line in lines:
        key, _space, value = line.partition(" ")
        if key == "current":
            current = ReleaseId.parse(value)
        elif key == "release":
            settle()
            found, manifest, files = ReleaseId.parse(value), None, {}
        elif key == "manifest":
            with suppress(ValidationError, binascii.Error):
                manifest = Manifest.model_validate_json(base64.b64decode(value))
        elif key == "file":
            mode, sha256, name = value.split(" ", 2)
            files[name] = FileFacts(sha256=sha256, mode=int(mode, 8))
    settle()
    return Found(tuple(sorted(releases, key=lambda one: one.id)), current)


def _image_changes(old: Mapping[str, ImageRef], new: Mapping[str, ImageRef]) -> Iterator[str]:
    """Images that stand behind the same tag and are others now; ids that are not known say nothing."""
    for service in sorted({*old, *new}):
        before, after = old.get(service), new.get(service)
        if before is not None and after is not None and before.id and after.id and before.id != after.id:
            yield f"image of {service}: {before.tag} {before.id} -> {after.tag} {after.id}"


def _encoded(manifest: Manifest) -> bytes:
    return (manifest.model_dump_json(indent=2) + "\n").encode()
