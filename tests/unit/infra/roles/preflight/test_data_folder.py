"""Which image folders the containers can read, on true folders of this machine; more of it in test_preflight.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.base import Host
from hosts.local import LocalHost
from infra.roles.preflight.data_folder import ENTRIES, SAMPLE, FolderCheck, check_folder, group_of

PATTERN = r".*\.png"


@pytest.fixture(scope="module")
def host() -> Host:
    return LocalHost()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = os.umask(0o022)
    one = tmp_path / "images"
    one.mkdir()
    yield one
    os.umask(before)


def image(path: Path, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(mode)
    return path


def problem(host: Host, folder: Path) -> str:
    (one,) = check_folder(host, folder, PATTERN).problems
    return one


def test_a_sub_folder_that_is_closed_closes_its_images(host: Host, folder: Path) -> None:
    image(folder / "open" / "a.png")
    image(folder / "closed" / "b.png")
    (folder / "closed").chmod(0o700)
    said = problem(host, folder)
    assert "1 of the first 2 images are not readable for the containers, for example closed/b.png;" in said


def test_a_closed_folder_further_up_the_way_closes_them_too(host: Host, folder: Path) -> None:
    image(folder / "closed" / "open" / "deep" / "b.png")
    (folder / "closed").chmod(0o750)
    assert "for example closed/open/deep/b.png;" in problem(host, folder)


def test_a_closed_folder_without_images_is_nobody_s_trouble(host: Host, folder: Path) -> None:
    image(folder / "a.png")
    image(folder / "lost+found" / "notes.txt")
    (folder / "lost+found").chmod(0o700)
    assert check_folder(host, folder, PATTERN) == FolderCheck(())


def test_a_folder_to_read_but_not_to_enter_is_closed(host: Host, folder: Path) -> None:
    image(folder / "sub" / "a.png")
    (folder / "sub").chmod(0o744)
    assert "for example sub/a.png;" in problem(host, folder)


def test_thousands_of_images_are_looked_at_as_a_sample(host: Host, folder: Path) -> None:
    for number in range(SAMPLE + 50):
        image(folder / f"{number:05}.png", 0o600)
    assert f"{SAMPLE} of the first {SAMPLE} images are not readable" in problem(host, folder)


def test_thousands_of_other_files_in_front_hide_no_image(host: Host, folder: Path) -> None:
    for number in range(2 * SAMPLE + 500):
        (folder / f"{number:05}.txt").touch()
    image(folder / "images" / "a.png")
    assert check_folder(host, folder, PATTERN) == FolderCheck(())


def test_no_more_than_so_many_entries_are_looked_at(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.roles.preflight.data_folder.ENTRIES", 5)
    for number in range(9):
        (folder / f"{number}.txt").touch()
    assert problem(host, folder) == rf"data folder {folder}: no file matches '.*\\.png' among its first 5 entries"
    assert ENTRIES > 10 * SAMPLE


NAMES = ("two words", "tab\tin it", "line\nbreak", "line\x0bbreak", "end\u2028", "ñ 'q' \"q\" $x", "-n")


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_a_file_can_have_is_one_name(host: Host, folder: Path, name: str) -> None:
    pattern = rf"(?s){PATTERN}"  # without it `.` is no line break, here as in Label Studio
    image(folder / name / f"{name}.png")
    assert check_folder(host, folder, pattern) == FolderCheck(())
    (folder / name / f"{name}.png").chmod(0o600)
    assert "1 of the first 1 images are not readable" in check_folder(host, folder, pattern).problems[0]


def test_a_name_cannot_speak_for_another_file(host: Host, folder: Path) -> None:
    """A line break and tabs in a name look like the next entry of a list of lines."""
    image(folder / "x\nf\t644\t0\tforged.png.txt")
    image(folder / "y\nf\t644\t0\tforged.png")
    assert check_folder(host, folder, r"forged\.png").problems == (
        f"data folder {folder}: no file matches 'forged\\\\.png' among its first {ENTRIES} entries",
    )


def test_a_name_that_is_no_text_is_still_a_file(host: Host, folder: Path) -> None:
    path = os.fsencode(folder) + b"/\xff\xfe.png"
    os.close(os.open(path, os.O_CREAT, 0o644))
    assert check_folder(host, folder, PATTERN) == FolderCheck(())


def test_links_and_other_kinds_are_no_images(host: Host, folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to("/etc/passwd")
    (folder / "folder.png").mkdir()
    assert "no file matches" in problem(host, folder)
    image(folder / "folder.png" / "a.png")
    assert check_folder(host, folder, PATTERN) == FolderCheck(())


def test_a_folder_behind_a_link_is_looked_into(host: Host, folder: Path) -> None:
    image(folder / "a.png", 0o600)
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert "a.png" in problem(host, link)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to a group that is not its own")
def test_folders_group_must_be_that_of_its_content(host: Host, folder: Path) -> None:
    """The group of the folder must be that of everything in it."""
    os.chown(folder, 0, 4711)
    folder.chmod(0o750)
    os.chown(image(folder / "a.png", 0o640), 0, 4711)
    assert check_folder(host, folder, PATTERN) == FolderCheck((), 4711)
    assert group_of(host, folder) == 4711
    os.chown(image(folder / "b.png", 0o640), 0, 4712)
    assert "for example b.png;" in problem(host, folder)
    os.chown(folder / "b.png", 0, 4711)
    (folder / "sub").mkdir(mode=0o750)
    os.chown(image(folder / "sub" / "c.png", 0o640), 0, 4711)
    assert "for example sub/c.png;" in problem(host, folder)


def test_a_folder_of_root_s_group_alone_is_refused(host: Host, folder: Path) -> None:
    """The containers' user must not join the group of root."""
    image(folder / "a.png")
    os.chown(folder, -1, 0) if os.geteuid() == 0 else pytest.skip("gives a folder to root's group")
    folder.chmod(0o750)
    assert "could not read it (mode drwxr-x---)" in problem(host, folder)
