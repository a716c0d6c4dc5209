"""The dump of a SQLite database while others write into it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from infra.database import dump

ROWS = 200


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of some hundred pages, copied ten at a time."""
    path = tmp_path / "label_studio.sqlite3"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE task (id INTEGER PRIMARY KEY, data BLOB)")
        db.executemany("INSERT INTO task (data) VALUES (zeroblob(?))", [(8192,)] * ROWS)
    monkeypatch.setattr(dump, "FILE", path)
    monkeypatch.setattr(dump, "STEP_PAGES", 10)
    (tmp_path / "dump").mkdir()
    return path


def save_after_steps(monkeypatch: pytest.MonkeyPatch, file: Path, times: int) -> list[int]:
    """Let another program save a row after some steps, without waiting. Returns: gets their numbers."""
    real, saved = dump.Steps.seen, list[int]()

    def seen(steps: dump.Steps, code: int, remaining: int, total: int) -> None:
        if len(saved) < times and 0 < remaining < total / 2:
            with closing(sqlite3.connect(file, timeout=0)) as other, other:
                saved.append(other.execute("INSERT INTO task (data) VALUES (zeroblob(8192))").lastrowid or 0)
        real(steps, code, remaining, total)

    monkeypatch.setattr(dump.Steps, "seen", seen)
    return saved


@pytest.mark.parametrize("times", [0, 2, 100])
def test_others_save_during_the_copy(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], times: int
) -> None:
    """None of them waits, and the copy is one moment of the database; where it never rests, in one step at the end."""
    saved = save_after_steps(monkeypatch, file, times)
    made = dump.sqlite_make(str(file.parent / "dump"))
    restless = times > dump.RESTARTS
    assert len(saved) == (dump.RESTARTS + 1 if restless else times)
    assert made["rows"] == ROWS + len(saved)
    assert ("copied in one step" in capsys.readouterr().err) is restless
    assert dump.sqlite_look(str(file.parent / "dump/database.sqlite3")) == dump.sqlite_look(str(file))
