"""Rows and digests of tables: the order does not count, and every value does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from infra.database.tables import of_copy, of_sqlite
from infra.roles.backup.files import DUMP_MODULES
from labelstudio.program import program

HEAD = "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n"
TASK = 'COPY public.task (id, data) FROM stdin;\n1\t{{"a": 1}}\n2\t{last}\n\\.\n\n'
FILES = 'COPY public.data_import_fileupload (id, "file") FROM stdin;\n1\tupload/1/a\\tb.png\n2\t\\N\n\\.\n'
MIGRATIONS = "COPY public.django_migrations (id, app, name, applied) FROM stdin;\n1\ttasks\t0001_initial\tx\n\\.\n"


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_dump_of_postgres_is_read() -> None:
    found = of_copy(lines(HEAD + TASK.format(last="x") + FILES + MIGRATIONS)).facts()
    tables = found["tables"]
    assert isinstance(tables, dict)
    assert {name: one["rows"] for name, one in tables.items()} == {
        "task": 2,
        "data_import_fileupload": 2,
        "django_migrations": 1,
    }
    assert found["uploads"] == ["upload/1/a\tb.png"]
    assert found["migrations"] == ["tasks.0001_initial"]


def test_order_of_rows_does_not_count() -> None:
    first = "COPY public.task (id, data) FROM stdin;\n1\ta\n2\tb\n\\.\n"
    turned = "COPY public.task (id, data) FROM stdin;\n2\tb\n1\ta\n\\.\n"
    assert of_copy(lines(first)).facts() == of_copy(lines(turned)).facts()


@pytest.mark.parametrize("last", ["y", "\\N", "", "x "])
def test_each_value_counts(last: str) -> None:
    before, after = (of_copy(lines(TASK.format(last=text))).facts() for text in ("x", last))
    assert before != after


def test_dump_that_ends_early_is_refused() -> None:
    with pytest.raises(ValueError, match="the dump ends in the middle of a table"):
        of_copy(lines(TASK.format(last="x"))[:2])


def test_sqlite_by_value_and_type(tmp_path: Path) -> None:
    """1 and '1' are two values, and so are null and nothing."""

    def digest(value: object) -> object:
        file = tmp_path / "db"
        file.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as db, db:
            db.execute("CREATE TABLE task (id, data)")
            db.execute("INSERT INTO task VALUES (1, ?)", [value])
        return of_sqlite(file).facts()["tables"]

    found = [digest(value) for value in (1, "1", 1.5, None, "", b"1")]
    assert len({str(one) for one in found}) == len(found)


def test_program_says_what_is_wrong(tmp_path: Path) -> None:
    """As it runs in the container: sent as text, with the verb behind it, its answer in one line of JSON."""
    code = program(DUMP_MODULES, "sqlite")
    done = subprocess.run([sys.executable, "-I", "-", "size"], input=code, capture_output=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stdout == b'{"problem": "there is no database yet: Label Studio was never started"}\n'
