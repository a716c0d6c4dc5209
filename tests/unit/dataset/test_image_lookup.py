"""Names out of other files find the images of tasks: by the whole path, or its end."""

from __future__ import annotations

import pytest

from dataset.image_lookup import Ambiguous, ImageLookup, Place
from tests.unit.labelstudio.annotated import url


@pytest.fixture
def lookup() -> ImageLookup:
    """A project of pairs, a list of images, and an upload."""
    found = ImageLookup()
    for number, task in enumerate((1, 2)):
        found.add(url(f"set/RGB/{number}.png"), Place(task, "rgb"))
        found.add(url(f"set/T/{number}.png"), Place(task, "thermal"))
    for index in range(2):
        found.add(url(f"list/page{index}.jpg"), Place(3, "pages", index))
    found.add("/data/upload/1/ab-own.png", Place(4, "image"))
    return found


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("RGB/0.png", Place(1, "rgb")),
        ("set/T/1.png", Place(2, "thermal")),
        ("/elsewhere/set/T/1.png", Place(2, "thermal")),
        ("T/1", Place(2, "thermal")),
        ("T/1.tiff", None),
        ("list/page1.jpg", Place(3, "pages", 1)),
        ("page0", Place(3, "pages", 0)),
        ("upload/1/ab-own.png", Place(4, "image")),
        ("ab-own.png", Place(4, "image")),
        ("none.png", None),
        ("/", None),
        ("", None),
    ],
)
def test_find(lookup: ImageLookup, name: str, place: Place | None) -> None:
    assert lookup.find(name) == place


def test_any_suffix(lookup: ImageLookup) -> None:
    """Only where it was requested: `1.jpg` of another camera must not become an annotation of `1.png`."""
    assert lookup.find("T/1.tiff", any_suffix=True) == Place(2, "thermal")
    assert lookup.find("T/1.png", any_suffix=True) == Place(2, "thermal")
    assert lookup.find("T/9.tiff", any_suffix=True) is None


def test_end_of_several_images_is_ambiguous(lookup: ImageLookup) -> None:
    with pytest.raises(Ambiguous) as caught:
        lookup.find("0.png")
    assert caught.value.names == ("set/RGB/0.png", "set/T/0.png")


def test_whole_path_before_ends() -> None:
    found = ImageLookup()
    found.add(url("set/deep/a.png"), Place(1, "image"))
    found.add(url("set/a.png"), Place(2, "image"))
    assert found.find("a.png") == Place(2, "image")


def test_tag_and_index_tell_images_of_one_file_apart() -> None:
    """The first task counts where the same file is shown twice, unless the name comes with its tag."""
    found = ImageLookup()
    for place in (Place(1, "left"), Place(1, "right"), Place(2, "pages", 0), Place(2, "pages", 1)):
        found.add(url("set/a.png"), place)
    assert found.find("set/a.png") == Place(1, "left")
    assert found.find("set/a.png", "right") == Place(1, "right")
    assert found.find("set/a.png", "pages", 1) == Place(2, "pages", 1)
    assert found.find("set/a.png", "elsewhere") == Place(1, "left")


def test_upload_is_found_by_the_name_that_it_had() -> None:
    """Label Studio puts eight digits before it; another server puts others."""
    found = ImageLookup()
    found.add("/data/upload/1/cb0618f6-own.png", Place(1, "image"))
    found.add("/data/upload/1/00000000-twice.png", Place(2, "image"))
    found.add("/data/upload/1/11111111-twice.png", Place(3, "image"))
    names = ("own.png", "images\\1/cb0618f6-own.png", "../media/upload/4/deadbeef-own.png", "images/deadbeef__own.png")
    assert {found.find(name) for name in names} == {Place(1, "image")}
    assert found.find("00000000-twice.png") == Place(2, "image")
    with pytest.raises(Ambiguous):
        found.find("twice.png")


def test_digits_that_belong_to_a_name_stay() -> None:
    """`20260301-a.png` is a name of its own beside `a.png`."""
    found = ImageLookup()
    for task, name in enumerate(("a.png", "20260301-a.png"), 1):
        found.add(url(f"set/{name}"), Place(task, "image"))
    assert found.find("20260301-a.png") == Place(2, "image")
    assert found.find("x/a.png") == Place(1, "image")


def test_suffix_is_only_an_images() -> None:
    """`frame.001` has none, so no `frame.png` is meant by it; `a.jpg` is not `a.jpg.png`."""
    found = ImageLookup()
    for task, name in enumerate(("frame.png", "a.jpg.png"), 1):
        found.add(url(f"set/{name}"), Place(task, "image"))
    assert found.find("frame.001", any_suffix=True) is None
    assert found.find("a.jpg") is None
    assert found.find("frame.tiff", any_suffix=True) == Place(1, "image")


@pytest.mark.parametrize("name", ["x/RGB/1.png", "RGB/1.png", "x%2FRGB%2F1.png", "x\\RGB\\1.png", "C:\\x\\RGB\\1.png"])
def test_longest_end_counts(name: str) -> None:
    found = ImageLookup()
    for task, path in enumerate(("set/1.png", "set/RGB/1.png", "set/T/1.png"), 1):
        found.add(url(path), Place(task, "image"))
    assert found.find(name) == Place(2, "image")


@pytest.mark.parametrize(
    ("image", "name", "is_elsewhere"),
    [
        (url("set/001.png"), "20230115-001.png", True),
        (url("set/001.png"), "set/20230115-001.png", True),
        (url("set/001.png"), "001.png", False),
        ("/data/upload/1/cb0618f6-own.png", "deadbeef-own.png", True),
        ("/data/upload/1/cb0618f6-own.png", "cb0618f6-own.png", False),
    ],
)
def test_name_without_its_digits_is_told(image: str, name: str, is_elsewhere: bool) -> None:
    """They may be a date that belongs to the name."""
    found = ImageLookup()
    found.add(image, Place(1, "image"))
    located = found.locate(name)
    assert located is not None
    assert located.elsewhere == is_elsewhere
