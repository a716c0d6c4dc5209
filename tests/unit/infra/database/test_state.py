"""What is read of a database for a release's manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

import pytest

from core.errors import LabelrigError
from hosts.base import DEFAULT_TIMEOUT, Exec, Result
from infra.database.sides import Kind
from infra.database.state import database_state

SQLITE = json.dumps({"migrations": ["tasks.0002", "core.0001"], "born": ["17", "4"]})
POSTGRES = '{"migrations" : ["core.0001", "tasks.0002"]}\n{"born" : 17}\n{"born" : 4}\n'


def answering(text: str) -> Exec:
    def run(
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
    ) -> Result:
        assert stdin
        return Result(argv, 0, text, "")

    return run


def test_same_work_has_same_state_in_both_databases() -> None:
    """The same work has the same state in both kinds of database."""
    here, there = database_state("sqlite", answering(SQLITE)), database_state("postgres", answering(POSTGRES))
    assert (here.kind, there.kind) == ("sqlite", "postgres")
    assert here.migrations_count == there.migrations_count == 2
    assert here.migrations_digest == there.migrations_digest
    assert here.identity == there.identity != ""


def test_another_migration_or_another_beginning_is_another_state() -> None:
    before = database_state("postgres", answering(POSTGRES))
    migrated = database_state("postgres", answering(POSTGRES.replace("0002", "0003")))
    assert migrated.migrations_digest != before.migrations_digest
    assert migrated.identity == before.identity
    assert database_state("postgres", answering(POSTGRES.replace("17", "18"))).identity != before.identity


@pytest.mark.parametrize(("kind", "text"), [("sqlite", '{"migrations": [], "born": []}'), ("postgres", "")])
def test_a_database_before_its_first_start_has_no_identity(kind: Kind, text: str) -> None:
    state = database_state(kind, answering(text))
    assert (state.migrations_count, state.identity) == (0, "")


@pytest.mark.parametrize(("kind", "text"), [("sqlite", ""), ("sqlite", "[]"), ("postgres", "psql: odd\n")])
def test_an_answer_that_is_none_is_one_error(kind: Kind, text: str) -> None:
    with pytest.raises(LabelrigError, match=rf"^the {kind} database said .* when its state was asked$"):
        database_state(kind, answering(text))
