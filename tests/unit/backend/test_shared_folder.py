"""Embeddings in a folder that several processes share: whole or absent, within the limit, nothing else touched."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from backend.caching.disk_lru import write_all
from backend.embedding import shared_folder
from backend.embedding.entries import HEADER, name_of
from backend.embedding.shared_folder import LOCK, LOCK_SECONDS, PART_SECONDS, DamagedEntry, SharedFolder
from tests.unit.backend.caching import WAIT, together

PAYLOAD = bytes(range(256)) * 4
ENTRY_BYTES = HEADER.size + len(PAYLOAD)
PART_NAME = f"{'0' * 64}.{'1' * 16}.part"


def make(path: Path, limit_bytes: int = 1_000_000, **options: Any) -> SharedFolder:
    return SharedFolder(path, limit_bytes, **{"spare_bytes": 0, **options})


def names(path: Path) -> set[str]:
    return {one.name for one in path.iterdir()}


def used_at(path: Path, key: str, seconds: float) -> None:
    os.utime(path / name_of(key), (seconds, seconds))


def test_what_one_writes_the_other_reads(tmp_path: Path) -> None:
    one, other = make(tmp_path), make(tmp_path)
    assert other.read("a") is None
    assert one.write("a", PAYLOAD)
    assert other.read("a") == PAYLOAD
    assert not other.write("a", b"another")
    assert one.read("a") == PAYLOAD
    assert names(tmp_path) == {name_of("a")}


@pytest.mark.parametrize("damage", ["cut", "flip", "longer", "empty", "of another key"])
def test_torn_or_foreign_file_is_removed(tmp_path: Path, damage: str) -> None:
    folder = make(tmp_path)
    folder.write("a", PAYLOAD)
    folder.write("b", PAYLOAD)
    path = tmp_path / name_of("a")
    sound = path.read_bytes()
    path.write_bytes(
        {
            "cut": sound[:-1],
            "flip": sound[:-1] + bytes([sound[-1] ^ 1]),
            "longer": sound + b"\0",
            "empty": b"",
            "of another key": (tmp_path / name_of("b")).read_bytes(),
        }[damage]
    )
    with pytest.raises(DamagedEntry):
        folder.read("a")
    assert not path.exists()
    assert folder.read("a") is None
    assert folder.write("a", PAYLOAD)


def test_many_writers_at_once(tmp_path: Path) -> None:
    """Each with a folder object of its own, as on hosts of their own: what is read is always whole."""

    def work(number: int) -> int:
        folder = make(tmp_path, 20 * ENTRY_BYTES)
        for step in range(20):
            key = str((number + step) % 30)
            folder.write(key, PAYLOAD)
            assert folder.read(key) in (PAYLOAD, None)
        return folder.removed

    removed = together(4, work)
    assert all(isinstance(one, int) for one in removed), removed
    assert not [name for name in names(tmp_path) if name.endswith(".part") or name == LOCK]
    assert make(tmp_path, 20 * ENTRY_BYTES).write("last", PAYLOAD)  # who begins looks first
    assert len(names(tmp_path)) <= 20


def test_oldest_use_makes_room(tmp_path: Path) -> None:
    folder = make(tmp_path, 4 * ENTRY_BYTES)
    for number, key in enumerate("abcd"):
        folder.write(key, PAYLOAD)
        used_at(tmp_path, key, 1000 + number)
    assert make(tmp_path, 4 * ENTRY_BYTES).read("a") == PAYLOAD  # used now, by another process
    folder.write("e", PAYLOAD)
    assert names(tmp_path) == {name_of(key) for key in "ade"}
    assert folder.removed == 2


def test_looks_only_after_much_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    remove = SharedFolder._remove_oldest
    monkeypatch.setattr(SharedFolder, "_remove_oldest", lambda self, size: (looks.append(size), remove(self, size)))
    folder = make(tmp_path, 64 * 4 * ENTRY_BYTES)
    for number in range(9):
        folder.write(str(number), PAYLOAD)
    assert len(looks) == 3  # at the begin, and after each four


def test_another_process_looks_already(tmp_path: Path) -> None:
    """While its lock is fresh nothing is removed; an old one is that of a process that was killed."""
    now = 1_000_000.0
    folder = make(tmp_path, 2 * ENTRY_BYTES, clock=lambda: now)
    (tmp_path / LOCK).touch()
    os.utime(tmp_path / LOCK, (now - LOCK_SECONDS + 1, now - LOCK_SECONDS + 1))
    for key in "abcd":
        assert folder.write(key, PAYLOAD)
    assert len(names(tmp_path)) == 5
    os.utime(tmp_path / LOCK, (now - LOCK_SECONDS - 1, now - LOCK_SECONDS - 1))
    assert folder.write("e", PAYLOAD)
    assert name_of("e") in names(tmp_path)
    assert len(names(tmp_path)) == 1


def test_only_own_files_are_touched(tmp_path: Path) -> None:
    """A part of a killed writer goes once it is old; what is not ours stays, whatever its size and age."""
    now = 1_000_000.0
    for name, age in (("NOTES.txt", 1e5), ("x" * 64 + ".embedding", 1e5), (PART_NAME, PART_SECONDS + 1)):
        (tmp_path / name).write_bytes(PAYLOAD)
        os.utime(tmp_path / name, (now - age, now - age))
    fresh = PART_NAME.replace("1", "2")
    (tmp_path / fresh).write_bytes(PAYLOAD)
    os.utime(tmp_path / fresh, (now, now))
    make(tmp_path, ENTRY_BYTES, clock=lambda: now).write("a", PAYLOAD)
    assert names(tmp_path) == {"NOTES.txt", "x" * 64 + ".embedding", fresh, name_of("a")}


def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: object, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = make(tmp_path)
    monkeypatch.setattr(shared_folder, "write_all", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write("a", PAYLOAD)
    assert names(tmp_path) == set()
    monkeypatch.undo()
    with pytest.raises(OSError, match="MiB would stay free"):
        make(tmp_path, spare_bytes=1 << 60).write("a", PAYLOAD)
    assert folder.write("a", PAYLOAD)


def test_entry_gone_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host removes what this one is about to: the NFS client says ESTALE or that there is no such file."""
    for key in "ab":
        make(tmp_path).write(key, PAYLOAD)
    codes = [errno.ENOENT, errno.ESTALE]
    unlink = os.unlink

    def gone(path: str | Path) -> None:
        unlink(path)
        if str(path).endswith(".embedding"):
            raise OSError(codes.pop(), "gone")

    monkeypatch.setattr("backend.embedding.shared_folder.os.unlink", gone)
    assert make(tmp_path, ENTRY_BYTES + 1).write("c", PAYLOAD)
    assert codes == []


def test_what_may_not_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another user's entries in a folder with the sticky bit."""
    make(tmp_path).write("a", PAYLOAD)

    def refused(_path: str | Path) -> None:
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr("backend.embedding.shared_folder.os.unlink", refused)
    with pytest.raises(PermissionError, match="refused"):
        make(tmp_path, ENTRY_BYTES + 1).write("b", PAYLOAD)


def test_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """An empty mount point must not fill the host's own disk."""
    folder = make(tmp_path / "missing")
    assert folder.read("a") is None
    with pytest.raises(FileNotFoundError):
        folder.write("a", PAYLOAD)
    assert not (tmp_path / "missing").exists()


def test_reader_never_sees_half_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process is in the middle of writing."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly(file: Any, data: bytes) -> None:
        write_all(file, data)
        begun.set()
        assert go_on.wait(WAIT)

    monkeypatch.setattr(shared_folder, "write_all", slowly)
    writer = threading.Thread(target=make(tmp_path).write, args=("a", PAYLOAD))
    writer.start()
    assert begun.wait(WAIT)
    assert make(tmp_path).read("a") is None
    go_on.set()
    writer.join(WAIT)
    assert make(tmp_path).read("a") == PAYLOAD
