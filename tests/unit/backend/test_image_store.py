"""N clicks on one image are one hash and one decode, and pixels always belong to their digest."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from backend.budget import MemoryBudget
from backend.errors import DeadlinePassed, ImageError
from backend.images import images
from backend.images.image_store import ImageStore
from backend.picture import Picture
from backend.sources.source_file import SourceFile
from tests.unit.backend.caching import WAIT, Folder, eventually, soon, together

LIMIT = 1_000_000
ONE_IMAGE = 8 * 6 * 3


class Counted:
    """`backend.images.images` with its calls counted, and a gate before the decode."""

    def __init__(self) -> None:
        self.reads = 0
        self.sizes = 0
        self.gate = threading.Event()
        self.gate.set()

    def read(
        self, file: SourceFile, pixel_limit: int, work: MemoryBudget | None = None, until: float | None = None
    ) -> NDArray[np.uint8]:
        self.reads += 1
        assert self.gate.wait(WAIT)
        return images.read(file, pixel_limit, work, until)

    def size_of(
        self, file: SourceFile, pixel_limit: int, work: MemoryBudget | None = None, until: float | None = None
    ) -> tuple[int, int]:
        self.sizes += 1
        return images.size_of(file, pixel_limit, work, until)

    def store(self, memory_bytes: int = 1_000_000) -> ImageStore:
        return ImageStore(LIMIT, memory_bytes, self.read, self.size_of)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_describes_content_and_size_without_decoding(folder: Folder) -> None:
    folder.draw("a.png", 7)
    counted = Counted()
    found = counted.store().describe(folder.file("a.png"))
    assert found.digest == hashlib.sha256((folder.path / "a.png").read_bytes()).hexdigest()
    assert found.size_wh == (8, 6)
    assert counted.reads == 0


def test_fifty_clicks_at_once_are_one_description_and_one_decode(folder: Folder) -> None:
    folder.draw("a.png", 7)
    counted = Counted()
    store, file = counted.store(), folder.file("a.png")

    def click(_: int) -> float:
        return float(store.pixels(file, store.describe(file)).mean())

    assert together(50, click) == [7.0] * 50
    assert (counted.sizes, counted.reads) == (1, 1)


def test_a_warm_click_touches_no_file(folder: Folder) -> None:
    folder.draw("a.png", 7)
    counted = Counted()
    store, file = counted.store(), folder.file("a.png")
    cold = store.describe(file)
    file.path.unlink()
    assert store.describe(file) is cold
    assert (counted.sizes, counted.reads) == (1, 0)


def test_two_copies_of_an_image_are_decoded_once(folder: Folder) -> None:
    folder.draw("a.png", 7)
    folder.draw("b.png", 7)
    counted = Counted()
    store = counted.store()
    for name in ("a.png", "b.png"):
        store.pixels(folder.file(name), store.describe(folder.file(name)))
    assert (counted.sizes, counted.reads) == (2, 1)


def test_another_identity_is_read_anew(folder: Folder) -> None:
    folder.draw("a.png", 7)
    store = ImageStore(LIMIT, LIMIT)
    before = store.describe(folder.file("a.png"))
    folder.draw("a.png", 200)
    os.utime(folder.path / "a.png", ns=(1, 1))
    after = store.describe(folder.file("a.png"))
    assert after.digest != before.digest
    assert store.pixels(folder.file("a.png"), after).mean() == 200


def test_pixels_of_a_file_that_was_exchanged_are_refused(folder: Folder) -> None:
    folder.draw("a.png", 7)
    store = ImageStore(LIMIT, LIMIT)
    file = folder.file("a.png")
    info = store.describe(file)
    folder.draw("new.png", 200)
    (folder.path / "new.png").replace(file.path)
    for _ in range(2):  # the wrong pixels were not kept either
        with pytest.raises(ImageError, match=r"'a.png' was exchanged while it was being read; click again"):
            store.pixels(file, info)
    assert store.memory_bytes == 0


def test_pixels_stay_within_the_memory(folder: Folder) -> None:
    counted = Counted()
    store = counted.store(memory_bytes=2 * ONE_IMAGE)
    files = [folder.file(folder.draw(f"{number}.png", number)) for number in range(3)]
    for file in files:
        store.pixels(file, store.describe(file))
    assert store.memory_bytes == 2 * ONE_IMAGE
    store.pixels(files[2], store.describe(files[2]))
    assert counted.reads == 3
    store.pixels(files[0], store.describe(files[0]))
    assert counted.reads == 4


def test_pixels_of_a_batch_leave_the_memory_alone(folder: Folder) -> None:
    store, file = ImageStore(LIMIT, LIMIT), folder.file(folder.draw("a.png", 7))
    assert store.pixels(file, store.describe(file), keep=False).mean() == 7
    assert store.memory_bytes == 0


def test_shared_pixels_cannot_be_written_to(folder: Folder) -> None:
    file = folder.file(folder.draw("a.png", 7))
    store = ImageStore(LIMIT, LIMIT, read=lambda *_: np.zeros((6, 8, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        store.pixels(file, store.describe(file))[0, 0] = 0


def test_an_error_reaches_all_who_wait_and_is_not_kept(folder: Folder) -> None:
    (folder.path / "a.png").write_bytes(b"no image")
    store, file = ImageStore(LIMIT, LIMIT), folder.file("a.png")
    assert all(isinstance(one, ImageError) for one in together(8, lambda _: store.describe(file)))
    folder.draw("a.png", 7)
    assert store.describe(file).size_wh == (8, 6)


def test_a_file_that_is_gone_is_an_error_without_its_path(folder: Folder) -> None:
    file = folder.file(folder.draw("a.png", 7))
    file.path.unlink()
    with pytest.raises(ImageError, match=r"^the image 'a.png' cannot be read: No such file or directory$"):
        ImageStore(LIMIT, LIMIT).describe(file)


def test_who_waits_for_anothers_decode_gives_up_at_its_deadline(folder: Folder) -> None:
    counted = Counted()
    store, file = counted.store(), folder.file(folder.draw("a.png", 7))
    info = store.describe(file)
    counted.gate.clear()
    slow = threading.Thread(target=store.pixels, args=(file, info))
    slow.start()
    eventually(lambda: counted.reads == 1)
    with pytest.raises(DeadlinePassed, match=r"decoding the image 'a.png' did not come in time"):
        store.pixels(file, info, time.monotonic())
    counted.gate.set()
    slow.join(WAIT)
    assert store.pixels(file, info).mean() == 7
    assert counted.reads == 1


def test_images_that_are_read_at_once_stay_within_the_memory(tmp_path: Path) -> None:
    """Of eight that need 64 MB each and more, two at a time."""
    work = MemoryBudget(150 << 20, "the memory")
    store = ImageStore(10_000_000, 0, work=work)
    at_once, most, lock = 0, 0, threading.Lock()

    def measured(picture: Picture) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        held = work.held
        picture.piece((0, 0, 1, 1))
        with lock:
            at_once -= 1
        return held

    def click(number: int) -> int:
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (3000, 2600), (number, 0, 0)).save(path, compress_level=1)
        file = SourceFile(path, path.name, path.name)
        return store.use(file, store.describe(file), measured, soon())

    held = together(8, click)
    assert max(held) <= work.limit
    assert min(held) > 60 << 20
    assert most <= 2
    assert work.held == 0


def test_a_large_image_is_not_kept_and_its_pieces_are_the_same(tmp_path: Path) -> None:
    """Nor is one that lies turned there twice: each piece is turned by itself."""
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", exif=exif)
    file = SourceFile(tmp_path / "a.png", "a.png", "1")
    keeps, reads = ImageStore(LIMIT, 10 * noise.nbytes), ImageStore(LIMIT, noise.nbytes)
    box = (7, 9, 31, 70)
    one, other = (store.use(file, store.describe(file), lambda picture: picture.piece(box)) for store in (keeps, reads))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, np.rot90(noise, -1)[9:70, 7:31])
    assert (keeps.memory_bytes, reads.memory_bytes) == (noise.nbytes, 0)


def test_a_page_behind_a_thumbnail_is_another_image_than_its_file(tmp_path: Path) -> None:
    """What was kept by the file's own digest was of the thumbnail."""
    full = Image.new("L", (40, 30), 200)
    with TiffImagePlugin.AppendingTiffWriter(str(tmp_path / "a.tif"), True) as file:
        for kind, one in ((1, full.resize((8, 6))), (0, full), (0, full)):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[254] = kind
            one.encoderconfig = ()
            one.save(file, format="TIFF", tiffinfo=tags)
            file.newFrame()
    content = (tmp_path / "a.tif").read_bytes()
    info = ImageStore(10**6, 0).describe(SourceFile(tmp_path / "a.tif", "a.tif", "1"))
    assert (info.size_wh, info.pages) == ((40, 30), 2)
    assert re.fullmatch("[0-9a-f]{64}", info.digest)
    assert info.digest != hashlib.sha256(content).hexdigest()
