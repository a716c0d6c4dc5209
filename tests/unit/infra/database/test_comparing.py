"""Values of the two databases: what counts as the same, and the program that is sent into a container."""

from __future__ import annotations

import datetime
import decimal
import json
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.database.comparing import CHARACTERS, ROWS, Refused, Tally, batches, plain, plain_json
from labelstudio.program import program

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def tally(*rows: list[object]) -> Tally:
    counted = Tally()
    for row in rows:
        counted.add(row)
    return counted


@given(JSON)
def test_json_is_the_same_whatever_its_keys_and_spaces(value: object) -> None:
    loose = json.dumps(value, indent=2)
    tight = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert tally([plain_json(loose)]) == tally([plain_json(tight)])


@pytest.mark.parametrize(
    ("text", "of_jsonb"), [("1e2", "100"), ("-0.0", "0"), ("1E+22", "1" + 22 * "0"), ("[]", "[ ]")]
)
def test_numbers_are_the_same_in_jsonbs_way_of_writing(text: str, of_jsonb: str) -> None:
    assert tally([plain_json(text)]) == tally([plain_json(of_jsonb)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (plain_json("null"), plain_json(None)),
        (plain_json('"1"'), plain_json("1")),
        (plain_json("0.1"), plain_json("0.2")),
        (plain("1"), plain(1)),
        (plain(None), plain("")),
        (plain(0.1), plain("0.1")),
    ],
)
def test_other_values_are_others(one: object, other: object) -> None:
    assert tally([one]) != tally([other])


def test_a_moment_is_the_same_in_every_zone() -> None:
    utc = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC)
    there = utc.astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert plain(utc) == plain(there) == plain(utc.replace(tzinfo=None))
    assert plain(utc) != plain(utc + datetime.timedelta(microseconds=1))


def test_every_kind_of_value_of_the_models_has_a_form() -> None:
    key = uuid.UUID(int=7)
    row = [plain(key), plain(decimal.Decimal("1.50")), plain(b"\x00\xff"), plain(datetime.timedelta(seconds=1.5))]
    assert row == [["uuid", key.hex], ["decimal", "1.5"], ["bytes", "00ff"], ["span", 1_500_000]]
    with pytest.raises(Refused, match=r"^a value of the type object cannot be compared$"):
        plain(object())


def test_the_order_of_rows_does_not_count_and_their_number_does() -> None:
    assert tally([1], [2], [2]) == tally([2], [1], [2])
    assert tally([1], [2]) != tally([1], [2], [2])
    assert tally([1, 2]) != tally([2, 1])


def test_batches_end_by_number_and_by_size_and_lose_nothing() -> None:
    many = [(number, "x") for number in range(2 * ROWS + 1)]
    assert [len(one) for one in batches(many)] == [ROWS, ROWS, 1]
    big = [(number, "x" * (CHARACTERS // 2)) for number in range(5)]
    assert [len(one) for one in batches(big)] == [2, 2, 1]
    assert list(batches([])) == []


def test_a_program_runs_where_nothing_of_ours_is() -> None:
    sent = program(["comparing", "sqlite_file"], "work", "/no/such/file", 'it\'s "quoted" {x}')
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-"), input=sent, capture_output=True, timeout=30, check=False, cwd="/"
    )
    assert (done.returncode, done.stdout) == (0, b"null\n"), done.stderr.decode()
