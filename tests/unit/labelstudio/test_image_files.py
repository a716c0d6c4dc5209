"""The listing of an image folder, by the find(1) of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosts.local import LocalHost
from labelstudio.image_files import ImageFiles, list_images, path_in, served_at

# As servers, desktops and programs leave them.
FILES = (
    *("a.png", "B.PNG", "vuelo 7/ñ #1.png", "a.json"),
    *("._a.png", ".a.png.swp", "~$a.png", "a.png.txt", "a.png~", "d.png.part", "SYNOFILE_THUMB_M.png"),
)
FOLDERS = (
    *("@eaDir", "vuelo 7/@eaDir", "#recycle", "@Recycle", ".Trash-1000", ".Trashes", "__MACOSX", ".snapshot"),
    *("~snapshot", "lost+found", "$RECYCLE.BIN", "System Volume Information", ".@__thumb", ".git", "@EADIR"),
    *("@tmp", "@sharebin", "@SynologyCloudSync", "@sharesnap", "FOUND.000", "vuelo 7/found.017", "DfsrPrivate"),
    *("TheVolumeSettingsFolder", "TheFindByContentFolder", "Network Trash Folder", "#snapshot", "@Recently-Snapshot"),
)
OWN = ("recycle/a.png", "trash/a.png", "tmp/a.png", "@vuelo/a.png", "found.17/a.png", "FOUND.000b/a.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # A hidden folder that somebody names is meant.
    folder = tmp_path / ".hidden"
    for path in (*FILES, *OWN, *(f"{one}/sub/a.png" for one in FOLDERS)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


def test_images_are_taken_and_the_rest_is_known(folder: Path) -> None:
    found = list_images(LocalHost(), str(folder), ".*png")
    assert found == ImageFiles(
        paths=frozenset({"a.png", "B.PNG", "vuelo 7/ñ #1.png", *OWN}),
        links=frozenset(),
        others=frozenset(FILES) - {"a.png", "B.PNG", "vuelo 7/ñ #1.png"},
        folders=frozenset(FOLDERS),
    )
    assert not found.is_plain
    assert found.leaves_out("vuelo 7/@eaDir/sub/a.png")
    assert not found.leaves_out("vuelo 7/gone.png")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").touch()
    for name, target in (("b.png", "a.png"), ("gone.png", "nowhere"), ("more", tmp_path), ("note.txt", "a.png")):
        (tmp_path / "set" / name).symlink_to(target)
    found = list_images(LocalHost(), str(tmp_path / "set"), ".*png")
    assert found == ImageFiles(frozenset({"a.png"}), frozenset({"b.png", "gone.png"}), frozenset({"more"}))
    assert not found.is_plain


def test_a_url_that_is_none_lies_nowhere() -> None:
    """Half of an IPv6 address in one task ended `up`, `project.sync` and `doctor`: Python refuses to read it."""
    assert path_in("set", "http://[x/data/local-files/?d=set/a.png") is None
    assert path_in("set", "http://lab.example/data/local-files/?d=set/a.png") == "a.png"


def test_objects_of_a_storage_are_served_by_a_link() -> None:
    assert served_at("s3://bucket/a.png", 7) == "/tasks/7/resolve/?fileuri=czM6Ly9idWNrZXQvYS5wbmc="
    for url in ("/data/local-files/?d=a.png", "https://example.org/a.png", "data:image/png;base64,AA=="):
        assert served_at(url, 7) == url
