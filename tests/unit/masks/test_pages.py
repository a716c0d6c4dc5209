"""Which page of a TIFF is the picture, and how many there are: in files that Pillow writes, and in some by hand."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from backend.images import images
from backend.sources.source_file import SourceFile
from dataset.export.pictures import put_picture
from dataset.export.pixels import read_pixels
from masks.pages import ENTRIES, PAGES, Pages, pages_in, pages_of
from masks.pictures import FarTooLarge, PictureError, opened, upright, upright_size

BIG_WH, SMALL_WH = (80, 60), (20, 15)


def page(value: int, size_wh: tuple[int, int] = BIG_WH, kind: int = 0, mode: str = "L") -> Image.Image:
    """One of a colour; `kind` is its NewSubfileType."""
    image = Image.new(mode, size_wh, value)
    image.encoderinfo = {"tiffinfo": {254: kind}}
    return image


def written(path: Path, *pages: Image.Image, **how: Any) -> Path:
    """By Pillow's own writer of several pages, each with its tags."""
    with TiffImagePlugin.AppendingTiffWriter(str(path), True) as file:
        for one in pages:
            one.encoderconfig = ()
            info = TiffImagePlugin.ImageFileDirectory_v2()
            info[254] = one.encoderinfo["tiffinfo"][254]
            one.save(file, format="TIFF", tiffinfo=info, **how)
            file.newFrame()
    return path


def seen(path: Path) -> int:
    """The value of the picture as SAM2, people and exports get it: they agree."""
    pixels = images.read(SourceFile(path, "a", "1"), 10**6)
    with opened(path) as image:
        assert upright_size(image) == pixels.shape[1::-1]
        assert np.asarray(upright(image).convert("L"))[0, 0] == pixels[0, 0, 0]
    exported = read_pixels(path.read_bytes(), (pixels.shape[1], pixels.shape[0]))
    assert exported[0, 0] == pixels[0, 0, 0]
    return int(pixels[0, 0, 0])


def test_a_recording_is_twelve_pages(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", *(page(10 + number) for number in range(12)))
    assert (pages_of(path), seen(path)) == (Pages(0, 12), 10)


@pytest.mark.parametrize(
    ("pages", "expected", "value"),
    [
        ((page(10), page(20, SMALL_WH, 1)), Pages(0, 1), 10),  # a thumbnail behind
        ((page(20, SMALL_WH, 1), page(10)), Pages(1, 1), 10),  # and before
        ((page(20, SMALL_WH, 1), page(10), page(11)), Pages(1, 2), 10),
        ((page(10), page(30, BIG_WH, 4), page(20, SMALL_WH, 5)), Pages(0, 1), 10),  # transparency masks
        ((page(10), page(11, (40, 30)), page(12, (20, 15))), Pages(0, 1), 10),  # a pyramid without marks
        ((page(10), page(11, (40, 60))), Pages(0, 2), 10),  # a scan of another format
        ((page(10, BIG_WH, 2), page(11, BIG_WH, 2)), Pages(0, 2), 10),  # marked as pages of a document
        ((page(20, SMALL_WH, 1), page(30, SMALL_WH, 1)), Pages(0, 1), 20),  # copies of what is not there
    ],
)
def test_the_picture_is_the_first_page_that_is_no_smaller_copy(
    pages: tuple[Image.Image, ...], expected: Pages, value: int, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.tif", *pages)
    assert (pages_of(path), seen(path)) == (expected, value)


@pytest.mark.parametrize("big", [False, True])
def test_both_forms_of_the_file(big: bool, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((60, 80), 7000 + number, np.uint16)) for number in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:], big_tiff=big)
    assert pages_of(tmp_path / "a.tif") == Pages(0, 3)


def test_planes_of_one_page_are_one_page(tmp_path: Path) -> None:
    """Red, green and blue one after the other, which some call pages."""
    planes = [np.full((6, 8), value, np.uint8) for value in (200, 100, 50)]
    tags = [(256, 3, 1, 8), (257, 3, 1, 6), (258, 3, 3, 128), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, 134)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 6), (279, 4, 3, 146), (284, 3, 1, 2)]
    directory = struct.pack("<H", 10) + b"".join(struct.pack("<HHII", *one) for one in tags) + struct.pack("<I", 0)
    head = (b"II*\x00" + struct.pack("<I", 8) + directory).ljust(128 + 6, b"\0")
    head = (
        head[:128] + struct.pack("<HHH", 8, 8, 8) + struct.pack("<III", 158, 206, 254) + struct.pack("<III", *[48] * 3)
    )
    path = tmp_path / "a.tif"
    path.write_bytes(head + b"".join(one.tobytes() for one in planes))
    assert pages_of(path) == Pages(0, 1)
    assert images.read(SourceFile(path, "a", "1"), 10**6)[0, 0].tolist() == [200, 100, 50]


def test_a_data_set_holds_the_page_that_was_annotated(tmp_path: Path) -> None:
    """Readers take the first page of a file, which here is a thumbnail; all else is copied byte by byte."""
    behind = written(tmp_path / "a.tif", page(20, SMALL_WH, 1), page(10), page(11))
    first = written(tmp_path / "b.tif", page(10), page(20, SMALL_WH, 1))
    for path in (behind, first):
        image: Any = SimpleNamespace(size_wh=BIG_WH, file_name=path.name)
        out = put_picture(tmp_path / f"out-{path.stem}", path.read_bytes(), image, None)
        with Image.open(out) as read:
            assert (read.size, read.getpixel((0, 0))) == (BIG_WH, 10)
        assert (out.read_bytes() == path.read_bytes()) is (path is first)


def directory(order: str, entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    packed = b"".join(struct.pack(f"{order}HHII", *one) for one in entries)
    return struct.pack(f"{order}H", len(entries)) + packed + struct.pack(f"{order}I", following)


def test_what_is_read_of_a_file_that_lies_is_bounded(tmp_path: Path) -> None:
    entry = [(256, 4, 1, 80), (257, 4, 1, 60)]
    head, size = b"MM\x00*" + struct.pack(">I", 8), len(directory(">", entry, 0))
    circle = head + directory(">", entry, 8 + size) + directory(">", entry, 8)
    assert pages_in(io.BytesIO(circle)) == Pages(0, 2)
    chain = head + b"".join(directory(">", entry, 8 + size * number) for number in range(1, PAGES + 500))
    assert pages_in(io.BytesIO(chain)).count == PAGES
    many = struct.pack("<H", 0xFFFF) + struct.pack("<HHII", 256, 4, 1, 80) * 0xFFFF
    ends = (8 + number * (len(many) + 4) for number in range(1, 18))
    wide = b"II*\x00" + struct.pack("<I", 8) + b"".join(many + struct.pack("<I", end) for end in ends)
    assert pages_in(io.BytesIO(wide)).count == ENTRIES // 0xFFFF


@pytest.mark.parametrize(
    "content", [b"", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"MM\x00+\x00\x08\x00\x00" + b"\xff" * 8]
)
def test_a_file_of_nothing_has_one_page(content: bytes, tmp_path: Path) -> None:
    file = io.BytesIO(content)
    file.seek(min(2, len(content)))
    position = file.tell()
    assert pages_in(file) == Pages()
    assert file.tell() == position
    assert pages_of(tmp_path / "none.tif") == Pages()


def test_a_cut_file_has_the_pages_before_the_cut(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", *(page(10 + number) for number in range(4)))
    whole = path.read_bytes()
    assert 1 < pages_in(io.BytesIO(whole[: len(whole) * 2 // 3])).count < 4


def test_a_picture_behind_a_thumbnail_is_as_bounded_as_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.tif", page(20, SMALL_WH, 1), page(10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(FarTooLarge), opened(path):
        pass
    cut = path.read_bytes()[:-200]
    with pytest.raises(PictureError), opened(io.BytesIO(cut)) as image:
        upright(image)
