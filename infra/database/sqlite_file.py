"""What is done to the SQLite file itself. Runs in a container of Label Studio, where the file's volume is.

It is sent there as text (see `program`), so it needs the standard library only.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"SQLite format 3\0"
BUSY_SECONDS = 20
BUSY = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED
BESIDE = ("-journal", "-wal", "-shm")  # what SQLite keeps beside a database
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)


def main(action: str, file: str, stamp: str = "") -> None:
    """Carry out one action and print its answer as JSON.

    Args:
        action: see `ACTIONS`.
        file: the path of the database in its place.
        stamp: the time, for the names of what is kept.
    """
    sys.stdout.write(json.dumps(ACTIONS[action](Path(file), stamp)) + "\n")


def work(file: Path, _stamp: str) -> list[int | bool] | None:
    """The number of projects and of tasks, and whether the file is marked spare; None where there are no tables."""
    with _opened(file) as db:
        tables = _tables(db)
        if not {"project", "task"} <= tables:
            return None
        projects, tasks = (_one(db, f"SELECT count(*) FROM {name}") for name in ("project", "task"))  # noqa: S608
        return [int(str(projects)), int(str(tasks)), _spare(file).exists()]


def mark(file: Path, _stamp: str) -> None:
    """Mark the file as not in use."""
    _spare(file).touch()


def unmark(file: Path, _stamp: str) -> None:
    """Take the mark away."""
    _spare(file).unlink(missing_ok=True)


def copy(file: Path, stamp: str) -> str:
    """Make a safety copy with SQLite's own backup, and check it. Returns its path."""
    target = _safety(file, stamp)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    with _opened(file) as db, contextlib.closing(sqlite3.connect(part)) as new:
        db.backup(new)
        problem = _one(new, "PRAGMA quick_check")
        if problem != "ok":
            sys.exit(f"the safety copy does not read back: {problem}")
    part.replace(target)
    return str(target)


def room(file: Path, _stamp: str) -> str:
    """Remove what an earlier move left unfinished. Returns the path at which a copy may grow."""
    moving = _moving(file)
    for end in ("", *BESIDE):
        Path(f"{moving}{end}").unlink(missing_ok=True)
    return str(moving)


def adopt(file: Path, stamp: str) -> str | None:
    """Put the copy into its place, marked spare. Returns the new path of what was there.

    What was there may be damaged: that is a reason to put another one into its place.
    """
    if not _moving(file).exists():
        sys.exit(f"{_moving(file)} is not there: there is no copy to put into the place of the database")
    _settle(_moving(file))
    before = _put_aside(file, stamp)
    _spare(file).touch()
    _moving(file).rename(file)
    _written(file.parent)
    return None if before is None else str(before)


def size(file: Path, _stamp: str) -> list[int]:
    """The bytes of the database, and those that are free beside it."""
    parts = (Path(f"{file}{end}") for end in ("", "-wal"))
    taken = sum(part.stat().st_size for part in parts if part.exists())
    disk = os.statvfs(file.parent)
    return [taken, disk.f_bavail * disk.f_frsize]


def is_kept(file: Path, stamp: str) -> bool:
    """Whether the safety copy of that moment is there."""
    return _safety(file, stamp).exists()


def bring_back(file: Path, stamp: str) -> None:
    """Put the safety copy of that moment in the place of the database, which is removed. Nothing has it open.

    Where the copy is not there any more it is in its place already.
    """
    kept = _safety(file, stamp)
    if not kept.exists():
        return
    for end in (*BESIDE, ""):
        Path(f"{file}{end}").unlink(missing_ok=True)
    kept.rename(file)
    _written(file.parent)


def forget(file: Path, stamp: str) -> None:
    """Remove the safety copy of that moment."""
    _safety(file, stamp).unlink(missing_ok=True)


def state(file: Path, _stamp: str) -> dict[str, list[str]]:
    """The names of the applied migrations, and when the organisation and the first user were made."""
    with _opened(file) as db:
        tables = _tables(db)
        migrations = []
        if "django_migrations" in tables:
            migrations = [f"{app}.{name}" for app, name in db.execute("SELECT app, name FROM django_migrations")]
        born = []
        for table, column in (("organization", "created_at"), ("htx_user", "date_joined")):
            query = f"SELECT {column} FROM {table} ORDER BY id LIMIT 1"  # noqa: S608 - the names above
            if table in tables and (moment := _one(db, query)) is not None:
                made = datetime.datetime.fromisoformat(str(moment)).replace(tzinfo=datetime.UTC)
                born.append(str((made - EPOCH) // MICROSECOND))
    return {"migrations": migrations, "born": born}


ACTIONS = {
    "work": work,
    "mark": mark,
    "unmark": unmark,
    "copy": copy,
    "room": room,
    "adopt": adopt,
    "size": size,
    "is_kept": is_kept,
    "bring_back": bring_back,
    "forget": forget,
    "state": state,
}


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open the file; one that is not there is like one without tables, and is not made."""
    address = f"{file.absolute().as_uri()}?mode=rw" if file.exists() else ":memory:"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as db:
        yield db


def _tables(db: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _one(db: sqlite3.Connection, query: str) -> object:
    row = db.execute(query).fetchone()
    return None if row is None else row[0]


def _put_aside(file: Path, stamp: str) -> Path | None:
    """Rename the database in its place; None where there is none. One that cannot be opened goes as it is.

    With it goes whatever SQLite left beside it: it may be needed to mend the old one, and would spoil the new one.
    """
    there = file.exists()
    if there and _begins_as_sqlite(file):  # else SQLite might take the journal away that mends it
        try:
            _settle(file)
        except sqlite3.DatabaseError as error:
            if _is_busy(error):
                sys.exit(f"{file} is locked: another program has the database open")
            sys.stderr.write(f"{file} cannot be opened ({error}): it is put aside as it is\n")
    before = file.with_name(f"{file.name}.before-{stamp}")
    for end in (*BESIDE, ""):  # the database last: a run that is killed in between is repeated with another stamp
        if (part := Path(f"{file}{end}")).exists():
            part.rename(f"{before}{end}")
    return before if there else None


def _begins_as_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) in (MAGIC, b"")


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # since Python 3.11
    return isinstance(error, sqlite3.OperationalError) if code is None else code & 0xFF in BUSY


def _settle(file: Path) -> None:
    """Finish what a crash left half done, so that the file can be renamed alone."""
    with _opened(file) as db:
        _one(db, "SELECT count(*) FROM sqlite_master")
        _one(db, "PRAGMA wal_checkpoint(TRUNCATE)")
    left = [name for end in ("-journal", "-wal") if Path(name := f"{file}{end}").exists()]
    if left:
        sys.exit(f"{left[0]} is still there: another program has the database open")


def _safety(file: Path, stamp: str) -> Path:
    return file.parent / "safety" / f"{file.stem}-{stamp}.sqlite3"


def _written(folder: Path) -> None:
    """Make sure that renames in a folder are on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _moving(file: Path) -> Path:
    return file.with_name(f"{file.name}.moving")


def _spare(file: Path) -> Path:
    return file.with_name(f"{file.name}.spare")
