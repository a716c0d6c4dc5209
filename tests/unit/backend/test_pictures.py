"""What browsers get of an image is what the model sees of it: byte for byte, kept, bounded, and for who was let in."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from backend import picture
from backend.budget import MemoryBudget
from backend.errors import Busy, ImageError
from backend.images import images
from backend.images.image_store import ImageStore
from backend.images.images import DecodedPicture
from backend.images.png import png_of
from backend.serving.pictures import PictureStore
from backend.settings import Settings
from backend.web import picture_routes
from backend.web.app import create_app
from backend.web.grants import HEADER
from tests.unit.backend.caching import eventually
from tests.unit.backend.fakes import MODEL, FakeSegmenter
from tests.unit.backend.image_files import corners, file_of
from tests.unit.infra.roles.images.server_modules import loaded

LIMIT = 1_000_000
PASSWORD = "a-password-of-the-backend"


def heat() -> NDArray[np.float32]:
    """Degrees, of which one pixel is unknown; no two rows alike."""
    rows = np.linspace(-20.0, 40.0, 60, dtype=np.float32)[:, None] + np.linspace(0, 3, 80, dtype=np.float32)
    rows[3, 4] = np.nan
    return rows


def counts() -> NDArray[np.uint16]:
    """A narrow band of a radiometric camera's values."""
    return np.random.default_rng(3).normal(28_500, 200, (60, 80)).astype(np.uint16)


def pages(path: Path) -> None:
    first, second = Image.fromarray(counts()), Image.fromarray(counts()[::-1].copy())
    first.save(path, save_all=True, append_images=[second])


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(counts()).save(path, exif=exif)


def palette(path: Path) -> None:
    image = Image.new("P", (5, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 0)
    image.save(path, transparency=0)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "counts.png": (lambda path: Image.fromarray(counts()).save(path), "L"),
    "counts.tif": (lambda path: Image.fromarray(counts()).save(path, compression="tiff_lzw"), "L"),
    "heat.tiff": (lambda path: Image.fromarray(heat()).save(path), "L"),
    "whole.tif": (lambda path: Image.fromarray(counts().astype(np.int32) * 9).save(path), "L"),
    "pages.tif": (pages, "L"),
    "counts.pgm": (lambda path: Image.fromarray(counts()).save(path), "L"),
    "colour.tif": (lambda path: corners().save(path), "RGB"),
    "ink.tif": (lambda path: corners().convert("CMYK").save(path), "RGB"),
    "plane.jp2": (lambda path: corners().resize((64, 48)).save(path), "RGB"),
    "plane.ppm": (lambda path: corners().save(path), "RGB"),
    "turned.png": (turned, "L"),
    "palette.png": (palette, "RGB"),
    "bits.tif": (lambda path: Image.fromarray(counts() > 28_500).save(path), "L"),
    "veil.png": (lambda path: Image.fromarray(heat()).convert("LA").save(path), "L"),
}


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(ImageStore(LIMIT, 0), tmp_path / "pictures", LIMIT)


def shown(store: PictureStore, path: Path) -> Image.Image:
    file = file_of(path)
    made = store.png(file, store._images.describe(file), time.monotonic() + 10)
    return Image.open(io.BytesIO(made.path.read_bytes()))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("band", [1, 1 << 20])
def test_a_picture_is_what_the_model_sees(
    name: str, band: int, root: Path, store: PictureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "BAND_PIXELS", band)
    write, mode = KINDS[name]
    write(root / name)
    before = (root / name).read_bytes(), (root / name).stat().st_mtime_ns
    made = shown(store, root / name)
    assert (made.format, made.mode) == ("PNG", mode)
    np.testing.assert_array_equal(np.asarray(made.convert("RGB")), images.read(file_of(root / name), LIMIT))
    assert ((root / name).read_bytes(), (root / name).stat().st_mtime_ns) == before


def test_a_picture_is_made_once(root: Path, store: PictureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the next process, and for another file with the same content."""
    Image.fromarray(counts()).save(root / "a.tif")
    first = shown(store, root / "a.tif")
    monkeypatch.setattr(images, "decoded", None)
    (root / "b.tif").write_bytes((root / "a.tif").read_bytes())
    again = PictureStore(ImageStore(LIMIT, 0), store._cache._folder, LIMIT)
    for one in (store, again):
        np.testing.assert_array_equal(np.asarray(shown(one, root / "b.tif")), np.asarray(first))


def test_what_is_kept_is_bounded(root: Path, tmp_path: Path) -> None:
    small = PictureStore(ImageStore(LIMIT, 0), tmp_path / "small", 10_000)
    for number in range(40):
        Image.fromarray(counts() + np.uint16(number)).save(root / f"{number}.tif")
        shown(small, root / f"{number}.tif")
    kept = [one for one in (tmp_path / "small").iterdir() if one.suffix != ".json"]
    assert 1 <= len(kept) <= 32  # those that may be about to be read


def test_a_file_that_changes_meanwhile_gives_none(root: Path, store: PictureStore) -> None:
    """And nothing of it is kept under the name of the former content."""
    Image.fromarray(counts()).save(root / "a.tif")
    info = store._images.describe(file_of(root / "a.tif"))
    Image.fromarray(counts()[::-1].copy()).save(root / "a.tif")
    os.utime(root / "a.tif", ns=(1, 1))
    with pytest.raises(ImageError, match=r"^the image 'a\.tif' was exchanged while it was being read; click again$"):
        store.png(file_of(root / "a.tif"), info, time.monotonic() + 10)
    assert store._cache.find(f"{info.digest}:1") is None


def test_memory_is_taken_as_for_a_click(root: Path, tmp_path: Path) -> None:
    Image.fromarray(counts()).save(root / "a.tif")
    work = MemoryBudget(128 << 20, "the memory for pictures and masks")
    busy = PictureStore(ImageStore(LIMIT, 0, work=work), tmp_path / "busy", LIMIT)
    info = busy._images.describe(file_of(root / "a.tif"))
    with (
        work.hold(work.limit),
        pytest.raises(Busy, match=r"^the memory for pictures and masks is taken by other work; try again in a moment$"),
    ):
        busy.png(file_of(root / "a.tif"), info, time.monotonic() + 0.05)


@pytest.fixture
def door(settings: Settings, tmp_path: Path) -> Iterator[TestClient]:
    """A backend with a password, and a thermal picture in its shared folder."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    Image.fromarray(counts()).save(tmp_path / "files" / "set" / "t ñ.tif")
    closed = settings.model_copy(update={"backend_password_file": tmp_path / "password"})
    with TestClient(create_app(FakeSegmenter, closed, MODEL)) as client:
        yield client


def granted(tmp_path: Path, name: str, password: str = PASSWORD) -> dict[str, str]:
    """The header that Label Studio's own module makes."""
    (tmp_path / "given").write_text(password)
    with loaded("labelrig_pictures") as module, pytest.MonkeyPatch.context() as environment:
        environment.setenv(module.PASSWORD_FILE, str(tmp_path / "given"))
        return {HEADER: module.grant_for(f"/data/local-files/?d=set/{name}")}


def test_a_grant_gives_the_picture(door: TestClient, tmp_path: Path) -> None:
    header = granted(tmp_path, "t%20%C3%B1.tif")
    answer = door.get("/picture", headers=header)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    np.testing.assert_array_equal(pixels, images.read(file_of(tmp_path / "files/set/t ñ.tif"), LIMIT))
    assert answer.headers["Cache-Control"] == "private, no-cache"  # each time Label Studio is asked
    again = door.get("/picture", headers=header | {"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_without_a_grant_there_is_none(door: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the password either, nor with a grant that somebody else signed, changed or kept."""
    good = granted(tmp_path, "t%20%C3%B1.tif")[HEADER]
    body, _, signature = good.partition(".")
    wrong = (
        "", ".", "x", good[:-2], f"{body}.", f".{signature}", f"{body}x.{signature}", f"{signature}.{body}", good * 2,
        granted(tmp_path, "a.png", "another-password")[HEADER], "%" * 50, "A" * 30_000,
    )  # fmt: skip
    for one in wrong:
        answer = door.get("/picture", headers={HEADER: one})
        assert answer.status_code == 401, one
        assert answer.json()["detail"].startswith("the picture's grant is missing, has ended, or was not signed")
    assert door.get("/picture", auth=("labelrig", PASSWORD)).status_code == 401
    assert door.get("/status", headers={HEADER: good}).status_code == 401
    monkeypatch.setattr("backend.web.grants.time.time", lambda now=time.time: now() + 61)
    assert door.get("/picture", headers={HEADER: good}).status_code == 401


def test_by_hand_without_a_password_there_is_none(client: TestClient) -> None:
    answer = client.get("/picture")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "a picture is asked for with a grant of Label Studio's, and none came"


def test_what_cannot_be_read_is_a_sentence(door: TestClient, tmp_path: Path) -> None:
    folder = tmp_path / "files" / "set"
    (folder / "cut.tif").write_bytes((folder / "t ñ.tif").read_bytes()[:3000])
    (folder / "page.tif").write_text("<html>")
    Image.new("L", (2000, 1000)).save(folder / "large.tif")
    sentences = {
        "cut.tif": "the image 'set/cut.tif' cannot be read: ",
        "page.tif": "the image 'set/page.tif' cannot be read: it is a web page; download the picture again",
        "large.tif": "the image 'set/large.tif' has 2000x1000 pixels, more than IMAGE_PIXEL_LIMIT=1000000",
        "gone.tif": "the image 'set/gone.tif' is not in ",
    }
    for name, sentence in sentences.items():
        answer = door.get("/picture", headers=granted(tmp_path, name))
        assert answer.status_code == 422, name
        assert answer.json()["detail"].startswith(sentence)


def test_a_crowd_takes_turns(door: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of tasks asks for all of its thumbnails at once: each picture is made once, two at a time."""
    lock, made = threading.Lock(), list[int]()
    now = 0

    def watched(picture: DecodedPicture) -> Iterator[bytes]:
        nonlocal now
        with lock:
            now += 1
            made.append(now)
        time.sleep(0.02)
        yield from png_of(picture)
        with lock:
            now -= 1

    monkeypatch.setattr("backend.serving.pictures.png_of", watched)
    names = [f"{number}.tif" for number in range(8)]
    for number, name in enumerate(names):
        Image.fromarray(np.roll(counts(), number, axis=0)).save(tmp_path / "files" / "set" / name)
    headers = [granted(tmp_path, name) for name in names]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda header: door.get("/picture", headers=header), headers * 3))
    assert {one.status_code for one in answers} == {200}
    assert len({one.content for one in answers}) == len(names)
    assert (len(made), max(made)) == (len(names), picture_routes.THREADS)


def test_a_crowd_is_told_to_wait(door: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = granted(tmp_path, "t%20%C3%B1.tif")
    monkeypatch.setattr(picture_routes, "WAITING", 0)
    refused = door.get("/picture", headers=header)
    assert refused.status_code == 503
    assert refused.json()["detail"] == "too many pictures are asked for at once; load the page again in a moment"
    monkeypatch.setattr(picture_routes, "WAITING", 1)
    eventually(lambda: door.get("/picture", headers=header).status_code == 200)
