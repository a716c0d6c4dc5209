"""What is in each table of a database, from a dump of it: rows, and a digest in which their order does not count.

Runs in containers, sent as text (see `labelstudio.program`): the standard library, and `comparing`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from infra.database.comparing import Tally, plain

MIGRATIONS = ("django_migrations", ("app", "name"))
# Where Label Studio keeps the names of files below its media folder.
FILE_COLUMNS = {
    "data_import_fileupload": "file",
    "htx_user": "avatar",
    "data_export_export": "file",
    "data_export_convertedformat": "file",
}
COPY = re.compile(r'COPY (?:public\.)?"?(\w+)"? \((.*)\) FROM stdin;\n')
ESCAPED = re.compile(r"\\(.)")
PLAIN = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f", "v": "\v"}


@dataclass
class Contents:
    """What was found.

    Attributes:
        tables: by the name of the table.
        migrations: `app.name` of those that were applied.
        files: names of files below the media folder that rows point at.
    """

    tables: dict[str, Tally] = field(default_factory=dict)
    migrations: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)

    def add(self, table: str, columns: list[str], rows: Iterable[list[object]]) -> None:
        """Take all rows of a table, their values in the order of `columns`."""
        tally = self.tables.setdefault(table, Tally())
        file_at = columns.index(FILE_COLUMNS[table]) if FILE_COLUMNS.get(table) in columns else None
        named = [columns.index(name) for name in MIGRATIONS[1]] if table == MIGRATIONS[0] else []
        for row in rows:
            tally.add([columns, row])
            if named:
                self.migrations.add(".".join(str(row[number]) for number in named))
            if file_at is not None and row[file_at]:
                self.files.add(str(row[file_at]))

    def facts(self) -> dict[str, object]:
        """As JSON holds it."""
        return {
            "tables": {name: {"rows": one.rows, "digest": f"{one.total:064x}"} for name, one in self.tables.items()},
            "migrations": sorted(self.migrations),
            "uploads": sorted(self.files),
        }


def of_sqlite(file: Path) -> Contents:
    """Read a SQLite file, which nothing writes to meanwhile."""
    found = Contents()
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as db:
        names = [str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in sorted(names):
            if name.startswith("sqlite_") and name != "sqlite_sequence":
                continue
            cursor = db.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - its own name
            columns = [str(one[0]) for one in cursor.description]
            found.add(name, columns, ([plain(value) for value in row] for row in cursor))
    return found


def of_copy(lines: Iterable[str]) -> Contents:
    """Read what `pg_restore --data-only --file -` prints, each line with its end."""
    found, stream = Contents(), iter(lines)
    for line in stream:
        if (begins := COPY.fullmatch(line)) is not None:
            columns = [name.strip().strip('"') for name in begins[2].split(",")]
            found.add(begins[1], columns, _rows(stream))
    return found


def _rows(lines: Iterator[str]) -> Iterator[list[object]]:
    for line in lines:
        if line == "\\.\n":
            return
        yield [_value(text) for text in line.rstrip("\n").split("\t")]
    raise ValueError("the dump ends in the middle of a table")


def _value(text: str) -> str | None:
    if text == "\\N":
        return None
    return ESCAPED.sub(lambda found: PLAIN.get(found[1], found[1]), text) if "\\" in text else text
