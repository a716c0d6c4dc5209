from __future__ import annotations

import os
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from backend.errors import ImageError
from backend.sources import ImageSources, SourceFile


def opened(root: Path, name: str = "a.png", url: str = "/data/local-files/?d=") -> SourceFile:
    return ImageSources(root, None).open(f"{url}{quote(name)}", "1", time.monotonic() + 30)


def write(path: Path) -> None:
    path.write_bytes(b"image")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["big image é.png", "100% +a&b=c#d?.png", "sub/дом.png", "a'b\"c.png"])
def test_names_are_decoded(root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    write(root / name)
    file = opened(root, name)
    assert (file.name, file.path.read_bytes()) == (name, b"image")


@pytest.mark.parametrize("name", ["../secret.png", "sub/../../secret.png", "/etc/hostname", "..", "sub/..", ""])
def test_nothing_outside_and_no_folder_is_read(root: Path, name: str) -> None:
    (root / "sub").mkdir()
    write(root.parent / "secret.png")
    with pytest.raises(ImageError, match=r"lies outside the shared folder; it is not read$|is not a file$|names no"):
        opened(root, name)


def test_link_out_is_refused_and_link_inside_is_followed(root: Path) -> None:
    write(root.parent / "secret.png")
    write(root / "real.png")
    (root / "out.png").symlink_to(root.parent / "secret.png")
    (root / "in.png").symlink_to("real.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "folder").symlink_to(root.parent)
    assert opened(root, "in.png").path.name == "real.png"
    for name in ("out.png", "folder/secret.png"):
        with pytest.raises(ImageError, match=rf"^the image '{name}' lies outside the shared folder; it is not read$"):
            opened(root, name)
    with pytest.raises(ImageError, match=r"^the image 'loop.png' cannot be reached: "):
        opened(root, "loop.png")


def test_root_may_itself_be_a_link(root: Path) -> None:
    write(root / "a.png")
    link = root.parent / "link"
    link.symlink_to(root)
    assert opened(link).path.read_bytes() == b"image"


def test_pipe_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "a.png")
    with pytest.raises(ImageError, match=r"^the image 'a.png' is not a file$"):
        opened(root)


def test_missing_image(root: Path) -> None:
    expected = f"the image 'a.png' is not in {root}: is the same folder mounted here as in Label Studio?"
    with pytest.raises(ImageError, match=f"^{re.escape(expected)}$"):
        opened(root)


@pytest.mark.parametrize("query", ["", "?x=1", "?d=", "?d=a.png&d=b.png", "?d=%FF", "?d=a%00.png"])
def test_url_must_name_one_file(root: Path, query: str) -> None:
    expected = "the task's image URL /data/local-files/ names no file: expected ?d=<path>"
    with pytest.raises(ImageError, match=f"^{re.escape(expected)}$"):
        ImageSources(root, None).open(f"/data/local-files/{query}", None, time.monotonic() + 30)


def test_identity_changes_with_the_file(root: Path) -> None:
    write(root / "a.png")
    first = opened(root)
    assert opened(root) == first
    os.utime(root / "a.png", ns=(1, 1))
    touched = opened(root)
    (root / "new.png").write_bytes(b"other")
    os.utime(root / "new.png", ns=(1, 1))
    (root / "new.png").replace(root / "a.png")
    assert len({first.identity, touched.identity, opened(root).identity}) == 3


def test_what_lies_outside_is_not_told(root: Path) -> None:
    for name in ("../nothing.png", "/etc/no-such-file"):
        with pytest.raises(ImageError, match=r"lies outside the shared folder; it is not read$"):
            opened(root, name)


def test_file_below_a_file_is_missing(root: Path) -> None:
    write(root / "a.png")
    with pytest.raises(ImageError, match=r"^the image 'a.png/b.png' is not in "):
        opened(root, "a.png/b.png")


@pytest.mark.parametrize("url", ["http://other/a.png", "https://other/a.png"])
def test_backend_that_fetches_nothing_says_so(root: Path, url: str) -> None:
    expected = "the image 'other/.../a.png' would have to be fetched, but this backend reads the shared folder only"
    with pytest.raises(ImageError, match=f"^{re.escape(expected)}$"):
        ImageSources(root, None).open(url, "1", time.monotonic() + 30)
