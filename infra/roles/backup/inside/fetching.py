"""A snapshot on its way back: everything beside its place and compared with the manifest, then put there by renames."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.roles.backup.inside.media import hash_file, read_list, walk
from infra.roles.backup.inside.places import DATABASE_FACTS, MANIFEST, MEDIA_LIST, Places, Problem
from infra.roles.backup.inside.reading import manifest_of
from infra.roles.backup.inside.request import Request
from infra.roles.backup.inside.restic import LONG, Failed, Restic, say
from infra.roles.backup.inside.saving import refuse_without_room

SIGN_OF_LIFE = 10.0
SQLITE_MOVING = "label_studio.sqlite3.moving"  # where `infra.database.sqlite_file` adopts it from
Answer = dict[str, Any]


def fetch(places: Places, request: Request, restic: Restic, snapshot: str) -> Answer:
    """Bring a snapshot beside its place and compare every file with the manifest. What serves is not touched.

    Raises:
        Problem: it cannot be read, there is no room, or a file is not what the manifest says.
    """
    manifest = manifest_of(places, restic, snapshot)
    drop(places)
    small = int(manifest["database"]["bytes"])
    refuse_without_room(places.staging, 2 * small, "the Docker engine's disk, for the database of the backup")
    refuse_without_room(places.data, small + int(manifest["media"]["bytes"]), "the Docker engine's disk")
    for target, folders in (
        (places.fetched, [places.database, places.files, places.proxy]),
        (places.media_beside, [places.media]),
    ):
        target.mkdir(mode=0o711)
        include = [word for folder in folders for word in ("--include", str(folder))]
        with _sign_of_life(f"restoring {folders[0].name}"):
            try:
                words = ("--target", str(target), *include)
                restic.run_in_turn("restore", snapshot, *words, alone=False, timeout=LONG)
            except Failed as error:
                raise Problem(f"the backup {snapshot} cannot be read whole: {error}; nothing was changed") from None
    remove_later_uploads(places)
    problem = first_difference(places, manifest)
    if problem:
        raise Problem(f"the backup {snapshot} is not what its manifest says: {problem}; nothing was changed")
    _open_dump(places, request)
    return {"snapshot": snapshot, "facts": str(places.fetched_from(places.database) / manifest["database"]["file"])}


def remove_later_uploads(places: Places) -> None:
    """Remove fetched uploads that the manifest does not name.

    They came while the snapshot was being made, after the dump: no row of it names them.
    """
    folder = _media_beside(places)
    listed = _listed_media(places)
    for name in [name for name, _ in walk(folder) if name not in listed]:
        say(f"not in the manifest, left out: {name}")
        (folder / name).unlink()


def first_difference(places: Places, manifest: Answer) -> str:
    """What of a fetched snapshot is not as the manifest has it; empty: nothing."""
    database, files = places.fetched_from(places.database), places.fetched_from(places.files)
    kept = json.loads((files / MANIFEST).read_text("utf-8"))
    if kept != manifest:
        return "its manifest changed"
    wanted = {database / manifest["database"]["file"]: str(manifest["database"]["sha256"])}
    wanted |= {files / name: str(digest) for name, digest in manifest["files"].items()}
    beside = _media_beside(places)
    wanted |= {beside / name: digest for name, (_, digest) in _listed_media(places).items()}
    for path, digest in wanted.items():
        if not path.is_file():
            return f"{path.name} is missing"
        if hash_file(path) != digest:
            return f"{path.name} has another content"
    tables = json.loads((database / DATABASE_FACTS).read_text("utf-8"))["tables"]
    return "" if tables == manifest["database"]["tables"] else "the tables of its dump are others"


def beside(places: Places, request: Request) -> Answer:
    """Copy a SQLite database to where it is adopted from, beside the one that serves. Returns: its path."""
    if places.data.stat().st_uid == 0:  # made a moment ago, on a bare machine: the database's user works in it
        os.chown(places.data, request.uid, request.uid)
        places.data.chmod(0o700)
    target = _remove_moving(places)
    shutil.copyfile(places.fetched_from(places.database) / "database.sqlite3", target)
    os.chown(target, request.uid, request.uid)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return {"place": str(target)}


def adopt(places: Places, request: Request, stamp: str) -> Answer:
    """Put the fetched media into their place; those that were there stay under another name. By renames only.

    Certificates are put back where the machine has none. What a killed run did already is not done again.
    """
    aside = ""
    new = _media_beside(places)
    if new.is_dir() or places.media_beside.is_dir():
        new.mkdir(parents=True, exist_ok=True)
        give(new, request.uid)
        if places.media.exists():
            before = places.media.with_name(f"media.before-{stamp}")
            places.media.rename(before)
            aside = str(before)
        new.rename(places.media)
        shutil.rmtree(places.media_beside)
    certificates = places.fetched_from(places.proxy)
    if certificates.is_dir() and not any(places.proxy.iterdir()):
        shutil.copytree(certificates, places.proxy, dirs_exist_ok=True)
        give(places.proxy, request.uid)
    os.sync()
    return {"aside": aside}


def drop(places: Places) -> None:
    """Remove what was fetched, and a database that was not adopted."""
    for folder in (places.fetched, places.media_beside):
        if folder.exists():
            shutil.rmtree(folder)
    _remove_moving(places)


def give(folder: Path, uid: int) -> None:
    """Make everything in a folder, and itself, the user's."""
    for at, folders, names in os.walk(folder):
        for name in (*folders, *names):
            os.chown(Path(at, name), uid, uid, follow_symlinks=False)
    os.chown(folder, uid, uid)


def _remove_moving(places: Places) -> Path:
    """Remove a database that is beside its place. Returns its path."""
    target = places.data / SQLITE_MOVING
    for end in ("", "-journal", "-wal", "-shm"):
        target.with_name(target.name + end).unlink(missing_ok=True)
    return target


def _media_beside(places: Places) -> Path:
    return places.media_beside / places.media.relative_to("/")


def _listed_media(places: Places) -> dict[str, tuple[int, str]]:
    try:
        return read_list((places.fetched_from(places.files) / MEDIA_LIST).read_text("utf-8"))
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise Problem(f"the list of uploads in the backup cannot be read: {error!r}; nothing was changed") from None


def _open_dump(places: Places, request: Request) -> None:
    """Let the containers' user read the dump, and nothing else."""
    folder = places.fetched_from(places.database)
    for path in [*folder.parents][: len(folder.relative_to(places.fetched).parts)]:
        os.chmod(path, 0o711)  # noqa: S103 - to pass through, with nothing to read
    give(folder, request.uid)


@contextmanager
def _sign_of_life(what: str) -> Iterator[None]:
    """restic says nothing while it restores."""
    done, began = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(SIGN_OF_LIFE):
            say(f"{what}: {time.monotonic() - began:.0f} s so far")

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()
