"""How long to wait after wrong passwords: counted for all processes of this container in one small file.

An attempt counts as wrong from its begin until it proved right, so that many at once gain nothing. The counts are no
part of the database: strangers must not be able to fill it, or to make it write.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

FORGOTTEN = 24 * 3600.0
MOST_ROWS = 50_000
BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class Rule:
    """After `free` wrong passwords in a row one waits `first` seconds, then twice as long each time."""

    free: int
    first: float
    longest: float

    def pause(self, failures: int) -> float:
        """How many seconds must lie between the last of so many failures and the next attempt."""
        if failures < self.free:
            return 0.0
        return float(min(self.longest, self.first * 2 ** min(failures - self.free, 30)))


# From one address a person who mistypes; from all addresses together, so that nobody can lock an account for long.
FROM_ONE_ADDRESS = Rule(free=5, first=5.0, longest=900.0)
FROM_ANYWHERE = Rule(free=50, first=5.0, longest=60.0)


class Brake:
    """Counts failed sign-ins in the file `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def begin(self, account: str, address: str) -> float:
        """Count an attempt. Returns 0, or the seconds to wait, and then it was not counted and must not be made."""
        now = time.time()
        with self._writing() as database:
            waits = [self._left(database, key, rule, now) for key, rule in _keys(account, address)]
            if max(waits) > 0:
                return max(waits)
            for key, _ in _keys(account, address):
                database.execute(
                    "INSERT INTO tries VALUES (?, 1, ?) "
                    "ON CONFLICT(name) DO UPDATE SET failures = failures + 1, last = ?",
                    (key, now, now),
                )
            database.execute("DELETE FROM tries WHERE last < ?", (now - FORGOTTEN,))
            database.execute(
                "DELETE FROM tries WHERE name IN (SELECT name FROM tries ORDER BY last DESC LIMIT -1 OFFSET ?)",
                (MOST_ROWS,),
            )
        return 0.0

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of an account: its password was right."""
        with self._writing() as database:
            for key, _ in _keys(account, address):
                database.execute("DELETE FROM tries WHERE name = ?", (key,))

    @staticmethod
    def _left(database: sqlite3.Connection, key: str, rule: Rule, now: float) -> float:
        row = database.execute("SELECT failures, last FROM tries WHERE name = ?", (key,)).fetchone()
        return max(0.0, row[1] + rule.pause(row[0]) - now) if row is not None else 0.0

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = OFF")
            database.execute("CREATE TABLE IF NOT EXISTS tries (name TEXT PRIMARY KEY, failures INTEGER, last REAL)")
            database.execute("CREATE INDEX IF NOT EXISTS by_last ON tries (last)")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _keys(account: str, address: str) -> tuple[tuple[str, Rule], tuple[str, Rule]]:
    name = account.strip().lower()[:320]
    return (f"{address[:64]} {name}", FROM_ONE_ADDRESS), (f"* {name}", FROM_ANYWHERE)
