"""Text files of other systems are read, or refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from core.text_file import read_text, text_of


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_marks_of_windows_editors_are_left_out(tmp_path: Path, encoding: str) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    (tmp_path / "a.txt").write_bytes(mark + "Cañón\r\nRoad\r\n".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "Cañón\nRoad\n"


def test_other_encodings_are_refused_with_the_line() -> None:
    with pytest.raises(SettingsError, match=r"^a\.txt: line 2: is not UTF-8 text; save the file as UTF-8$"):
        text_of("Car\nCañón\n".encode("cp1252"), "a.txt")
    with pytest.raises(SettingsError, match=r"^a\.txt: line 1: is not UTF-8 text"):
        text_of("Car\n".encode("utf-16") + b"x", "a.txt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^mine: cannot be read: No such file or directory$"):
        read_text(tmp_path / "none", "mine")
