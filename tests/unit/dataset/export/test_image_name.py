"""The name of an image is a safe relative path, and the same on every server."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.export.image_name import file_name_of, image_key

CASES = {
    "/data/local-files/?d=set/a%20b.png": "set/a b.png",
    "https://lab.example/label/data/local-files/?d=set/%C3%91.png": "set/Ñ.png",
    "/data/upload/3/1f2e3d4c-a.png": "upload/3/1f2e3d4c-a.png",
    "s3://bucket/deep/a.png": "bucket/deep/a.png",
    "s3://bucket/scan#1.png": "bucket/scan#1.png",  # the key of an object has no fragment
    "https://example.org/x/a.png?signature=1": "example.org/x/a.png",
    "/data/local-files/?d=../../etc/passwd": "etc/passwd",
    "/data/local-files/?d=/abs//a.png": "abs/a.png",
    "": "image",
    # An address without an image's suffix: the query says which image it is.
    "https://example.org/view.php?id=7&f=a/b": "example.org/view.php_id=7&f=a_b",
    # Not an address: half of one of IPv6.
    "http://[x/a.png": "http:/[x/a.png",
}


@pytest.mark.parametrize(("url", "name"), CASES.items())
def test_urls_become_paths(url: str, name: str) -> None:
    assert file_name_of(url) == name


@given(st.text())
def test_no_url_leads_out_of_the_export(text: str) -> None:
    for name in (file_name_of(f"/data/local-files/?d={text}"), file_name_of(f"http://{text}")):
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))
        assert "\0" not in name
        name.encode("utf-8")


def test_an_image_in_the_task_is_called_by_its_content() -> None:
    """750 KB of base64 are no name, and its slashes no folders."""
    first, second = (file_name_of(f"data:image/{kind};base64,{'AA/B' * 200_000}") for kind in ("png", "jpeg"))
    assert re.fullmatch(r"data/[0-9a-f]{16}\.png", first)
    assert re.fullmatch(r"data/[0-9a-f]{16}\.jpg", second)
    assert re.fullmatch(r"data/[0-9a-f]{16}\.png", file_name_of(f" data: ;base64,{'A' * 750_000}"))
    assert len(file_name_of(f"data:application/octet-stream;base64,{'A' * 750_000}")) < 50


SAME = {
    "/data/local-files/?d=set/a%20b.png": "https://lab.example/data/local-files/?d=set//a+b.png",
    "https://example.org/a.png": "https://example.org/a.png#top",
}
OTHERS = {
    "/data/local-files/?d=%FF.png": "/data/local-files/?d=%FE.png",
    "https://example.org/a.png?version=1": "https://example.org/a.png?version=2",
    "s3://bucket/a.png": "https://bucket/a.png",
    "/data/local-files/?d=a%5Cb.png": "/data/local-files/?d=a_b.png",
}


def test_keys_tell_images_apart_that_share_a_name() -> None:
    """Tasks of one image are put together by its key, so two images must never have one."""
    for first, second in SAME.items():
        assert image_key(first) == image_key(second)
    for first, second in OTHERS.items():
        assert file_name_of(first) == file_name_of(second)
        assert image_key(first) != image_key(second)


def test_cloud_keys_that_differ_after_a_hash_are_two_images() -> None:
    """Label Studio takes the `#` of such an address for a part of the key."""
    first, second = "s3://bucket/scan#1.png", "s3://bucket/scan#2.png"
    assert image_key(first) != image_key(second)
    assert file_name_of(first) != file_name_of(second)
