"""One backup: a place for the dump, room on both sides, the manifest, the snapshot, and what makes it count."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.roles.backup.inside.media import MediaFile, changed_since, hash_file, list_media, walk
from infra.roles.backup.inside.places import DATABASE_FACTS, FORMAT, MANIFEST, MEDIA_LIST, Places, Problem
from infra.roles.backup.inside.request import Request
from infra.roles.backup.inside.restic import LONG, Failed, Restic, Shown, say
from infra.roles.backup.inside.retention import count_as_backup, forget_old, forget_unchecked, unchecked_tags

SPARE = 64 * 2**20  # bytes that stay free
ATTEMPTS = 3
Answer = dict[str, Any]


def prepare(places: Places, request: Request, restic: Restic) -> Answer:
    """Open the repository, look at the room on both sides, and make an empty place for the dump.

    Raises:
        Problem: nothing was changed, or what an earlier run left behind is gone.
    """
    clear(places)
    places.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(places.staging, 0o711)  # noqa: S103 - the dump's user passes through, and can list nothing
    made = restic.open(make=True, known=request.known)
    restic.unlock()
    forget_unchecked(request, restic)
    needed = request.database_bytes + request.database_bytes // 10
    refuse_without_room(places.staging, needed, "the Docker engine's disk, for the dump of the database")
    if restic.is_folder:
        new = needed + sum(seen[0] for _, seen in walk(places.media)) if made else needed
        refuse_without_room(places.repository, new, f"the repository {restic.address}")
    places.database.mkdir(mode=0o700)
    os.chown(places.database, request.uid, request.uid)
    places.files.mkdir(mode=0o700)
    return {"repository_made": made}


def save(places: Places, request: Request, restic: Restic, *, now: datetime | None = None) -> Answer:
    """Write the manifest, make the snapshot, see that it is whole, and forget what no rule keeps. Needs the dump.

    Returns: the figures of the backup; `not_pruned` says why old ones could not go, empty where they could.

    Raises:
        Problem: there is no new snapshot, or it is not whole: no run counts as a backup that lacks a file.
    """
    began = now or datetime.now(UTC)
    facts = json.loads((places.database / DATABASE_FACTS).read_text("utf-8"))
    _copy_small(places)
    for attempt in range(1, ATTEMPTS + 1):
        media = list_media(places.media, places.cache / MEDIA_LIST)
        manifest = _write_manifest(places, request, facts, media, began)
        shown = Shown("snapshot")
        snapshot = _snapshot(places, request, restic, shown)
        if not (moved := changed_since(places.media, media)):
            break
        say(f"{moved[0]} and {len(moved) - 1} others changed while they were read: once more")
        forget_unchecked(request, restic)
        if attempt == ATTEMPTS:
            raise Problem(f"uploaded files kept changing while they were read, {moved[0]} among them; run it again")
    snapshot = count_as_backup(request, restic, snapshot)
    clear(places)
    tables = facts["tables"].values()
    return {
        "snapshot": snapshot,
        "bytes": int(shown.summary.get("total_bytes_processed", 0)),
        "added_bytes": int(shown.summary.get("data_added", 0)),
        "rows": sum(int(one["rows"]) for one in tables),
        "files": len(media),
        "lost": manifest["lost"],
        "not_pruned": _forgotten(request, restic),
    }


def clear(places: Places) -> None:
    """Remove what a run left in the staging volume; a dump holds everything that people made."""
    for folder in (places.database, places.files):
        shutil.rmtree(folder, ignore_errors=True)


def refuse_without_room(folder: Path, needed: int, where: str) -> None:
    """Raises: Problem: fewer bytes are free than are needed, and some that stay."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise Problem(
            f"there is no room on {where}: {free // 2**20} MB are free and {(needed + SPARE) // 2**20} MB may be "
            "needed; nothing was changed"
        )


def _forgotten(request: Request, restic: Restic) -> str:
    """Forget what need not stay. Returns: why it could not be done; the new backup is one all the same."""
    say("forgetting what need not stay")
    try:
        forget_unchecked(request, restic)
        forget_old(request, restic)
    except Problem as error:
        return str(error)
    return ""


def _snapshot(places: Places, request: Request, restic: Restic, shown: Shown) -> str:
    folders = [places.database, places.files, places.media, places.proxy]
    there = [str(folder) for folder in folders if folder.exists()]
    tags = [word for tag in unchecked_tags(request) for word in ("--tag", tag)]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            words = ("--json", "--host", request.machine, *tags, *there)
            restic.run_in_turn("backup", *words, alone=False, timeout=LONG, each=shown)
            break
        except Failed:
            if attempt == ATTEMPTS:
                raise
            say("restic could not read everything: once more")  # a file that was deleted while it ran
    if not (snapshot := str(shown.summary.get("snapshot_id", ""))):
        raise Problem("restic named no snapshot")
    return snapshot


def _copy_small(places: Places) -> None:
    """Secrets, rendered files, the projects' definitions, lists of image files."""
    for source, name in ((places.stack, "stack"), (places.own / "definitions", "definitions")):
        for path in sorted(source.rglob("*")) if name == "definitions" else sorted(source.iterdir()):
            if path.is_file():
                target = places.files / name / path.relative_to(source)
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    if (places.own / "images").is_dir():
        shutil.copytree(places.own / "images", places.files / "images", dirs_exist_ok=True)
    shutil.copyfile(places.secrets, places.files / "secrets.env")


def _write_manifest(places: Places, request: Request, facts: Answer, media: list[MediaFile], began: datetime) -> Answer:
    (places.files / MEDIA_LIST).write_text("".join(one.line() for one in media), "utf-8")
    there = {one.path for one in media}
    small = {path: hash_file(places.files / path) for path, _ in walk(places.files) if path != MANIFEST}
    manifest = {
        "format": FORMAT,
        "made_at": began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "labelrig": request.version,
        "project": request.project,
        "machine": request.machine,
        "username": request.username,
        "label_studio_image": request.image,
        "database": {name: facts[name] for name in ("kind", "file", "bytes", "sha256", "tables")},
        "migrations": facts["migrations"],
        "media": {"files": len(media), "bytes": sum(one.bytes for one in media)},
        "lost": sorted(name for name in facts["uploads"] if name not in there),
        "files": small,
    }
    (places.files / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), "utf-8")
    return manifest
