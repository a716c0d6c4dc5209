from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from backend import images
from backend.errors import ImageError

LIMIT = 10_000


def url_of(name: str) -> str:
    return f"/data/local-files/?d={quote(name)}"


def load(root: Path, name: str = "a.png") -> Any:
    return images.load(url_of(name), root, LIMIT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def corners() -> Image.Image:
    """3 wide, 2 high, all pixels different."""
    return Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10)


def test_rgb_png_comes_back_as_it_is(root: Path) -> None:
    corners().save(root / "a.png")
    pixels = load(root)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(corners()))


# What a viewer does to the stored picture for each orientation (EXIF 2.3, tag 0x0112).
UPRIGHT: dict[int, Any] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_exif_orientation_is_applied(root: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    corners().save(root / "a.png", exif=exif)
    np.testing.assert_array_equal(load(root), UPRIGHT[orientation](np.asarray(corners())))


def test_exif_orientation_of_a_jpeg(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30), "red").save(root / "a.jpg", exif=exif)
    assert load(root, "a.jpg").shape == (40, 30, 3)


def test_thermal_band_in_16_bit_is_stretched(root: Path) -> None:
    counts = np.linspace(7000, 7600, 80 * 60).reshape(60, 80).astype(np.uint16)
    Image.fromarray(counts).save(root / "a.png")
    pixels = load(root)
    assert pixels.shape == (60, 80, 3)
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert abs(float(pixels.mean()) - 127.5) < 2
    assert (np.diff(pixels[..., 0].ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("value", [0, 7000, 65535])
def test_constant_16_bit_image_is_mid_grey(root: Path, value: int) -> None:
    Image.fromarray(np.full((6, 8), value, dtype=np.uint16)).save(root / "a.png")
    assert (load(root) == 128).all()


def test_nearly_constant_16_bit_image_keeps_its_few_pixels(root: Path) -> None:
    counts = np.full((60, 80), 500, dtype=np.uint16)
    counts[3, 4] = 900
    Image.fromarray(counts).save(root / "a.png")
    pixels = load(root)
    assert pixels[3, 4, 0] == 255
    assert pixels[0, 0, 0] == 0


def test_float_tiff_with_holes(root: Path) -> None:
    heat = np.linspace(-20.0, 40.0, 600, dtype=np.float32).reshape(20, 30)
    heat[0, 0], heat[5, 5] = np.nan, np.inf
    Image.fromarray(heat).save(root / "a.tif")
    pixels = load(root, "a.tif")
    assert pixels[19, 29, 0] == 255
    assert pixels[0, 0, 0] == pixels[5, 5, 0] == 0


def test_float_tiff_of_nothing_is_mid_grey(root: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)).save(root / "a.tif")
    assert (load(root, "a.tif") == 128).all()


def test_transparency_is_white(root: Path) -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 255, 0))
    image.save(root / "a.png")
    pixels = load(root)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [255, 0, 0]


def test_palette_with_a_transparent_entry(root: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 0)
    image.save(root / "a.png", transparency=0)
    pixels = load(root)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [200, 100, 50]


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"), [("L", 77, [77] * 3), ("1", 1, [255] * 3), ("LA", (9, 255), [9] * 3)]
)
def test_grey_modes(root: Path, mode: str, colour: Any, rgb: list[int]) -> None:
    Image.new(mode, (4, 3), colour).save(root / "a.png")
    assert load(root)[1, 1].tolist() == rgb


def test_cmyk_jpeg(root: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(root / "a.jpg", quality=95)
    red, green, blue = load(root, "a.jpg")[8, 8].tolist()
    assert red > 240
    assert green < 15
    assert blue < 15


@pytest.mark.parametrize("name", ["big image é.png", "100% +a&b=c#d?.png", "sub/дом.png", "a'b\"c.png"])
def test_names_are_decoded(root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    corners().save(root / name)
    assert load(root, name).shape == (2, 3, 3)


@pytest.mark.parametrize("name", ["../secret.png", "sub/../../secret.png", "/etc/hostname", "..", "sub/..", ""])
def test_nothing_outside_and_no_folder_is_read(root: Path, name: str) -> None:
    (root / "sub").mkdir()
    corners().save(root.parent / "secret.png")
    with pytest.raises(ImageError, match=r"lies outside the shared folder; it is not read$|is no file$|names no"):
        load(root, name)


def test_link_out_is_refused_and_link_inside_is_followed(root: Path) -> None:
    corners().save(root.parent / "secret.png")
    corners().save(root / "real.png")
    (root / "out.png").symlink_to(root.parent / "secret.png")
    (root / "in.png").symlink_to("real.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "folder").symlink_to(root.parent)
    assert load(root, "in.png").shape == (2, 3, 3)
    for name in ("out.png", "folder/secret.png"):
        with pytest.raises(ImageError, match=rf"^the image '{name}' lies outside the shared folder; it is not read$"):
            load(root, name)
    with pytest.raises(ImageError, match=r"^the image 'loop.png' cannot be reached: "):
        load(root, "loop.png")


def test_root_may_itself_be_a_link(root: Path) -> None:
    corners().save(root / "a.png")
    link = root.parent / "link"
    link.symlink_to(root)
    assert load(link).shape == (2, 3, 3)


def test_pipe_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "a.png")
    with pytest.raises(ImageError, match=r"^the image 'a.png' is no file$"):
        load(root)


def test_missing_image(root: Path) -> None:
    expected = f"the image 'a.png' is not in {root}: is the same folder mounted here as in Label Studio?"
    with pytest.raises(ImageError, match=f"^{re.escape(expected)}$"):
        load(root)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns about some, beside the error
@pytest.mark.parametrize("size", [20, 60, 200])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "gif"])
def test_truncated_file(root: Path, suffix: str, size: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = root / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ImageError, match=rf"^the image 'a.{suffix}' cannot be read: ") as caught:
        load(root, path.name)
    assert str(root) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>"])
def test_not_an_image(root: Path, content: bytes) -> None:
    (root / "a.png").write_bytes(content)
    expected = "the image 'a.png' cannot be read: it is no PNG, JPEG, WEBP, TIFF, BMP, GIF, JPEG2000 or PPM file"
    with pytest.raises(ImageError, match=f"^{expected}$"):
        load(root)


def test_bomb_is_refused_before_it_is_decoded(root: Path) -> None:
    Image.new("1", (200, 51)).save(root / "a.png")
    with pytest.raises(ImageError, match=r"^the image 'a.png' has 200x51 pixels, more than IMAGE_PIXEL_LIMIT=10000$"):
        load(root)


def test_giant_bomb(root: Path) -> None:
    # A header that promises 50000x50000 pixels: beyond what Pillow itself opens.
    Image.new("1", (8, 8)).save(root / "a.bmp")
    data = bytearray((root / "a.bmp").read_bytes())
    data[18:22] = data[22:26] = (50_000).to_bytes(4, "little")
    (root / "a.bmp").write_bytes(data)
    with pytest.raises(ImageError, match=r"^the image 'a.bmp' has far more than IMAGE_PIXEL_LIMIT=10000 pixels$"):
        load(root, "a.bmp")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://other/data/local-files/?d=a.png", "http://other"),
        ("s3://bucket/a.png", "s3://bucket"),
        ("/data/upload/3/a.png", "/data/upload/3/a.png"),
        ("file:///etc/passwd", "file://"),
    ],
)
def test_other_urls_are_refused(root: Path, url: str, shown: str) -> None:
    expected = (
        f"images are read from the shared folder only (/data/local-files/?d=...), this task's image is at '{shown}'"
    )
    with pytest.raises(ImageError, match=f"^{re.escape(expected)}$"):
        images.load(url, root, LIMIT)


@pytest.mark.parametrize("query", ["", "?x=1", "?d=", "?d=a.png&d=b.png", "?d=%FF", "?d=a%00.png"])
def test_url_must_name_one_file(root: Path, query: str) -> None:
    expected = "the task's image URL /data/local-files/ names no file: expected ?d=<path>"
    with pytest.raises(ImageError, match=f"^{re.escape(expected)}$"):
        images.load(f"/data/local-files/{query}", root, LIMIT)
