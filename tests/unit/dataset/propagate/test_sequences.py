"""Which images follow on each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SettingsError
from dataset.propagate.sequences import Frame, natural_key, sequence_with, sequences
from labelstudio.projects_file import SequencePart
from tests.unit.labelstudio.annotated import url


def frames(*paths: str, **data: object) -> list[Frame]:
    return [Frame(number, url(path), data) for number, path in enumerate(paths, 1)]


def paths(found: list[list[Frame]]) -> list[list[str]]:
    return [[one.path for one in each] for each in found]


def test_natural_order_within_a_folder() -> None:
    given = frames("b/10.png", "b/9.png", "a/frame_2.png", "a/Frame_10.png", "b/090.png")
    assert paths(sequences(given, SequencePart())) == [
        ["b/9.png", "b/10.png", "b/090.png"],
        ["a/frame_2.png", "a/Frame_10.png"],
    ]


@given(st.lists(st.text(max_size=6), max_size=6))
def test_any_names_have_an_order(names: list[str]) -> None:
    assert sorted(map(natural_key, names)) == sorted(map(natural_key, reversed(names)))


def test_folder_of_several_sequences_is_split() -> None:
    given = frames("a/left_2.png", "a/right_1.png", "a/left_1.png")
    assert paths(sequences(given, SequencePart(split=r"^(\w+)_"))) == [
        ["a/left_1.png", "a/left_2.png"],
        ["a/right_1.png"],
    ]


def test_cuts_begin_a_new_sequence() -> None:
    given = frames(*(f"a/{number}.png" for number in range(1, 6)))
    rule = SequencePart(cuts=("3.png", "a/5.png"))
    assert [len(each) for each in sequences(given, rule)] == [2, 2, 1]
    with pytest.raises(SettingsError, match=r"^sequence\.cuts: no task shows 9\.png$"):
        sequences(given, SequencePart(cuts=("9.png",)))


def test_other_orders() -> None:
    given = [Frame(task, url(f"a/{name}.png"), {"time": time}) for task, name, time in (
        (1, "c", 10), (2, "a", 9.5), (3, "b", 100),
    )]  # fmt: skip
    assert [one.task for one in sequences(given, SequencePart(order="task"))[0]] == [1, 2, 3]
    assert [one.task for one in sequences(given, SequencePart(order="time"))[0]] == [2, 1, 3]
    with pytest.raises(SettingsError, match=r"^sequence\.order: task 1 \(c\.png\) has no number or text under 'when'"):
        sequences(given, SequencePart(order="when"))


def test_images_in_their_tasks_are_in_no_sequence() -> None:
    given = [*frames("a/1.png", "a/2.png"), Frame(7, "data:image/png;base64,AAAA")]
    found = sequences(given, SequencePart())
    assert sequence_with(found, 2)[1] == 1
    with pytest.raises(SettingsError, match=r"^task 7 is in no sequence: the project has no such task, or it shows no"):
        sequence_with(found, 7)
