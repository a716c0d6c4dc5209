from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hosts.local import LocalHost
from infra.fleet.commit import NO_COMMIT, Commit, read_commit


@pytest.fixture(autouse=True)
def _nobody_s_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [one for one in os.environ if one.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        ("git", "-C", str(folder), *identity, *arguments), check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a clone"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "file").write_text("1\n")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "--message", "one")
    return folder


def test_a_clean_clone_is_its_commit(clone: Path) -> None:
    assert read_commit(LocalHost(), clone) == Commit(git(clone, "rev-parse", "HEAD"), dirty=False)


def test_a_changed_file_makes_it_dirty_staged_or_not(clone: Path) -> None:
    (clone / "file").write_text("2\n")
    assert read_commit(LocalHost(), clone).dirty
    git(clone, "add", "file")
    assert read_commit(LocalHost(), clone).dirty
    git(clone, "commit", "--quiet", "--message", "two")
    assert read_commit(LocalHost(), clone) == Commit(git(clone, "rev-parse", "HEAD"), dirty=False)


def test_a_deleted_file_makes_it_dirty(clone: Path) -> None:
    (clone / "file").unlink()
    assert read_commit(LocalHost(), clone).dirty


def test_files_that_git_does_not_know_say_nothing(clone: Path) -> None:
    (clone / ".env").write_text("SECRET=1\n")
    (clone / "infra").mkdir()
    (clone / "infra" / "inventory.yaml").write_text("hosts: {}\n")
    assert not read_commit(LocalHost(), clone).dirty


def test_an_archive_without_git_has_no_commit(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    assert read_commit(LocalHost(), folder) == Commit(NO_COMMIT, dirty=True)


def test_a_clone_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert read_commit(LocalHost(), tmp_path) == Commit(NO_COMMIT, dirty=True)


def test_without_git_there_is_no_commit(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert read_commit(LocalHost(), clone) == Commit(NO_COMMIT, dirty=True)


def test_a_branch_named_like_an_option_or_a_commit_is_no_trouble(clone: Path) -> None:
    wanted = git(clone, "rev-parse", "HEAD")
    git(clone, "update-ref", "refs/heads/HEAD", wanted)
    assert read_commit(LocalHost(), clone).digest == wanted
