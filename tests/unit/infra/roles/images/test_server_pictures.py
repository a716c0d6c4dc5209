"""Of which files people get a picture instead of the file, and the grant for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from backend.images.images import DecodedPicture
from backend.web.grants import HEADER, read_grant
from backend.web.picture_routes import SECONDS
from core.repository import REPOSITORY
from masks.pictures import FORMATS, opened
from tests.unit.infra.roles.images.server_modules import SERVER, loaded

SHOWN = {"PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF"}  # by every browser of today
GREY_16 = Image.fromarray(np.arange(4800, dtype=np.uint16).reshape(60, 80))
COLOUR = Image.fromarray(np.arange(60 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 80, 3))
FLOAT = Image.fromarray(np.linspace(-20, 40, 4800, dtype=np.float32).reshape(60, 80))
OTHER_WAYS: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "big.tif": (GREY_16, {"big_tiff": True}),
    "float.pfm": (FLOAT, {"format": "PPM"}),
    "counts.pgm": (GREY_16, {"format": "PPM"}),
    "bits.pbm": (COLOUR.convert("1"), {"format": "PPM"}),
    "stream.j2k": (COLOUR, {"format": "JPEG2000", "no_jp2": True}),
    "counts.jp2": (GREY_16, {"format": "JPEG2000"}),
    "veil.png": (COLOUR.convert("LA"), {}),
    "palette.png": (COLOUR.convert("P"), {}),
    "by another name.png": (GREY_16, {"format": "TIFF"}),
}


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    with loaded("labelrig_pictures") as module:
        yield module


@pytest.mark.parametrize("kind", FORMATS)
def test_what_the_backend_reads_is_shown_either_way(module: ModuleType, kind: str, tmp_path: Path) -> None:
    """A format that is new there fails here until it is known whether browsers show it."""
    assert features.check("jpg_2000")
    assert features.check("avif")
    path = tmp_path / "picture"
    COLOUR.save(path, format=kind)
    assert module.needs_picture(str(path)) is (kind not in SHOWN)


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_other_forms_of_them(module: ModuleType, name: str, tmp_path: Path) -> None:
    image, how = OTHER_WAYS[name]
    image.save(tmp_path / name, **how)
    with opened(tmp_path / name) as one:
        assert one.format in FORMATS
    assert module.needs_picture(str(tmp_path / name)) is (name not in ("veil.png", "palette.png"))


def test_grey_that_is_stretched_is_never_shown_raw(module: ModuleType, tmp_path: Path) -> None:
    """A PNG of 16 bits has the name and the first bytes of one that browsers show."""
    for number, image in enumerate((GREY_16, FLOAT, GREY_16.convert("I"), COLOUR, COLOUR.convert("L"))):
        for ending in ("png", "tif", "ppm"):
            path = tmp_path / f"{number}.{ending}"
            try:
                image.save(path)
            except OSError:
                continue  # this format has no such values
            with opened(path) as one:
                is_stretched = DecodedPicture(one)._stretch is not None
            assert module.needs_picture(str(path)) or not is_stretched, path.name


@pytest.mark.parametrize(
    ("name", "content", "needs"),
    [
        ("broken.tif", b"", True),  # the backend says so
        ("page.TIFF", b"<html>", True),
        ("photo.tif", b"\xff\xd8\xff\xe0", False),  # a JPEG, whatever its name: browsers look at the bytes
        ("notes.txt", b"P5 is a format", True),
        ("notes2.txt", b"P5, a format", False),
        ("sound.wav", b"RIFF\x00\x00\x00\x00WAVE", False),
        ("film.mp4", b"\x00\x00\x00\x18ftypmp42", False),
        ("short.png", b"\x89PNG\r\n\x1a\n", False),
    ],
)
def test_other_files(module: ModuleType, name: str, content: bytes, needs: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert module.needs_picture(str(tmp_path / name)) is needs
    assert not module.needs_picture(str(tmp_path / "nothing.tif"))


def test_both_sides_speak_of_the_same_grant(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "/data/local-files/?d=set/%C3%B1%20%2B.tif"
    assert module.grant_for(url) is None  # an image of Label Studio's in a stack without that password
    for content, there in ((b"", False), (b"  p\xc3\xa4ssword \n", True)):
        (tmp_path / "password").write_bytes(content)
        monkeypatch.setenv(module.PASSWORD_FILE, str(tmp_path / "password"))
        assert (module.grant_for(url) is not None) is there
    from backend.web.credential import PasswordFile

    grant = read_grant(module.grant_for(url), PasswordFile(tmp_path / "password").key())
    assert grant is not None
    assert grant.url == url
    assert module.SECONDS <= SECONDS
    assert f'GRANT = "{HEADER}"' in (SERVER / "labelrig_middleware.py").read_text()
    proxy = (REPOSITORY / "infra/roles/images/dockerfiles/proxy/label-studio.caddy").read_text()
    assert f"request_header {HEADER} {{http.reverse_proxy.header.{HEADER}}}" in proxy
    assert f"{module.PASSWORD_FILE}: /secrets/" in (REPOSITORY / "infra/roles/stack/compose/compose.yaml").read_text()
