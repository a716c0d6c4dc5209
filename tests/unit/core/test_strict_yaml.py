from __future__ import annotations

import re

import pytest

from core.errors import SettingsError
from core.repository import REPOSITORY
from core.strict_yaml import one_line, parse_yaml


def test_words_and_numbers_are_what_they_look_like() -> None:
    text = "{a: off, b: no, c: yes, d: true, e: 022, f: 22, g: 10:30, h: 2026-01-01, i: 1.5, j: ~, k: , l: 'true'}"
    assert parse_yaml(text, "x") == {
        "a": "off",
        "b": "no",
        "c": "yes",
        "d": True,
        "e": "022",
        "f": 22,
        "g": "10:30",
        "h": "2026-01-01",
        "i": 1.5,
        "j": None,
        "k": None,
        "l": "true",
    }


def test_anchors_and_merges_are_read() -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: [*x, *x]\n"
    assert parse_yaml(text, "x") == {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}, "z": [{"a": 1, "b": 2}] * 2}


def test_nothing_is_none() -> None:
    assert parse_yaml("# only a note\n", "x") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: 1\nb:\n  c: 1\n  c: 2\na: 2\n",
            "line 5: a is given twice (also on line 1); line 4: c is given twice (also on line 3)",
        ),
        ("- {a: 1, a: 2}", "line 1: a is given twice (also on line 1)"),
        ("a: 1\n5: 2\n", "line 2: a key must be text; put it in quotes"),
        ("true: 2\n", "line 1: a key must be text; put it in quotes"),
        ("[a]: 2\n", "line 1: a key must be text; put it in quotes"),
        ("a: &a\n  b: *a\n", "line 1: an anchor holds itself"),
        ("a: *b\n", "line 1: found undefined alias 'b'"),
        ("a: [1\nb: 2\n", "line 2: expected ',' or ']', but got ':'"),
        ("a: 1\n---\nb: 2\n", "line 2: but found another document"),
        (
            "a: !!python/name:os.system x\n",
            "line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("a: \x00\n", "is not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("[" * 5000, "is nested too deeply"),
        ('a: 1\nb: "\\ud800"\n', "line 2: half a character (a lone surrogate, \\ud800 to \\udfff) is not text"),
        ('"\\udfff": 1\n', "line 1: half a character (a lone surrogate, \\ud800 to \\udfff) is not text"),
        ("a: 1\n\u00a0\u00a0b: 2\n", "line 2: white space that is none of YAML (U+00A0); type the spaces again"),
        ("a: !!int x\n", "a value does not fit its tag (`!!...`) or is too long a number"),
        ("a: !!bool x\n", "a value does not fit its tag (`!!...`) or is too long a number"),
        ("a: !!timestamp x\n", "a value does not fit its tag (`!!...`) or is too long a number"),
        ("a: " + "9" * 5000, "a value does not fit its tag (`!!...`) or is too long a number"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_yaml(text, "inventory.yaml")
    assert str(caught.value) == f"inventory.yaml: {problem}"


def test_everything_is_text_where_it_may_be() -> None:
    """As in the `names` of a YOLO data set, in which `no`, `true` and 1.10 are names of classes."""
    text = "names: {0: no, 1: true, 2: 1.10, 3: null, 4: 007, 5: }\nsame: &a {b: 1}\nmore: {<<: *a}\n"
    names = {"0": "no", "1": "true", "2": "1.10", "3": "null", "4": "007", "5": ""}
    assert parse_yaml(text, "x", all_text=True) == {"names": names, "same": {"b": "1"}, "more": {"b": "1"}}
    with pytest.raises(SettingsError, match=r"^x: line 1: 0 is given twice \(also on line 1\)$"):
        parse_yaml("names: {0: a, 0: b}", "x", all_text=True)


@pytest.mark.parametrize("value", [12, 1.5, True, None, "off", "a: b # c", "ñ", {"a": [1, "no"]}])
def test_one_line_is_read_back(value: object) -> None:
    assert "\n" not in one_line(value)
    assert parse_yaml(f"key: {one_line(value)}\n", "x") == {"key": value}


def test_yaml_is_read_here_and_nowhere_else() -> None:
    """The backend may import nothing of core; what it reads is its own table of weights."""
    folders = ("commands", "core", "hosts", "labelstudio", "infra", "dataset", "backend", "demo", "labeling", "masks")
    readers = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in folders
        for path in (REPOSITORY / folder).rglob("*.py")
        if re.search(r"yaml\.(safe_load|load|compose|SafeLoader|full_load)", path.read_text(encoding="utf-8"))
    }
    assert readers == {"core/strict_yaml.py", "backend/weights/catalog.py"}
