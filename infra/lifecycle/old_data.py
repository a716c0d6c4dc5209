"""The data of before an upgrade, set aside whole while nothing writes, and put back where the new version fails.

Each step may be repeated: a run that was killed in between goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import LabelrigError
from core.report import Report
from hosts.base import Result
from infra.database.containers import DB, Containers
from infra.database.sides import DATA_OF_SERVER, DATABASE, LONG, SAFETY_OF_SERVER, PostgresSide, SqliteSide
from infra.lifecycle.snapshot import counts, different_tables
from infra.roles.backup.files import DUMP_MODULES
from labelstudio.program import program

STOP_TIMEOUT = 240.0
MAIN = f"{DATA_OF_SERVER}/main"
# The dump is made under one name and its contents under another: what is there is whole.
MOVE = 'set -eu; [ -d "$2" ] || mv -T "$1" "$2"'
MOVE_BACK = 'set -eu; [ -d "$2" ] || exit 0; rm -rf "$1"; mv -T "$2" "$1"'
WRITE = 'umask 077; cat >"$1.new"; mv -f "$1.new" "$1"'
NewServer = Callable[[], Containers]


class OldData(Protocol):
    """What the old version worked on."""

    @property
    def place(self) -> str:
        """Where it is kept, for people."""

    def needs(self) -> tuple[int, int]:
        """The bytes that keeping it takes, and those that are free there. Reads only."""

    def keep(self) -> None:
        """Set it aside. Label Studio does not run."""

    def put_back(self) -> None:
        """Put it into its place, where it was set aside. Label Studio does not run."""

    def forget(self) -> None:
        """Remove it: it is not needed any more."""


@dataclass(frozen=True)
class SqliteCopy:
    """A copy of the file, beside it."""

    side: SqliteSide
    stamp: str

    @property
    def place(self) -> str:
        return (
            f"safety/label_studio-{self.stamp}.sqlite3 in the volume {self.side.containers.project}_label-studio-data"
        )

    def needs(self) -> tuple[int, int]:
        return self.side.size()

    def keep(self) -> None:
        self.side.copy_aside(self.stamp)

    def put_back(self) -> None:
        self.side.bring_back(self.stamp)

    def forget(self) -> None:
        self.side.forget(self.stamp)


@dataclass(frozen=True)
class DatabaseCopy:
    """A copy of the database, inside the same server."""

    side: PostgresSide
    stamp: str
    report: Report

    @property
    def name(self) -> str:
        """Of the copy."""
        return f"{DATABASE}_before_{self.stamp.lower()}"

    @property
    def place(self) -> str:
        return f"the database {self.name} of the server"

    def needs(self) -> tuple[int, int]:
        self.side.containers.start_db(self.report)
        return self.side.size()

    def keep(self) -> None:
        self.side.containers.start_db(self.report)
        self.side.copy_aside(self.name)

    def put_back(self) -> None:
        self.side.containers.start_db(self.report)
        self.side.bring_back(self.name)

    def forget(self) -> None:
        self.side.forget(self.name)


@dataclass(frozen=True)
class DataFolder:
    """The whole data folder of the server, whose next major version cannot read it: dumped, moved aside, and loaded.

    Attributes:
        side: the server of the old version, on the files that serve.
        new: starts the server of the new version.
        major: the old one.
    """

    side: PostgresSide
    new: NewServer
    major: str
    stamp: str
    report: Report

    @property
    def place(self) -> str:
        return f"{self._kept} in the volume {self.side.containers.project}_db-data"

    @property
    def _kept(self) -> str:
        return f"{DATA_OF_SERVER}/main-{self.major}-{self.stamp}"

    @property
    def _facts(self) -> str:
        return f"{SAFETY_OF_SERVER}/{DATABASE}-{self.stamp}.json"

    def needs(self) -> tuple[int, int]:
        self.side.containers.start_db(self.report)
        taken, free = self.side.size()
        return 2 * taken, free  # the dump, and the new data

    def keep(self) -> None:
        """Dump and move aside; then the new server has it, compared table by table.

        Raises:
            LabelrigError: what was loaded is not what was dumped.
        """
        if not self._aside("test", "-d", self._kept, ok=(0, 1)).ok:
            self.side.containers.start_db(self.report)
            self.report.changing(f"dump the database with PostgreSQL {self.major}")
            self.side.safety_copy(self.stamp)
            facts = self._dump(self.side.containers, "look", DATABASE)
            self.side.containers.in_db("sh", "-c", WRITE, "sh", self._facts, stdin=json.dumps(facts).encode())
            self._stop_server()
            self._aside("sh", "-c", MOVE, "sh", MAIN, self._kept)
        else:
            self._stop_server()
            self._aside("rm", "-rf", MAIN)  # what an earlier run began
        self._load()

    def _load(self) -> None:
        self.report.changing("load the dump into the new version, and compare each table")
        containers = self.new()
        side = PostgresSide(containers)
        room = side.make_room()
        self._dump(containers, "load", f"{SAFETY_OF_SERVER}/{DATABASE}-{self.stamp}.dump", room)
        before = json.loads(containers.in_db("cat", self._facts).stdout)
        found = self._dump(containers, "look", room)
        if problems := different_tables(before["tables"], found["tables"]):
            raise LabelrigError(f"the new PostgreSQL does not have what was dumped: {counts(problems)}")
        side.adopt(self.stamp)
        side.mark(spare=False)

    def put_back(self) -> None:
        self._stop_server()
        self._aside("sh", "-c", MOVE_BACK, "sh", MAIN, self._kept)

    def forget(self) -> None:
        dump = f"{SAFETY_OF_SERVER}/{DATABASE}-{self.stamp}"
        self._aside("rm", "-rf", self._kept, f"{dump}.dump", f"{dump}.json")

    def _stop_server(self) -> None:
        self.side.containers.compose.run("rm", "--stop", "--force", DB, timeout=STOP_TIMEOUT)

    def _aside(self, *argv: str, ok: tuple[int, ...] = (0,)) -> Result:
        """Run a command in a container of its own with the server's volume."""
        flags = ("--rm", "--no-TTY", "--no-deps", "--quiet-pull")
        return self.side.containers.compose.run("run", *flags, DB, *argv, ok=ok, timeout=LONG)

    @staticmethod
    def _dump(containers: Containers, *arguments: str) -> dict[str, Any]:
        """Run the program of the backups' dumps beside the server, see `infra.database.dump`."""
        login = "PGPASSFILE=/var/lib/postgresql/client/pgpass"
        argv = ("env", login, "python3", "-", *arguments)
        done = containers.in_db(*argv, ok=(0, 3), timeout=LONG, stdin=program(DUMP_MODULES, "postgres"))
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        if "problem" in answer:
            raise LabelrigError(str(answer["problem"]))
        return answer
