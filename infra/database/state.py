"""What a database is and how far its tables have come: recorded with each release, asked before a rollback."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from core.errors import LabelrigError
from hosts.base import Exec
from infra.database.sides import DATABASE, FILE, Kind
from labelstudio.program import program

STATE_TIMEOUT = 30.0
POSTGRES_STATE = """
SELECT to_regclass('django_migrations') IS NOT NULL AS migrated, to_regclass('organization') IS NOT NULL AS made,
    to_regclass('htx_user') IS NOT NULL AS peopled \\gset
\\if :migrated
SELECT json_build_object('migrations', coalesce(json_agg(app || '.' || name), '[]')) FROM django_migrations;
\\endif
\\if :made
SELECT json_build_object('born', (extract(epoch FROM created_at) * 1000000)::bigint)
FROM organization ORDER BY id LIMIT 1;
\\endif
\\if :peopled
SELECT json_build_object('born', (extract(epoch FROM date_joined) * 1000000)::bigint)
FROM htx_user ORDER BY id LIMIT 1;
\\endif
"""


@dataclass(frozen=True)
class DatabaseState:
    """One database at one moment.

    Attributes:
        kind: sqlite or postgres.
        migrations_count: how many migrations were applied; 0 before the first start.
        migrations_digest: SHA-256 over their names; the same means the same tables.
        identity: stands for the organisation and the first user, and stays when the work moves from one kind of
            database to the other, or is restored; empty before the first start.
    """

    kind: Kind
    migrations_count: int
    migrations_digest: str
    identity: str


def database_state(kind: Kind, exec_in: Exec) -> DatabaseState:
    """Read the state of the database in use. Changes nothing, and takes well under a second.

    Args:
        kind: see `Settings.database`.
        exec_in: runs a command in the running container that can reach it: `label-studio` for sqlite, `db` for
            postgres.

    Raises:
        HostError: the container does not run, or the database does not answer.
        LabelrigError: the answer is none.
    """
    migrations, born = _read(kind, exec_in)
    return DatabaseState(kind, len(migrations), _digest(migrations), _digest(born)[:32] if born else "")


def applied_migrations(kind: Kind, exec_in: Exec) -> list[str]:
    """The names of the migrations that the database in use has, `app.name`; see `database_state`."""
    return _read(kind, exec_in)[0]


def _read(kind: Kind, exec_in: Exec) -> tuple[list[str], list[str]]:
    if kind == "sqlite":
        result = exec_in("python3", "-", timeout=STATE_TIMEOUT, stdin=program(["sqlite_file"], "state", FILE))
    else:
        flags = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1")
        argv = ("psql", *flags, "--username", DATABASE, "--dbname", DATABASE)
        result = exec_in(*argv, timeout=STATE_TIMEOUT, stdin=POSTGRES_STATE.encode())
    try:
        return _read_sqlite(result.stdout) if kind == "sqlite" else _read_postgres(result.stdout)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LabelrigError(f"the {kind} database said {result.stdout[-200:]!r} when its state was asked") from None


def _read_sqlite(text: str) -> tuple[list[str], list[str]]:
    said = json.loads(text)
    return sorted(map(str, said["migrations"])), [str(one) for one in said["born"]]


def _read_postgres(text: str) -> tuple[list[str], list[str]]:
    migrations: list[str] = []
    born: list[str] = []
    for line in text.splitlines():
        if line.strip():
            said = json.loads(line)
            migrations += map(str, said.get("migrations", []))
            born += [str(said["born"])] if "born" in said else []
    return sorted(migrations), born


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
