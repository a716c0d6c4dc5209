"""Folders on a host, as root on this machine; the same bodies run over a real SSH connection in tests/contract."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.operation import Operation, converge
from hosts.base import Host
from hosts.local import LocalHost
from infra.roles.stack.folders_on_host import FolderSent, FolderThere
from tests.unit.infra.deploy_bench import quiet

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes folders of root's")


@pytest.fixture(scope="module")
def host() -> Host:
    return LocalHost()


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def summaries(operation: Operation) -> list[str]:
    return [change.summary for change in operation.plan()]


def facts(path: Path) -> tuple[int, int, int]:
    seen = path.stat()
    return seen.st_uid, seen.st_gid, stat.S_IMODE(seen.st_mode)


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o700])
def test_a_folder_is_made_once_with_owner_and_mode(host: Host, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "root" / "two words"
    operation = FolderThere(host, str(path), mode)
    assert summaries(operation) == [f"make the folder {path}"]
    assert not path.exists()
    assert converge([operation], quiet()) == 1
    assert facts(path) == (0, 0, mode)
    assert converge([operation], quiet()) == 0


@pytest.mark.parametrize(
    ("owner", "group", "mode"), [(4711, 0, 0o750), (0, 4711, 0o750), (0, 0, 0o755), (0, 0, 0o777), (0, 0, 0o2750)]
)
def test_corrects_owner_group_and_mode_but_not_the_content(
    host: Host, tmp_path: Path, owner: int, group: int, mode: int
) -> None:
    """Another owner, group or mode is corrected, and what lies in the folder stays."""
    path = tmp_path / "base"
    path.mkdir()
    (path / "file").write_text("kept")
    os.chown(path, owner, group)
    path.chmod(mode)
    operation = FolderThere(host, str(path), 0o750)
    assert summaries(operation) == [f"correct owner and mode of the folder {path}"]
    assert converge([operation], quiet()) == 1
    assert facts(path) == (0, 0, 0o750)
    assert (path / "file").read_text() == "kept"


def test_a_folder_that_hands_on_its_group_is_no_trouble(host: Host, tmp_path: Path) -> None:
    """As /srv is in some labs: what is made in it inherits group and the bit."""
    os.chown(tmp_path, 0, 4711)
    tmp_path.chmod(0o2775)
    path = tmp_path / "labelrig"
    assert converge([FolderThere(host, str(path), 0o755)], quiet()) == 1
    assert facts(path) == (0, 0, 0o755)


def test_a_folder_behind_a_link_is_that_folder(host: Host, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    assert summaries(FolderThere(host, f"{tmp_path}/root", 0o755)) == []


def demo(folder: Path) -> Path:
    source = folder / "images"
    (source / "sub").mkdir(parents=True)
    (source / "a.png").write_bytes(b"\x89PNG\xff\x00")
    (source / "sub" / "b c.png").write_bytes(b"two")
    (source / "a.png").chmod(0o600)
    os.chown(source / "a.png", 4711, 4711)
    return source


def test_files_are_sent_once_and_are_open_to_all(host: Host, tmp_path: Path) -> None:
    source, target = demo(tmp_path), tmp_path / "there" / "demo images"
    operation = FolderSent(host, source, str(target))
    assert operation.name == f"files in {target}"
    assert summaries(operation) == [f"send images to {target}"]
    assert converge([operation], quiet()) == 1
    assert (target / "a.png").read_bytes() == b"\x89PNG\xff\x00"
    assert (target / "sub" / "b c.png").read_bytes() == b"two"
    assert facts(target / "a.png") == (0, 0, 0o644)
    assert facts(target / "sub") == facts(target) == (0, 0, 0o755)
    assert converge([operation], quiet()) == 0


def test_resends_only_missing_and_changed_files(host: Host, tmp_path: Path) -> None:
    """A file that is missing or differs is sent again, and others stay."""
    source, target = demo(tmp_path), tmp_path / "there"
    operation = FolderSent(host, source, str(target))
    converge([operation], quiet())
    (target / "somebody's.png").write_bytes(b"kept")
    assert summaries(operation) == []
    (target / "a.png").write_bytes(b"changed")
    assert converge([operation], quiet()) == 1
    assert (target / "a.png").read_bytes() == b"\x89PNG\xff\x00"
    (target / "sub" / "b c.png").unlink()
    assert converge([operation], quiet()) == 1
    (source / "new.png").write_bytes(b"new")
    assert converge([operation], quiet()) == 1
    assert (target / "somebody's.png").read_bytes() == b"kept"


def test_undrawn_images_are_a_change_without_requests(tmp_path: Path) -> None:
    """What is not drawn yet is a change of a plan and asks the host nothing."""
    nobody: Host = None  # type: ignore[assignment]
    assert summaries(FolderSent(nobody, tmp_path / "none", "/there")) == ["send none to /there"]


def test_an_empty_folder_is_there_already_as_nothing_is_missing(host: Host, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert summaries(FolderSent(host, tmp_path / "empty", f"{tmp_path}/there")) == []
