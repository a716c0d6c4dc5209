"""Work folders on a host: gone when the work is done, and what a killed run left goes with the next one."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from core.operation import converge
from core.repository import REPOSITORY
from hosts.base import Host, Result
from infra.roles.images import work_folder as module
from infra.roles.images.context import STAGED, staged
from infra.roles.images.tags import debootstrap_base
from infra.roles.images.work_folder import FORGOTTEN_MINUTES, WorkFoldersGone, work_folder
from tests.unit.infra.deploy_bench import LabHost, quiet
from tests.unit.infra.releases.lock_bench import ended_process

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes folders of root's")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of /var/tmp."""
    monkeypatch.setattr(module, "FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def host() -> Host:
    return LabHost()


def left(folder: Path, name: str, minutes: int = 0, uid: int = 0) -> Path:
    """What a killed run left so many minutes ago."""
    path = folder / name
    (path / "root" / "dev").mkdir(parents=True)
    (path / "base.tar").write_bytes(b"x")
    os.chown(path, uid, uid)
    subprocess.run(("touch", "-d", f"{minutes} minutes ago", str(path)), check=True)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_work_folder_is_root_s_and_goes(host: Host, folder: Path) -> None:
    with work_folder(host, "base", "labelrig") as path:
        assert Path(path).parent == folder
        assert Path(path).name.startswith("labelrig-base.labelrig.")
        assert Path(path).stat().st_mode & 0o777 == 0o700
        (Path(path) / "file").touch()
    assert names(folder) == []
    with pytest.raises(ZeroDivisionError), work_folder(host, "base", "labelrig"):
        raise ZeroDivisionError
    assert names(folder) == []


def test_what_a_killed_run_left_goes_with_the_next(host: Host, folder: Path) -> None:
    """Of this project at once, as its lock is held; of others, and of versions without a project, after a day."""
    old = FORGOTTEN_MINUTES + 5
    gone = [
        left(folder, "labelrig-base.labelrig.aaaaaaaa"),
        left(folder, "labelrig-build.labelrig.bbbbbbbb"),
        left(folder, "labelrig-base.other.cccccccc", old),
        left(folder, "labelrig-base.dddddddd", old),
    ]
    left(folder, "labelrig-base.other.eeeeeeee")
    left(folder, "labelrig-base.ffffffff")
    left(folder, "labelrig-base.labelrig.gggggggg", old, uid=4711)
    left(folder, "theirs.labelrig.hhhhhhhh", old)
    operation = WorkFoldersGone(host, "labelrig", quiet())
    assert [one.summary for one in operation.plan()] == [
        f"remove {path}, which a killed run left" for path in sorted(gone)
    ]
    assert converge([operation], quiet()) == len(gone)
    assert names(folder) == [
        "labelrig-base.ffffffff",
        "labelrig-base.labelrig.gggggggg",
        "labelrig-base.other.eeeeeeee",
        "theirs.labelrig.hhhhhhhh",
    ]


def test_on_this_machine_another_up_may_be_at_work(folder: Path) -> None:
    host = LabHost()
    host.is_local = True
    left(folder, "labelrig-base.labelrig.aaaaaaaa")
    assert list(WorkFoldersGone(host, "labelrig", quiet()).plan()) == []


def test_what_cannot_be_removed_is_a_notice(folder: Path) -> None:
    class NoSudo(LabHost):
        """A machine whose user may not become root."""

        def run(self, *argv: str, as_root: bool = False, **options: Any) -> Result:
            refused = ("sh", "-c", "echo 'sudo: a password is required' >&2; exit 1")
            return super().run(*(refused if as_root else argv), **options)

    path = left(folder, "labelrig-base.labelrig.aaaaaaaa")
    report = quiet()
    assert converge([WorkFoldersGone(NoSudo(), "labelrig", report)], report) == 1
    assert path.exists()
    (notice,) = report.notices
    assert notice.startswith(f"gpu01: {path}, which a killed run left, cannot be removed")
    assert notice.endswith("sudo: a password is required")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of /tmp."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_was_staged_here_goes_too(temporary: Path) -> None:
    """It may hold the credentials of pip and apt."""
    for name in (f"{STAGED}{ended_process()}-aaaa", f"{STAGED}{os.getpid()}-bbbb", f"{STAGED}cccc"):
        (temporary / name).mkdir()
    left(temporary, f"{STAGED}dddd", FORGOTTEN_MINUTES + 5)
    here = LabHost()
    here.is_local = True
    with staged(here, REPOSITORY, debootstrap_base(REPOSITORY), {"sam2": "x:1"}, ["sam2"], "labelrig") as path:
        assert names(temporary) == sorted([f"{STAGED}{os.getpid()}-bbbb", f"{STAGED}cccc", Path(path).name])
    assert len(names(temporary)) == 2
