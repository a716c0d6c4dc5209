"""What the container does to the volumes, on folders of this machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.roles.stack.volume_work import look, settle
from labelstudio.program import program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away: needs root")
BEFORE, AFTER = 1001, 61050
SECRET = {"data/.env": "SECRET_KEY='a b$c'\n"}


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Two volumes of an earlier version, with what programs leave in them."""
    data, database = tmp_path / "data", tmp_path / "db"
    for path, mode in ((data / "media" / "upload", 0o755), (database / "main" / "base", 0o700)):
        path.mkdir(parents=True)
        (path / "file").write_text("kept")
        (path / "file").chmod(0o600)
        path.chmod(mode)
    (data / "link").symlink_to("/etc/passwd")
    (data / "gone").symlink_to("nowhere")
    for path in (data, database, *data.rglob("*"), *database.rglob("*")):
        os.chown(path, BEFORE, BEFORE, follow_symlinks=False)
    return tmp_path


def owners(root: Path) -> set[tuple[int, int]]:
    return {(seen.st_uid, seen.st_gid) for path in root.rglob("*") for seen in [path.lstat()]}


def test_everything_is_handed_over_and_nothing_lost(volumes: Path) -> None:
    before = {path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in volumes.rglob("*")}
    outside = Path("/etc/passwd").stat()
    assert look(volumes, AFTER, ["data", "db"], SECRET) == {"others": 10, "files": ["data/.env"]}
    assert settle(volumes, AFTER, ["data", "db"], SECRET) == {"changed": 10}
    assert owners(volumes) == {(AFTER, AFTER)}
    after = {path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in before}
    written = {volumes / "data"}  # a folder's time changes with what is put into it
    assert {path for path in before if before[path] != after[path]} <= written
    assert (volumes / "data" / "media" / "upload" / "file").read_text() == "kept"
    assert Path("/etc/passwd").stat() == outside, "what a link leads to is not touched"
    assert look(volumes, AFTER, ["data", "db"], SECRET) == {"others": 0, "files": []}
    assert settle(volumes, AFTER, ["data", "db"], SECRET) == {"changed": 0}


def test_a_run_that_was_killed_is_finished_by_the_next(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, left = os.chown, [4]

    def dies(*arguments: Any, **more: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(*arguments, **more)

    monkeypatch.setattr("infra.roles.stack.volume_work.os.chown", dies)
    with pytest.raises(KeyboardInterrupt):
        settle(volumes, AFTER, ["data", "db"], SECRET)
    monkeypatch.undo()
    assert owners(volumes) == {(BEFORE, BEFORE), (AFTER, AFTER)}
    assert look(volumes, AFTER, ["data", "db"], SECRET)["others"] == 6
    assert settle(volumes, AFTER, ["data", "db"], SECRET) == {"changed": 6}
    assert owners(volumes) == {(AFTER, AFTER)}


@pytest.mark.parametrize("step", ["lstat", "chown"])
def test_what_vanishes_meanwhile_is_left_out(volumes: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Label Studio runs, and removes an upload between the listing of its folder and the look at it, or the change."""
    upload, real = volumes / "data" / "media" / "upload" / "file", getattr(os, step)

    def vanishes(path: str, *arguments: Any, **more: Any) -> Any:
        if path == "file":
            upload.unlink(missing_ok=True)
        return real(path, *arguments, **more)

    monkeypatch.setattr(f"infra.roles.stack.volume_work.os.{step}", vanishes)
    assert settle(volumes, AFTER, ["data"], SECRET) == {"changed": 5}
    monkeypatch.undo()
    assert owners(volumes / "data") == {(AFTER, AFTER)}
    assert not upload.exists()
    assert look(volumes, AFTER, ["data"], SECRET) == {"others": 0, "files": []}


def test_the_way_back_is_the_same(volumes: Path) -> None:
    settle(volumes, AFTER, ["data", "db"], {})
    assert settle(volumes, BEFORE, ["data", "db"], {}) == {"changed": 10}
    assert owners(volumes) == {(BEFORE, BEFORE)}


def test_a_new_volume_is_for_its_user_alone(tmp_path: Path) -> None:
    """The engine makes it root's, and open to all who come that far."""
    (tmp_path / "cache").mkdir(mode=0o755)
    settle(tmp_path, AFTER, ["cache"], {})
    seen = (tmp_path / "cache").stat()
    assert (seen.st_uid, stat.S_IMODE(seen.st_mode)) == (AFTER, 0o700)
    (tmp_path / "cache").chmod(0o750)
    settle(tmp_path, AFTER, ["cache"], {})
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o750, "only a new one"


@pytest.mark.parametrize("spoil", ["content", "mode", "owner", "link", "left"])
def test_a_secret_is_written_again_where_it_is_not_right(volumes: Path, spoil: str) -> None:
    settle(volumes, AFTER, ["data"], SECRET)
    path = volumes / "data" / ".env"
    assert look(volumes, AFTER, ["data"], SECRET)["files"] == []
    if spoil == "content":
        path.write_text("SECRET_KEY='other'\n")
    elif spoil == "mode":
        path.chmod(0o640)
    elif spoil == "owner":
        os.chown(path, AFTER, 0)
    elif spoil == "link":
        (volumes / "elsewhere").write_text("mine")
        path.unlink()
        path.symlink_to(volumes / "elsewhere")
    else:
        path.with_name(".env.new").symlink_to(volumes / "trap")
        path.unlink()
    assert look(volumes, AFTER, ["data"], SECRET)["files"] == ["data/.env"]
    settle(volumes, AFTER, ["data"], SECRET)
    seen = path.lstat()
    assert (stat.S_ISREG(seen.st_mode), stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid) == (
        (True, 0o600, AFTER, AFTER)
    )
    assert path.read_text() == SECRET["data/.env"]
    assert not (volumes / "trap").exists()
    assert (volumes / "elsewhere").read_text() == "mine" if spoil == "link" else True


def test_it_runs_as_text_in_another_python(volumes: Path) -> None:
    """As in the container: nothing of ours is installed there, and no argument holds a secret."""
    work = {"root": str(volumes), "uid": AFTER, "volumes": ["data", "db"], "files": SECRET}
    text = program(["volume_work"], "settle", json.dumps(work), package="infra.roles.stack")
    done = subprocess.run([sys.executable, "-I", "-"], input=text, capture_output=True, check=True, cwd="/")
    assert json.loads(done.stdout) == {"changed": 10}
    assert owners(volumes) == {(AFTER, AFTER)}
