"""Copy one Label Studio database into an empty place. Runs inside a container of Label Studio, where Django is.

It is sent there as text (see `program`), so it needs what is there, and `comparing`. Django's own fields read each
value from the one database and write it for the other; no model is saved, so that no time stamp moves and no signal
fires. Nothing is written to the source.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from infra.database.comparing import Refused, Tally, batches, plain, plain_json

MARK = "labelrig-move "  # a line that begins so is JSON for the other side
REFUSED = 3
ENGINES = {"sqlite": "sqlite", "postgres": "postgresql"}  # in the words of Label Studio
NAMES = {"sqlite": "LABEL_STUDIO_DATABASE_NAME", "postgres": "LABEL_STUDIO_POSTGRE_NAME"}
# They tell what was done to one database, and the other one tells it of itself: each migration ran on it.
OF_THE_DATABASE = frozenset({"django_migrations", "core_asyncmigrationstatus"})
SOURCE, TARGET = "source", "default"


@dataclass(frozen=True)
class Table:
    """One table: its model, the fields that are copied, and those of them that hold JSON."""

    model: Any
    fields: Sequence[Any]
    is_json: Sequence[bool]

    @property
    def name(self) -> str:
        """The table's name in both databases."""
        return str(self.model._meta.db_table)


def main(source: str, source_name: str, target: str, target_name: str) -> None:
    """Migrate the target, copy, compare, commit. Ends the process with a code other than 0 when that failed.

    Args:
        source: the kind of the source, sqlite or postgres.
        source_name: path of its file, or the database's name.
        target: the kind of the target.
        target_name: see `source_name`.
    """
    try:
        _set_up(source, source_name, target, target_name)
        import_module("django.core.management").call_command("migrate", "--no-color", interactive=False, verbosity=1)
        say(**copy_all())
    except Refused as error:
        say(problem=str(error))
        sys.exit(REFUSED)
    if target == "sqlite":
        with open(target_name, "rb") as file:
            os.fsync(file.fileno())


def say(**facts: object) -> None:
    """Tell the other side."""
    sys.stdout.write(MARK + json.dumps(facts) + "\n")
    sys.stdout.flush()


def copy_all() -> dict[str, object]:
    """Copy every table in one transaction, and commit only what reads back the same."""
    target = _connection(TARGET)
    _same_migrations()
    tables = _tables()
    left = _unknown(tables)
    if left:
        raise Refused(
            "the source holds what this version of Label Studio does not know, and it would be lost: "
            f"{'; '.join(left[:5])}. Is its image older than the database?"
        )
    _check_links(SOURCE, "the source")
    ids = _highest_ids(SOURCE, tables)
    tallies: dict[str, Tally] = {}
    with target.constraint_checks_disabled(), _atomic():
        for table in tables:
            with target.cursor() as cursor:
                cursor.execute(f"DELETE FROM {target.ops.quote_name(table.name)}")  # noqa: S608 - a model's table
        for table in tables:
            tallies[table.name] = _copy(table)
        _check_links(TARGET, "the copy")
        for table in tables:
            _compare(table, tallies[table.name])
        _set_ids(tables, ids)
    target.close()
    digest = hashlib.sha256(repr(sorted((name, one.rows, one.total) for name, one in tallies.items())).encode())
    return {
        "tables": sum(1 for one in tallies.values() if one.rows),
        "rows": sum(one.rows for one in tallies.values()),
        "digest": digest.hexdigest(),
    }


def _set_up(source: str, source_name: str, target: str, target_name: str) -> None:
    """Make Label Studio's settings those of the target, with the source beside it."""
    os.environ |= {"LABEL_STUDIO_DJANGO_DB": ENGINES[target], NAMES[target]: target_name, "PGOPTIONS": _PG_OPTIONS}
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
    sys.path.insert(0, str(Path(str(import_module("label_studio").__file__)).parent))
    settings = import_module("django.conf").settings
    settings.DATABASES[SOURCE] = settings.DATABASES_ALL[ENGINES[source]] | {"NAME": source_name}
    if target == "sqlite":
        # The file is needed only when it is whole; it is synced to the disk at the end.
        options = settings.DATABASES[TARGET].get("OPTIONS", {}) | {"init_command": "PRAGMA synchronous=OFF"}
        settings.DATABASES[TARGET] = settings.DATABASES[TARGET] | {"OPTIONS": options}
    import_module("django").setup()
    # Some models (those of local files among them) are known only once the server's addresses are.
    import_module(settings.ROOT_URLCONF)


_PG_OPTIONS = "-c synchronous_commit=off"  # for the same reason


def _connection(alias: str) -> Any:
    return import_module("django.db").connections[alias]


def _atomic() -> Any:
    return import_module("django.db.transaction").atomic(using=TARGET)


def _check_links(alias: str, what: str) -> None:
    try:
        _connection(alias).check_constraints()
    except import_module("django.db").Error as error:
        raise Refused(
            f"{what} has a row that points at one that is not there: {' '.join(str(error).split())}"
        ) from error


def _same_migrations() -> None:
    recorder = import_module("django.db.migrations.recorder").MigrationRecorder
    applied = [set(recorder(_connection(alias)).applied_migrations()) for alias in (SOURCE, TARGET)]
    if missing := sorted(applied[1] - applied[0]):
        raise Refused(
            f"the source lacks {len(missing)} migrations of this version of Label Studio, first of all "
            f"{'.'.join(missing[0])}: let Label Studio start once on it, then repeat the command"
        )


def _tables() -> list[Table]:
    models = import_module("django.apps").apps.get_models(include_auto_created=True)
    json_field = import_module("django.db.models").JSONField
    generated = _generated_columns()
    found: dict[str, Table] = {}
    for model in models:
        meta = model._meta
        if meta.proxy or not meta.managed or meta.swapped or meta.db_table in OF_THE_DATABASE:
            continue
        fields = [
            field
            for field in meta.local_concrete_fields
            if not field.generated and (meta.db_table, field.column) not in generated
        ]
        found.setdefault(meta.db_table, Table(model, fields, [isinstance(field, json_field) for field in fields]))
    return list(found.values())


def _generated_columns() -> set[tuple[str, str]]:
    """Columns that a database computes by itself, in the source."""
    connection = _connection(SOURCE)
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE is_generated = 'ALWAYS' AND table_schema = current_schema()"
        )
        return set(cursor.fetchall())


def _unknown(tables: Sequence[Table]) -> list[str]:
    """What the source has and the models do not: tables with rows, and columns."""
    connection, generated, known = _connection(SOURCE), _generated_columns(), {table.name: table for table in tables}
    found = []
    with connection.cursor() as cursor:
        for name in sorted(connection.introspection.table_names(cursor)):
            if name in OF_THE_DATABASE:
                continue
            if name not in known:
                cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(name)}")  # noqa: S608 - its own name
                if rows := cursor.fetchone()[0]:
                    found.append(f"the table {name} ({rows} rows)")
                continue
            of_model = {field.column for field in known[name].model._meta.local_concrete_fields}
            columns = {column.name for column in connection.introspection.get_table_description(cursor, name)}
            more = columns - of_model - {column for table, column in generated if table == name}
            less = {field.column for field in known[name].fields} - columns
            found += [f"the column {name}.{column}" for column in sorted(more)]
            found += [f"no column {name}.{column}" for column in sorted(less)]
    return found


def _rows(table: Table, alias: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table: each value as Django's field reads it, JSON as text, so that a null in it stays one."""
    models = import_module("django.db.models")
    names, casts = [], {}
    for number, (field, is_json) in enumerate(zip(table.fields, table.is_json, strict=True)):
        if is_json:
            casts[f"labelrig_{number}"] = import_module("django.db.models.functions").Cast(
                field.attname, models.TextField()
            )
        names.append(f"labelrig_{number}" if is_json else field.attname)
    rows = models.QuerySet(model=table.model, using=alias).annotate(**casts).order_by("pk").values_list(*names)
    yield from rows.iterator(chunk_size=100)


def _plain_row(table: Table, row: Sequence[Any]) -> list[object]:
    return [plain_json(value) if is_json else plain(value) for value, is_json in zip(row, table.is_json, strict=True)]


def _copy(table: Table) -> Tally:
    target, tally, last = _connection(TARGET), Tally(), time.monotonic()
    count = import_module("django.db.models").QuerySet(model=table.model, using=SOURCE).count()
    insert = _insert(table, target)
    for batch in batches(_rows(table, SOURCE)):
        try:
            for row in batch:
                tally.add(_plain_row(table, row))
            insert(batch)
        except Refused as error:
            raise Refused(f"the table {table.name}: {error}") from None
        except (import_module("django.db").Error, ValueError):
            _name_the_row(table, batch, insert)
            raise
        if time.monotonic() - last > 1:
            last = time.monotonic()
            say(table=table.name, done=tally.rows, of=count)
    return tally


def _insert(table: Table, target: Any) -> Callable[[Sequence[Sequence[Any]]], None]:
    """Return what writes rows. Several in one go are one savepoint: all of them, or none."""
    quote = target.ops.quote_name
    json_place = "%s::jsonb" if target.vendor == "postgresql" else "%s"
    places = ", ".join(json_place if is_json else "%s" for is_json in table.is_json)
    columns = ", ".join(quote(field.column) for field in table.fields)
    statement = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({places})"  # noqa: S608 - a model's names

    def insert(rows: Sequence[Sequence[Any]]) -> None:
        prepared = [
            [
                value if is_json else field.get_db_prep_save(value, connection=target)
                for value, field, is_json in zip(row, table.fields, table.is_json, strict=True)
            ]
            for row in rows
        ]
        with _atomic(), target.cursor() as cursor:
            cursor.executemany(statement, prepared)

    return insert


def _name_the_row(
    table: Table, batch: Sequence[Sequence[Any]], insert: Callable[[Sequence[Sequence[Any]]], None]
) -> None:
    """Find the row that the target does not take, and say which it is.

    Raises:
        Refused: it was found.
    """
    key = [field.primary_key for field in table.fields].index(True)
    for row in batch:
        try:
            _plain_row(table, row)
            insert([row])
        except (import_module("django.db").Error, ValueError) as error:
            why = " ".join(str(error).split())
            raise Refused(f"the row {row[key]} of the table {table.name} is not taken: {why}") from error


def _compare(table: Table, expected: Tally) -> None:
    found = Tally()
    for row in _rows(table, TARGET):
        found.add(_plain_row(table, row))
    if found != expected:
        raise Refused(
            f"the table {table.name} reads back differently: {expected.rows} rows in the source, {found.rows} in the "
            f"copy{', with the same number but other values' if found.rows == expected.rows else ''}"
        )


def _numbered(tables: Sequence[Table]) -> Iterator[tuple[Table, Any]]:
    """Tables whose key the database counts by itself, and the field of the key."""
    for table in tables:
        key = table.model._meta.pk
        if key.get_internal_type() in ("AutoField", "BigAutoField", "SmallAutoField"):
            yield table, key


def _highest_ids(alias: str, tables: Sequence[Table]) -> dict[str, int]:
    """The highest number that each table ever gave, those of deleted rows included: none is given twice."""
    connection, found = _connection(alias), {}
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, seq FROM sqlite_sequence")
            return {str(name): int(number) for name, number in cursor.fetchall()}
        for table, key in _numbered(tables):
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [connection.ops.quote_name(table.name), key.column])
            (sequence,) = cursor.fetchone()
            cursor.execute(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608
            found[table.name] = int(cursor.fetchone()[0])
    return found


def _set_ids(tables: Sequence[Table], highest: Mapping[str, int]) -> None:
    connection = _connection(TARGET)
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        for table, key in _numbered(tables):
            cursor.execute(f"SELECT max({quote(key.column)}) FROM {quote(table.name)}")  # noqa: S608 - a model's names
            number = max(cursor.fetchone()[0] or 0, highest.get(table.name, 0))
            if connection.vendor == "sqlite":
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table.name])
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table.name, number])
            else:
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
                    [quote(table.name), key.column, max(number, 1), number > 0],
                )
