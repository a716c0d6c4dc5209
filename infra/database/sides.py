"""The two places where Label Studio's work can be: a SQLite file, and a database of the PostgreSQL server.

A move never writes over a database. A copy grows beside its place and is put there when it is whole; what was there
before stays under another name. Of the two databases the one that is not in use is marked *spare*, so that the way
back is open without asking.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.errors import CommandFailed, LabelrigError
from infra.database.containers import Containers
from labelstudio.program import program

Kind = Literal["sqlite", "postgres"]
LONG = 3600.0
DATA = "/label-studio/data"
FILE = f"{DATA}/label_studio.sqlite3"
DATABASE = "labelstudio"
MOVING = f"{DATABASE}_moving"  # where a copy grows in the server
SPARE = "labelrig: not in use"  # also in WORK_OF_SERVER
DATA_OF_SERVER = "/var/lib/postgresql/data"
SAFETY_OF_SERVER = f"{DATA_OF_SERVER}/safety"


@dataclass(frozen=True)
class Work:
    """How much work a database holds."""

    projects: int
    tasks: int
    spare: bool

    @property
    def any(self) -> bool:
        """Whether it holds work."""
        return bool(self.projects or self.tasks)


class Side(Protocol):
    """One kind of database of one stack."""

    @property
    def kind(self) -> Kind:
        """See `infra.config.settings.Settings.database`."""

    @property
    def title(self) -> str:
        """For people."""

    @property
    def place(self) -> str:
        """The name of the database in its place: what Label Studio uses."""

    def work(self) -> Work | None:
        """Say what is in it; None where there is no database, or one without tables."""

    def mark(self, spare: bool) -> None:
        """Mark the database in its place as spare, or as in use."""

    def safety_copy(self, stamp: str) -> str:
        """Make a copy that is known to be readable. Returns where it is, in words."""

    def make_room(self) -> str:
        """Make an empty place for a copy. Returns its name."""

    def adopt(self, stamp: str) -> str | None:
        """Put the copy into its place, marked spare. Returns where what was there before is now, in words."""


@dataclass(frozen=True)
class SqliteSide(Side):
    """The file in the volume of Label Studio. Read and written in a fresh container of Label Studio."""

    containers: Containers
    kind: Kind = "sqlite"
    title: str = "SQLite"
    place: str = FILE

    def work(self) -> Work | None:
        answer = self._run("work")
        return None if answer is None else Work(*answer)

    def mark(self, spare: bool) -> None:
        self._run("mark" if spare else "unmark")

    def safety_copy(self, stamp: str) -> str:
        """See `Side.safety_copy`: by SQLite's own backup, then checked."""
        return self._named(self._run("copy", stamp))

    def make_room(self) -> str:
        return str(self._run("room"))

    def adopt(self, stamp: str) -> str | None:
        answer = self._run("adopt", stamp)
        return None if answer is None else self._named(answer)

    def size(self) -> tuple[int, int]:
        """The bytes of the database, and those that are free beside it."""
        taken, free = self._ask("size")
        return taken, free

    def copy_aside(self, stamp: str) -> None:
        """Make the safety copy of that moment, where it is not there yet."""
        if not self._ask("is_kept", stamp):
            self._ask("copy", stamp)

    def bring_back(self, stamp: str) -> None:
        """Put the safety copy of that moment in the place of the database, which is removed."""
        self._ask("bring_back", stamp)

    def forget(self, stamp: str) -> None:
        """Remove the safety copy of that moment."""
        self._ask("forget", stamp)

    def _named(self, path: object) -> str:
        return f"{path} in the volume {self.containers.project}_label-studio-data"

    def _run(self, action: str, stamp: str = "") -> list[int] | str | None:
        answer: list[int] | str | None = self._ask(action, stamp)
        return answer

    def _ask(self, action: str, stamp: str = "") -> Any:
        script = program(["sqlite_file"], action, FILE, stamp)
        result = self.containers.in_label_studio("python3", "-", timeout=LONG, stdin=script)
        return json.loads(result.stdout.strip().splitlines()[-1])


WORK_OF_SERVER = """
SELECT to_regclass('public.project') IS NOT NULL AND to_regclass('public.task') IS NOT NULL AS filled \\gset
\\if :filled
SELECT json_build_array((SELECT count(*) FROM project), (SELECT count(*) FROM task),
    coalesce(shobj_description(oid, 'pg_database') = 'labelrig: not in use', false))
FROM pg_database WHERE datname = current_database();
\\else
SELECT 'null';
\\endif
"""
TABLES_OF_SERVER = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace;"
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'labelstudio' \\g /dev/null"
DUMP = """
set -eu
umask 077
mkdir -p "${1%/*}"
pg_dump --username postgres --dbname "$2" --format custom --file "$1.part"
pg_restore --list "$1.part" >/dev/null
mv -f "$1.part" "$1"
"""


@dataclass(frozen=True)
class PostgresSide(Side):
    """The database of the server. Its administrator comes in through the socket inside the server's container only."""

    containers: Containers
    kind: Kind = "postgres"
    title: str = "PostgreSQL"
    place: str = DATABASE

    def work(self) -> Work | None:
        answer = json.loads(self._sql(WORK_OF_SERVER, DATABASE).strip() or "null")
        return None if answer is None else Work(*answer)

    def mark(self, spare: bool) -> None:
        """See `Side.mark`: a comment on the database, which no dump carries and no table holds."""
        comment = f"'{SPARE}'" if spare else "NULL"
        self._sql(f"COMMENT ON DATABASE {DATABASE} IS {comment};")

    def safety_copy(self, stamp: str) -> str:
        """See `Side.safety_copy`: a dump whose table of contents is read back."""
        path = f"{SAFETY_OF_SERVER}/{DATABASE}-{stamp}.dump"
        self.containers.in_db("sh", "-c", DUMP, "sh", path, DATABASE, timeout=LONG)
        return f"{path} in the volume {self.containers.project}_db-data"

    def make_room(self) -> str:
        self._sql(f"DROP DATABASE IF EXISTS {MOVING} WITH (FORCE);\nCREATE DATABASE {MOVING} OWNER {DATABASE};")
        return MOVING

    def adopt(self, stamp: str) -> str | None:
        """See `Side.adopt`: both names change in one transaction. A database without tables is not kept."""
        empty = not self._may_have_tables()
        before = f"{DATABASE}_empty" if empty else f"{DATABASE}_before_{stamp.lower()}"
        drop = f"DROP DATABASE IF EXISTS {before} WITH (FORCE);\n" if empty else ""
        self._sql(
            f"{drop}BEGIN;\nALTER DATABASE {DATABASE} RENAME TO {before};\n"
            f"ALTER DATABASE {MOVING} RENAME TO {DATABASE};\n"
            f"COMMENT ON DATABASE {DATABASE} IS '{SPARE}';\nCOMMIT;\n{drop}"
        )
        return None if empty else f"the database {before} of the server"

    def drop_room(self) -> None:
        """Remove what `make_room` made, and what grew in it."""
        self.forget(MOVING)

    def _may_have_tables(self) -> bool:
        """By the catalogue: what is in a table may be damaged, and is never the reason to keep no copy of it."""
        try:
            return self._sql(TABLES_OF_SERVER, DATABASE).strip() != "0"
        except CommandFailed:
            return True  # not even the catalogue can be read

    def size(self) -> tuple[int, int]:
        """The bytes of the database, and those that are free where the server keeps its data."""
        taken = int(self._sql(f"SELECT pg_database_size('{DATABASE}');").strip())
        shown = self.containers.in_db("df", "--output=avail", "-B1", DATA_OF_SERVER).stdout
        return taken, int(shown.split()[-1])

    def copy_aside(self, name: str) -> None:
        """Copy the database inside the server, where that copy is not there yet. Who is connected is cut off."""
        if not self.is_there(name):
            self._sql(f"{END_SESSIONS}\nCREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {DATABASE};")

    def bring_back(self, name: str) -> None:
        """Put that copy in the place of the database, which is removed. Nothing is connected to it.

        Where the copy is not there any more it is in its place already.
        """
        failed = f"{DATABASE}_failed"
        drop = f"DROP DATABASE IF EXISTS {failed} WITH (FORCE);\n"
        if self.is_there(name):
            self._sql(
                f"{drop}{END_SESSIONS}\nBEGIN;\nALTER DATABASE {DATABASE} RENAME TO {failed};\n"
                f"ALTER DATABASE {name} RENAME TO {DATABASE};\nCOMMIT;\n"
            )
        self._sql(drop)

    def forget(self, name: str) -> None:
        """Remove that copy."""
        self._sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE);")

    def is_there(self, name: str) -> bool:
        """Whether the server has a database of this name."""
        return name in self._sql("SELECT datname FROM pg_database;").split()

    def _sql(self, text: str, database: str = "postgres") -> str:
        flags = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1")
        who = ("--username", "postgres", "--dbname", database)
        return self.containers.in_db("psql", *flags, *who, timeout=LONG, stdin=text.encode()).stdout


def sides(containers: Containers, to: Kind) -> tuple[Side, Side]:
    """Return where the work is and where it goes."""
    sqlite, postgres = SqliteSide(containers), PostgresSide(containers)
    return (sqlite, postgres) if to == "postgres" else (postgres, sqlite)


def refuse_unless_free(target: Side, *, replace: bool) -> None:
    """Let a move go on only where it puts nothing aside that is in use.

    Raises:
        LabelrigError: there is work in the target, and `replace` was not given.
    """
    there = target.work()
    if there is not None and there.any and not there.spare and not replace:
        raise LabelrigError(
            f"{target.title} already holds {there.projects} projects and {there.tasks} tasks, which no move put there; "
            "nothing was changed. With --replace they are put aside under another name (nothing is deleted), and "
            "the move goes on"
        )
