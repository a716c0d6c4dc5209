"""The rule for names of images: what a project's filter takes."""

from __future__ import annotations

import re

import pytest

from labeling.image_names import SKIPPED_FOLDERS, file_pattern, is_skipped_folder, skipped_folder_pattern


@pytest.mark.parametrize(
    ("file_filter", "taken", "left"),
    [
        (".*png", ["a.png", "B.PNG", "ñ #1 50%.Png"], ["a.png.txt", "a.png~", "a.png.part", "a.png\n", "a.jpg"]),
        (".*png", [], ["._a.png", ".a.png", "~$a.png", "SYNOPHOTO_THUMB_XL.png"]),
        ("a.*png|b.*png", ["a.png", "B1.png"], ["a.png.txt", "xb.png"]),
        (r"(\d)\1\.png", ["11.png"], ["12.png"]),
        ("(?-i:.*png)", ["a.png"], ["a.PNG"]),
        ("(?i).*png", ["a.PNG"], ["a.png~"]),
        ("(?x) .* png  # as cameras write it", ["a.PNG"], ["a.png~"]),
        ("", ["a.png", "notes"], [".DS_Store"]),
    ],
)
def test_a_filter_takes_whole_names_in_any_case(file_filter: str, taken: list[str], left: list[str]) -> None:
    matches = re.compile(file_pattern(file_filter)).match
    assert [name for name in (*taken, *left) if matches(name)] == taken


def test_folders_of_servers_and_systems_are_known_in_any_case() -> None:
    matches = re.compile(skipped_folder_pattern()).match
    literal = [name for name in SKIPPED_FOLDERS if not {*"?*["} & {*name}]
    assert len(literal) == len(SKIPPED_FOLDERS) - 2
    for name in ("@eaDir", "@EADIR", ".Trash-1000", "lost+found", "$recycle.bin", "found.000", "FOUND.123", *literal):
        assert is_skipped_folder(name)
        assert matches(name)
    for name in ("RGB", "vuelo 7", "lost+found 2", "a.b", "@vuelo", ".", "recycle", "found.17", "FOUND.0000"):
        assert not is_skipped_folder(name)
        assert not matches(name)
