"""The name of an image is a safe relative path, and the same on every server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.export.image_name import FileNames, file_name_of

CASES = {
    "/data/local-files/?d=set/a%20b.png": "set/a b.png",
    "https://lab.example/label/data/local-files/?d=set/%C3%91.png": "set/Ñ.png",
    "/data/upload/3/1f2e3d4c-a.png": "upload/3/1f2e3d4c-a.png",
    "s3://bucket/deep/a.png": "bucket/deep/a.png",
    "https://example.org/x/a.png?signature=1": "example.org/x/a.png",
    "/data/local-files/?d=../../etc/passwd": "etc/passwd",
    "/data/local-files/?d=/abs//a.png": "abs/a.png",
    "": "image",
}


@pytest.mark.parametrize(("url", "name"), CASES.items())
def test_urls_become_paths(url: str, name: str) -> None:
    assert file_name_of(url) == name


@given(st.text())
def test_no_url_leads_out_of_the_export(text: str) -> None:
    try:
        name = file_name_of(f"/data/local-files/?d={text}")
    except ValueError:
        return  # urllib refuses some addresses itself
    assert not name.startswith("/")
    assert not {"", ".", ".."} & set(name.split("/"))
    assert "\0" not in name


def test_no_name_is_given_twice() -> None:
    names = FileNames(".txt")
    given = [names.beside(name, 7) for name in ("a.png", "a.jpg", "a.bmp", "a.task7.png", "b/a.png")]
    assert given == ["a.txt", "a.task7.txt", "a.task7-2.txt", "a.task7.task7.txt", "b/a.txt"]
