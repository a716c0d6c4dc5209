"""JSON that people bring is said to be wrong in a sentence, whatever is wrong with it."""

from __future__ import annotations

import pytest

from core.errors import SettingsError
from core.strict_json import parse_json, shown, why_not_text


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": [1]}', "a.json") == {"a": [1]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe", "is not UTF-8 text"),
        (b'{\n"a":}', "is not JSON: line 2: Expecting value"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"1" * 10_000, "holds too long a number"),
        (b'"\\ud800"', "holds half a character (a lone surrogate, \\ud800 to \\udfff), which is not text"),
    ],
)
def test_what_is_wrong_is_one_sentence(content: bytes, problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_json(content, "a.json")
    assert str(error.value) == f"a.json: {problem}"


def test_values_of_others_are_shown_short_and_on_one_line() -> None:
    deep: object = "end"
    for _ in range(100_000):
        deep = [deep]
    assert why_not_text(deep) == "is nested too deeply"
    assert len(shown(deep)) < 100
    assert shown("\ud800\n") == "'\\ud800\\n'"
