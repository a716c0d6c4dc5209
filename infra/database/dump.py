"""Dump a stack's database for a backup, read a dump, load one. Runs in a container of the database's own image.

Sent there as text (see `labelstudio.program`): the standard library, `comparing` and `tables`. A container of Label
Studio for SQLite, of the database server's image for PostgreSQL, which it reaches over the network of the stack.
Usage: `size`; `make FOLDER`; `look PLACE`, the name of a database or the path of a SQLite file; `load FILE DATABASE`
(PostgreSQL); `adopt STAMP` (SQLite: what was copied beside the database takes its place).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from infra.database.comparing import Refused
from infra.database.sqlite_file import adopt, unmark
from infra.database.tables import Contents, of_copy, of_sqlite

FILE = Path("/label-studio/data/label_studio.sqlite3")
DATABASE = "labelstudio"
SERVER = ("--host", "db", "--username", "labelstudio", "--no-password")
BUSY_SECONDS = 60
STEP_PAGES = 4096  # of SQLite, 4 KiB each: what is copied in one go, while nothing can be saved
RESTARTS = 3
REFUSED = 3


def main(kind: str) -> None:
    """Do what the arguments of the process say, and print the answer as JSON.

    Args:
        kind: of the database, sqlite or postgres.
    """
    verb, *arguments = sys.argv[1:]
    try:
        answer = VERBS[kind, verb](*arguments)
    except Refused as error:
        answer = {"problem": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.exit(REFUSED if "problem" in answer else 0)


def sqlite_size() -> dict[str, object]:
    """How many bytes a dump may take."""
    if not FILE.exists():
        raise Refused("there is no database yet: Label Studio was never started")
    return {"bytes": FILE.stat().st_size + _size_of(Path(f"{FILE}-wal"))}


def sqlite_make(folder: str) -> dict[str, object]:
    """Copy the database by SQLite's own backup, while people work: the copy is one moment of it. Then read it back."""
    target = Path(folder, "database.sqlite3")
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{FILE.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as db,
        closing(sqlite3.connect(part)) as new,
    ):
        new.execute("PRAGMA synchronous=OFF")
        copy_in_steps(db, new)
        problem = new.execute("PRAGMA quick_check").fetchone()[0]
        if problem != "ok":
            raise Refused(f"the copy of the database does not read back: {problem}")
        new.execute("PRAGMA journal_mode=DELETE")  # one file holds all of it
    part.replace(target)
    return _made(target, "sqlite", of_sqlite(target))


def copy_in_steps(db: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Copy a database as it is at one moment.

    Between the steps others can save; then SQLite begins the copy anew. Where that never ends it is made in one step,
    for whose time whoever saves waits: everything was just read, so it comes from memory where there is enough of it.
    """
    steps = Steps()
    try:
        db.backup(new, pages=STEP_PAGES, progress=steps.seen)
    except Restless:
        sys.stderr.write("people keep saving: the database is copied in one step\n")
        db.backup(new)


class Restless(Exception):
    """Others keep writing into the database."""


class Steps:
    """The steps of a copy."""

    def __init__(self) -> None:
        self._done = self._restarts = 0

    def seen(self, code: int, remaining: int, total: int) -> None:
        """Take the state after a step: pages that remain, of how many.

        Raises:
            Restless: the copy began anew too often.
        """
        if code != sqlite3.SQLITE_OK:  # the last one, or one that waits for a writer
            return
        if total - remaining <= self._done:
            self._restarts += 1
        self._done = total - remaining
        if self._restarts > RESTARTS:
            raise Restless


def sqlite_look(file: str) -> dict[str, object]:
    """What is in a SQLite file."""
    return of_sqlite(Path(file)).facts()


def sqlite_adopt(stamp: str) -> dict[str, object]:
    """Put the copy beside the database into its place; what was there stays under another name."""
    before = adopt(FILE, stamp)
    unmark(FILE, stamp)
    return {"aside": before or ""}


def postgres_size() -> dict[str, object]:
    """See `sqlite_size`: how large the database is; its dump is smaller."""
    query = "SELECT pg_database_size(current_database())"
    shown = _output("psql", *SERVER, "--dbname", DATABASE, "--no-psqlrc", "--tuples-only", "--no-align", "-c", query)
    return {"bytes": int(shown.strip())}


def postgres_make(folder: str) -> dict[str, object]:
    """Dump the database: pg_dump's is one moment of it, while people work. Then read its table of contents back."""
    target = Path(folder, "database.dump")
    part = target.with_suffix(".part")
    _output("pg_dump", *SERVER, "--dbname", DATABASE, "--format", "custom", "--file", str(part))
    _output("pg_restore", "--list", str(part))
    part.replace(target)
    return _made(target, "postgres", _contents("pg_restore", "--data-only", "--file", "-", str(target)))


def postgres_look(database: str) -> dict[str, object]:
    """What is in a database of the server."""
    return _contents("pg_dump", *SERVER, "--dbname", database, "--data-only").facts()


def postgres_load(file: str, database: str) -> dict[str, object]:
    """Restore a dump into an empty database, whole or not at all."""
    flags = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _output("pg_restore", *SERVER, "--dbname", database, *flags, file)
    _output("psql", *SERVER, "--dbname", database, "--no-psqlrc", "-c", "ANALYZE")
    return {"loaded": database}


VERBS: dict[tuple[str, str], Callable[..., dict[str, object]]] = {
    ("sqlite", "size"): sqlite_size,
    ("sqlite", "make"): sqlite_make,
    ("sqlite", "look"): sqlite_look,
    ("sqlite", "adopt"): sqlite_adopt,
    ("postgres", "size"): postgres_size,
    ("postgres", "make"): postgres_make,
    ("postgres", "look"): postgres_look,
    ("postgres", "load"): postgres_load,
}


def _made(target: Path, kind: str, contents: Contents) -> dict[str, object]:
    """Write what is in a dump beside it. Returns few figures."""
    with target.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = contents.facts() | {"kind": kind, "file": target.name, "bytes": target.stat().st_size, "sha256": digest}
    new = target.with_name("database.json.new")
    new.write_text(json.dumps(facts), "utf-8")
    new.replace(target.with_name("database.json"))
    tables = contents.tables.values()
    return {"tables": sum(1 for one in tables if one.rows), "rows": sum(one.rows for one in tables)}


def _contents(*argv: str) -> Contents:
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None  # noqa: S101 - asked for
        try:
            contents = of_copy(line.decode("utf-8", "surrogateescape") for line in one.stdout)
        except ValueError as error:
            raise Refused(str(error)) from None
    if one.returncode:
        raise Refused(f"the dump cannot be read back: {argv[0]} ended with exit code {one.returncode}")
    return contents


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Refused(f"{argv[0]} ended with exit code {done.returncode}: {last}")
    return done.stdout


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
