"""The SQLite file: counted, copied, put aside and replaced, on real files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.database import sqlite_file
from infra.database.sqlite_file import adopt, bring_back, copy, forget, is_kept, mark, room, size, state, unmark, work


def make(path: Path, projects: int = 0, tasks: int = 0) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE project (id INTEGER); CREATE TABLE task (id INTEGER)")
        db.executemany("INSERT INTO project VALUES (?)", [(one,) for one in range(projects)])
        db.executemany("INSERT INTO task VALUES (?)", [(one,) for one in range(tasks)])
        db.commit()
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "label_studio.sqlite3"


@pytest.fixture
def locked(file: Path) -> Iterator[Path]:
    """A file on which another program works, its changes beside it."""
    make(file, 1, 1)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("INSERT INTO task VALUES (9)")
        yield file


def test_work_is_counted_and_a_file_without_tables_has_none(file: Path) -> None:
    assert work(file, "") is None
    assert not file.exists()
    file.touch()
    assert work(file, "") is None
    file.unlink()
    make(file, 2, 3)
    assert work(file, "") == [2, 3, False]


def test_the_mark_comes_and_goes(file: Path) -> None:
    make(file)
    mark(file, "")
    mark(file, "")
    assert work(file, "") == [0, 0, True]
    unmark(file, "")
    unmark(file, "")
    assert work(file, "") == [0, 0, False]


def test_a_safety_copy_is_whole_and_leaves_the_source_alone(file: Path) -> None:
    make(file, 1, 2)
    before = file.read_bytes()
    copied = Path(copy(file, "20260101T000000Z"))
    assert copied == file.parent / "safety" / "label_studio-20260101T000000Z.sqlite3"
    assert work(copied, "") == [1, 2, False]
    assert file.read_bytes() == before
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


def test_what_a_killed_move_left_is_not_built_upon(file: Path) -> None:
    moving = Path(room(file, ""))
    make(moving, 1, 1)
    Path(f"{moving}-journal").touch()
    assert room(file, "") == str(moving)
    assert not moving.exists()
    assert not Path(f"{moving}-journal").exists()


def test_the_copy_takes_the_place_and_what_was_there_stays(file: Path) -> None:
    make(file, 1, 1)
    make(Path(room(file, "")), 5, 6)
    before = adopt(file, "20260101T000000Z")
    assert before == f"{file}.before-20260101T000000Z"
    assert work(Path(before), "") == [1, 1, False]
    assert work(file, "") == [5, 6, True]


def test_the_first_copy_puts_nothing_aside(file: Path) -> None:
    make(Path(room(file, "")), 5, 6)
    assert adopt(file, "20260101T000000Z") is None
    assert work(file, "") == [5, 6, True]


def test_a_file_that_another_program_has_open_stays_in_its_place(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.1)
    moving = make(Path(room(locked, "")), 5, 6)
    with pytest.raises(SystemExit, match=r"sqlite3-wal is still there: another program has the database open$"):
        adopt(locked, "20260101T000000Z")
    assert moving.exists()
    assert work(locked, "") == [1, 1, False]


@pytest.mark.parametrize("damage", ["garbage", "header", "cut", "empty journal", "wal"])
def test_damaged_database_is_put_aside_as_it_is(file: Path, damage: str) -> None:
    """To restore over it is what a restore is for. What SQLite kept beside it goes with it, and spoils nothing."""
    make(file, 1, 1)
    content = file.read_bytes()
    beside = {"-journal": b"j" * 600, "-wal": b"w" * 600, "-shm": b"s" * 600}
    if damage == "garbage":
        file.write_bytes(b"\xa5" * len(content))
    elif damage == "header":
        file.write_bytes(b"\0" * 100 + content[100:])
    elif damage == "cut":
        file.write_bytes(content[:50])
    elif damage == "empty journal":
        file.write_bytes(b"SQLite format 2\0" + content[16:])
        beside = {"-journal": b""}
    else:
        file.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    for end, text in beside.items():
        Path(f"{file}{end}").write_bytes(text)
    old = file.read_bytes()
    make(Path(room(file, "")), 5, 6)
    before = adopt(file, "20260101T000000Z")
    assert before == f"{file}.before-20260101T000000Z"
    assert work(file, "") == [5, 6, True]
    assert [one.name for one in file.parent.iterdir() if one.name.startswith(f"{file.name}-")] == []
    if damage in ("garbage", "header"):
        assert Path(before).read_bytes() == old
        assert {end: Path(f"{before}{end}").read_bytes() for end in beside} == beside


def test_what_lies_beside_no_database_goes_too(file: Path) -> None:
    """A run that was killed between its renames: the new database would be read with the journal of the old one."""
    Path(f"{file}-journal").write_bytes(b"j" * 600)
    make(Path(room(file, "")), 5, 6)
    assert adopt(file, "S") is None
    assert not Path(f"{file}-journal").exists()
    assert Path(f"{file}.before-S-journal").read_bytes() == b"j" * 600


def test_without_a_copy_nothing_is_put_aside(file: Path) -> None:
    make(file, 1, 1)
    with pytest.raises(SystemExit, match=r"moving is not there: there is no copy"):
        adopt(file, "S")
    assert work(file, "") == [1, 1, False]


def test_locked_database_is_not_a_damaged_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.1)
    make(file, 1, 1)
    moving = make(Path(room(file, "")), 5, 6)
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SystemExit, match=r"is locked: another program has the database open$"):
            adopt(file, "S")
    assert moving.exists()
    assert work(file, "") == [1, 1, False]


def test_the_state_names_migrations_and_who_was_there_first(file: Path) -> None:
    assert state(file, "") == {"migrations": [], "born": []}
    with closing(sqlite3.connect(file)) as db:
        db.executescript(
            "CREATE TABLE django_migrations (app TEXT, name TEXT);"
            "INSERT INTO django_migrations VALUES ('tasks', '0001_initial'), ('core', '0002_more');"
            "CREATE TABLE organization (id INTEGER, created_at TEXT);"
            "INSERT INTO organization VALUES (2, '2026-01-01 00:00:09'), (1, '1970-01-01 00:00:01.000002');"
            "CREATE TABLE htx_user (id INTEGER, date_joined TEXT)"
        )
    assert state(file, "") == {"migrations": ["tasks.0001_initial", "core.0002_more"], "born": ["1000002"]}


def test_brought_back_over_what_came_after(file: Path) -> None:
    """With what a crash of the other left beside it gone; once more, and it changes nothing."""
    make(file, 1, 2)
    copy(file, "T1")
    assert is_kept(file, "T1")
    file.unlink()
    make(file, 9, 9)
    Path(f"{file}-wal").write_bytes(b"of the other")
    bring_back(file, "T1")
    assert work(file, "") == [1, 2, False]
    assert not is_kept(file, "T1")
    bring_back(file, "T1")
    assert work(file, "") == [1, 2, False]


def test_forgotten(file: Path) -> None:
    make(file, 1, 2)
    copy(file, "T1")
    forget(file, "T1")
    forget(file, "T1")
    assert not is_kept(file, "T1")
    assert work(file, "") == [1, 2, False]


def test_size_with_what_is_not_settled(locked: Path) -> None:
    taken, free = size(locked, "")
    assert taken == locked.stat().st_size + Path(f"{locked}-wal").stat().st_size
    assert free > 0
