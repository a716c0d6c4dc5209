"""One run at a time collects the parts of a file, also while another one ends."""

from __future__ import annotations

import fcntl
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import FileAccessError, LockHeld
from core.report import Report
from infra.bundling import collecting as module
from infra.bundling.collecting import LOCK, apt_folder, collecting, parts_folder


def collect(folder: Path) -> Any:
    return collecting(folder, folder.with_name("apt"), Report(io.StringIO()))


def test_the_folders_go_where_it_ends_well(tmp_path: Path) -> None:
    folder, apt = tmp_path / "out.tar.parts", tmp_path / "apt"

    def breaks_off() -> None:
        with collect(folder):
            (folder / "wheels").mkdir()
            apt.mkdir()
            raise KeyError

    with pytest.raises(KeyError):
        breaks_off()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["apt", LOCK, "out.tar.parts", "wheels"]
    with collect(folder):
        (folder / "one.tar").touch()
    assert list(tmp_path.iterdir()) == []


def test_it_is_held_until_the_last_part_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that begins meanwhile would lose its own parts to this one."""
    folder, remove = tmp_path / "out.tar.parts", shutil.rmtree
    tried: list[str] = []

    def removing(path: Path, **how: Any) -> None:
        with pytest.raises(LockHeld), collect(folder):
            pass
        tried.append(path.name)
        remove(path, **how)

    monkeypatch.setattr(shutil, "rmtree", removing)
    with collect(folder):
        (folder / "images").mkdir()
    assert tried == ["apt", "images"]


def test_a_lock_that_was_removed_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run ends, and removes the folder, after this one has opened the lock in it."""
    folder, lock = tmp_path / "out.tar.parts", fcntl.flock
    removed: list[Path] = []

    def ends_first(file: Any, how: int) -> None:
        if not removed:
            removed.append(folder)
            shutil.rmtree(folder)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", ends_first)
    with collect(folder):
        assert (folder / LOCK).exists()
        with pytest.raises(LockHeld), collect(folder):
            pass


def test_what_another_run_has_begun_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a new lock in the folder as soon as the old one has no name."""
    folder, remove = tmp_path / "out.tar.parts", Path.unlink

    def begins(path: Path, missing_ok: bool = False) -> None:
        remove(path, missing_ok)
        if path.name == LOCK:
            path.touch()

    with monkeypatch.context() as patch, collect(folder):
        patch.setattr(Path, "unlink", begins)
    assert [path.name for path in folder.iterdir()] == [LOCK]


def test_folders_that_cannot_be_made_or_removed_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(FileAccessError, match=r"^/proc/a.parts cannot be made: No such file"),
        collect(Path("/proc/a.parts")),
    ):
        pass
    folder = tmp_path / "out.tar.parts"
    folder.mkdir()
    (folder / LOCK).mkdir()
    with pytest.raises(FileAccessError, match=r"out.tar.parts cannot be used: Is a directory"), collect(folder):
        pass
    (folder / LOCK).rmdir()

    def refuse(*_arguments: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "_remove", refuse)
    report = Report(io.StringIO())
    with collecting(folder, tmp_path / "apt", report):
        pass
    assert report.notices == [
        f"{folder} is not needed any more and cannot be removed (Input/output error): do so by hand"
    ]


def test_the_apt_of_a_file_is_in_the_cache(tmp_path: Path) -> None:
    one, two = (apt_folder(Path(f"/mnt/stick/{name}.tar"), {"XDG_CACHE_HOME": str(tmp_path)}) for name in "ab")
    assert one.parent == two.parent == tmp_path / "labelrig" / "bundles"
    assert one != two
    assert parts_folder(Path("/mnt/stick/a.tar")) == Path("/mnt/stick/a.tar.parts")
