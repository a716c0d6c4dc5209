"""Which URL an image tag means: one image, an entry of a list, a way through objects, or a text with references."""

from __future__ import annotations

from typing import Any

import pytest

from labeling.config import read_config
from labeling.images import ImageTag, NoImage, image_url, image_urls


def image_in(images: str) -> ImageTag:
    """The image tag named `i`."""
    tag = read_config(f"<View>{images}</View>").image("i")
    assert tag is not None
    return tag


LIST = '<Image name="i" value="$ignored" valueList="$images"/>'
URLS: dict[str, tuple[str, dict[str, Any], int | None, str]] = {
    "plain": ('<Image name="i" value="$image"/>', {"image": "a.png"}, None, "a.png"),
    "plain with an index": ('<Image name="i" value="$image"/>', {"image": "a.png"}, 0, "a.png"),
    "of two": ('<Image name="j" value="$rgb"/><Image name="i" value="$thermal"/>', {"thermal": "t.png"}, None, "t.png"),
    "nested": (
        '<Image name="i" value="$photo.files[1].url"/>',
        {"photo": {"files": [0, {"url": "b.png"}]}},
        None,
        "b.png",
    ),
    "a key with a dot": (
        '<Image name="i" value="$photo.url"/>',
        {"photo.url": "c.png", "photo": {"url": "x"}},
        0,
        "c.png",
    ),
    "made of a text": (
        '<Image name="i" value="http://h/$n/$x.y.png"/>',
        {"n": 7, "x": {"y": {"png": "d"}}},
        None,
        "http://h/7/d",
    ),
    "fixed": ('<Image name="i" value="http://host/map.png"/>', {}, None, "http://host/map.png"),
    "list, first": (LIST, {"images": ["a.png", "b.png"], "ignored": "x"}, None, "a.png"),
    "list, second": (LIST, {"images": ["a.png", "b.png"]}, 1, "b.png"),
    "list under value": ('<Image name="i" value="$images"/>', {"images": ["a.png", "b.png"]}, 1, "b.png"),
    "list of one as a text": (LIST, {"images": "a.png"}, 0, "a.png"),
}


@pytest.mark.parametrize("case", sorted(URLS))
def test_image_url(case: str) -> None:
    images, data, index, expected = URLS[case]
    assert image_url(data, image_in(images), index) == expected


NO_URLS: dict[str, tuple[str, dict[str, Any], int | None, str]] = {
    "missing": ("$image", {"b": 1, "a": 2}, None, "the task's data holds no image URL under 'image' (it holds: a, b)"),
    "no data": ("$image", {}, None, "the task's data holds no image URL under 'image' (it holds: nothing)"),
    "empty": ("$image", {"image": ""}, None, "the task's data holds no image URL under 'image' (it holds: image)"),
    "object": ("$image", {"image": {}}, None, "the task's data holds no image URL under 'image' (it holds: image)"),
    "beyond": ("$image", {"image": ["a"]}, 1, "image 2 was requested, but 'image' of the task's data holds 1"),
    "negative": ("$image", {"image": ["a"]}, -1, "image 0 was requested, but 'image' of the task's data holds 1"),
    "empty list": ("$image", {"image": []}, None, "image 1 was requested, but 'image' of the task's data holds 0"),
    "nested": ("$a[3].b", {"a": [1]}, None, "the task's data holds no image URL under 'a[3].b' (it holds: a)"),
    "text": ("/x/$n", {"n": [1]}, None, "the task's data holds no text under 'n', of which the image's URL is made"),
}


@pytest.mark.parametrize("case", sorted(NO_URLS))
def test_no_image_url(case: str) -> None:
    value, data, index, message = NO_URLS[case]
    with pytest.raises(NoImage) as caught:
        image_url(data, ImageTag("i", value), index)
    assert str(caught.value) == message


ALL: dict[str, tuple[ImageTag, dict[str, Any], list[str]]] = {
    "one": (ImageTag("i", "$image"), {"image": "a.png"}, ["a.png"]),
    "list": (ImageTag("i", "$images", is_list=True), {"images": ["a.png", "b.png"]}, ["a.png", "b.png"]),
    "list under value": (ImageTag("i", "$images"), {"images": ["a.png", "b.png"]}, ["a.png", "b.png"]),
    "entry": (ImageTag("i", "$images[1]"), {"images": ["a.png", "b.png"]}, ["b.png"]),
    "entry of an object": (ImageTag("i", "$pages[0].url"), {"pages": [{"url": "a.png"}]}, ["a.png"]),
    "text": (ImageTag("i", "/d?d=set/$file"), {"file": "a.png"}, ["/d?d=set/a.png"]),
    "missing": (ImageTag("i", "$image"), {"b": 1}, []),
    "missing entry": (ImageTag("i", "$images[2]"), {"images": ["a.png"]}, []),
    "text without its field": (ImageTag("i", "/d?d=set/$file"), {"b": 1}, []),
}


@pytest.mark.parametrize("case", ALL)
def test_image_urls(case: str) -> None:
    tag, data, expected = ALL[case]
    assert image_urls(data, tag) == expected


@pytest.mark.parametrize(
    ("value", "fields", "is_reference"),
    [
        ("$image", {"image"}, True),
        ("$images[0]", {"images"}, True),
        ("$pages[0].url", {"pages"}, True),
        ("/data/local-files/?d=$folder/$file", {"folder", "file"}, False),
        ("http://host/map.png", set(), False),
    ],
)
def test_fields(value: str, fields: set[str], is_reference: bool) -> None:
    tag = ImageTag("i", value)
    assert (set(tag.fields), tag.is_reference) == (fields, is_reference)
