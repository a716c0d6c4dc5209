"""Files of a machine behind SSH."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import ConnectionLost, FileAccessError
from hosts.ssh import SshHost
from tests.sshd import Sshd

Connected = Callable[..., SshHost]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system: needs root")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)), check=True)
    yield disk
    subprocess.run(("umount", str(disk)), check=True)


@pytest.mark.parametrize("name", ["plain", "with space", "it's $HOME", "ñ日本", "-n", "x" * 250, "a\nb", "X.XXXXXX"])
def test_a_file_of_any_name_is_written_and_read(lab: SshHost, tmp_path: Path, name: str) -> None:
    content = bytes(range(256)) * 40 + b"\n\n"
    lab.write(str(tmp_path / name), content)
    assert (tmp_path / name).read_bytes() == content
    assert lab.read(str(tmp_path / name)) == content
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_empty_file_is_a_file(lab: SshHost, tmp_path: Path) -> None:
    lab.write(str(tmp_path / "empty"), b"")
    assert lab.read(str(tmp_path / "empty")) == b""


def test_a_large_file_arrives(lab: SshHost, tmp_path: Path) -> None:
    content = os.urandom(8 << 20)
    lab.write(str(tmp_path / "large"), content)
    assert lab.read(str(tmp_path / "large")) == content


def test_a_dangling_link_is_no_file_and_is_replaced_itself(lab: SshHost, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    assert lab.read(str(link)) is None
    lab.write(str(link), b"x")
    assert not link.is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_new_folders_have_the_usual_mode_and_a_file_its_own(lab: SshHost, tmp_path: Path) -> None:
    lab.write(str(tmp_path / "made" / "file"), b"x", 0o640)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o777 & ~_umask()
    assert stat.S_IMODE((tmp_path / "made" / "file").stat().st_mode) == 0o640


def test_a_file_is_nobody_else_s_while_it_is_being_written(lab: SshHost, tmp_path: Path) -> None:
    """Its content comes slowly; meanwhile the new file is looked at, and the old one is still there."""
    (tmp_path / "secret").write_bytes(b"old")
    modes: set[int] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for entry in tmp_path.glob(".secret.*"):
                try:
                    modes.add(stat.S_IMODE(entry.stat().st_mode))
                except FileNotFoundError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    lab.write(str(tmp_path / "secret"), b"x" * (8 << 20), 0o600)
    stop.set()
    watcher.join()
    assert modes == {0o600}


def test_a_connection_lost_in_a_write_leaves_the_old_content(
    own_sshd: Sshd, connected: Connected, tmp_path: Path
) -> None:
    """A connection that dies while writing leaves the old content."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    host = connected(own_sshd)
    host.run("true")

    def cut() -> None:
        while not list(tmp_path.glob(".file.*")):
            time.sleep(0.001)
        own_sshd.kill_sessions()

    cutter = threading.Thread(target=cut)
    cutter.start()
    with pytest.raises(ConnectionLost):
        host.write(str(target), b"x" * (64 << 20))
    cutter.join()
    assert target.read_bytes() == b"old"


@needs_root
def test_a_full_disk_is_said_and_the_old_content_stays(lab: SshHost, tiny_disk: Path) -> None:
    target = tiny_disk / "file"
    target.write_bytes(b"old")
    with pytest.raises(FileAccessError) as caught:
        lab.write(str(target), b"x" * 200_000)
    assert str(caught.value) == f"lab: cannot write {target}: No space left on device"
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tiny_disk.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_said(lab: SshHost, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileAccessError, match=r"^lab: cannot write .*/file/below/x: Not a directory$"):
        lab.write(str(tmp_path / "file" / "below" / "x"), b"x")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
