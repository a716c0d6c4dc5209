"""Class numbers: never given twice, never changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import LabelrigError, SettingsError
from dataset.export.classes import Classes, read_classes, write_classes

NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_a_label_keeps_its_number_whatever_comes(history: list[list[str]]) -> None:
    classes = Classes()
    numbers: dict[str, int] = {}
    for labels in history:
        classes = classes.with_labels(labels, present=labels)
        numbers |= {label: numbers.get(label, classes.id_of(label)) for label in labels}
        assert {one.name: one.id for one in classes.known} == numbers
        assert {one.name for one in classes.known if not one.retired} == set(labels)
    assert sorted(numbers.values()) == list(range(1, len(numbers) + 1))


def test_a_file_comes_back_and_is_written_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "cars" / "classes.lock"
    classes = Classes().with_labels(["Car", "Ñandú"]).renamed("Car", "Auto")
    assert write_classes(path, Classes(), classes)
    assert read_classes(path) == classes
    assert not write_classes(path, classes, classes)
    assert [one.name for one in path.parent.iterdir()] == ["classes.lock"]
    assert json.loads(path.read_text())["classes"][0] == {"id": 1, "name": "Auto", "formerly": ["Car"]}


def test_two_exports_at_once_do_not_give_one_number_twice(tmp_path: Path) -> None:
    path = tmp_path / "classes.lock"
    write_classes(path, Classes(), Classes().with_labels(["Car"]))
    with pytest.raises(LabelrigError, match=r"classes.lock has changed meanwhile \(another export\?\)"):
        write_classes(path, Classes(), Classes().with_labels(["Bus"]))


def test_a_rename_needs_an_old_name_and_a_free_new_one() -> None:
    classes = Classes().with_labels(["Car", "Bus"])
    assert classes.renamed("Car", "Auto").id_of("Auto") == 1
    with pytest.raises(LabelrigError, match="'Van' cannot be renamed: it has no number"):
        classes.renamed("Van", "Auto")
    with pytest.raises(LabelrigError, match="'Car' cannot be renamed to 'Bus': that is a class of its own"):
        classes.renamed("Car", "Bus")
    with pytest.raises(KeyError):
        classes.id_of("Van")


BROKEN = {
    "not json": ("{", "the file: Invalid JSON"),
    "id twice": ('{"format": 1, "classes": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}', "the id 1 stands"),
    "name twice": ('{"format": 1, "classes": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}', "the name a stands"),
    "no number": ('{"format": 1, "classes": [{"id": "1", "name": "a"}]}', "classes.0.id: Input should be a valid"),
    "newer": ('{"format": 2, "classes": []}', "format 2 is not known, only 1"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classes.lock"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_classes(path)
    assert message in str(caught.value)
