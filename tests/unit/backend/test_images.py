"""What the model sees of each kind of image file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from backend import picture
from backend.errors import ImageError
from backend.images import images
from tests.unit.backend.image_files import LIMIT, corners, file_of, load, outcome, root

__all__ = ["root"]  # a fixture


def test_rgb_png_comes_back_as_it_is(root: Path) -> None:
    corners().save(root / "a.png")
    pixels = load(root)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(corners()))


def test_thermal_band_in_16_bit_is_stretched(root: Path) -> None:
    counts = np.linspace(7000, 7600, 80 * 60).reshape(60, 80).astype(np.uint16)
    Image.fromarray(counts).save(root / "a.png")
    pixels = load(root)
    assert pixels.shape == (60, 80, 3)
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert abs(float(pixels.mean()) - 127.5) < 2
    assert (np.diff(pixels[..., 0].ravel().astype(int)) >= 0).all()


def test_pixels_are_gone_when_others_may_have_the_memory(root: Path) -> None:
    """Whoever still holds the picture then: it stayed until its last user had returned."""
    corners().save(root / "a.png")
    with images.decoded(file_of(root / "a.png"), LIMIT) as picture:
        assert picture.piece((0, 0, 8, 8)).shape == (8, 8, 3)
    with pytest.raises(ValueError, match="closed image"):
        picture.piece((0, 0, 8, 8))


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


@pytest.mark.parametrize("content", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>"])
def test_not_an_image(root: Path, content: bytes) -> None:
    (root / "a.png").write_bytes(content)
    expected = (
        "the image 'a.png' cannot be read: it is not a PNG, JPEG, WEBP, AVIF, TIFF, BMP, GIF, JPEG2000 or PPM file"
    )
    with pytest.raises(ImageError, match=f"^{expected}$"):
        load(root)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"", "the file is empty; copy it again"),
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + b"\0" * 90, "it is a HEIC picture, .* save it as JPEG or PNG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "it is a pointer of Git LFS; .*"),
        (b"\n<!DOCTYPE html><html>404</html>", "it is a web page; download the picture again"),
    ],
)
def test_what_bears_a_pictures_name_is_called_what_it_is(root: Path, content: bytes, advice: str) -> None:
    (root / "IMG_1.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=f"^the image 'IMG_1.jpg' cannot be read: {advice}$"):
        load(root, "IMG_1.jpg")


def test_an_animations_first_picture_is_the_one_that_browsers_show(root: Path) -> None:
    """The stored picture of an APNG may be none of the animation; Pillow's first frame is that one."""
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("yellow", "black")]
    for hidden, rgb in ((True, [255, 255, 0]), (False, [255, 0, 0])):
        first = Image.new("RGB", (4, 3), "red")
        first.save(root / "a.png", save_all=True, default_image=hidden, append_images=frames, duration=100)
        assert load(root)[1, 1].tolist() == rgb


def test_bomb_is_refused_before_it_is_decoded(root: Path) -> None:
    Image.new("1", (200, 51)).save(root / "a.png")
    with pytest.raises(ImageError, match=r"^the image 'a.png' has 200x51 pixels, more than IMAGE_PIXEL_LIMIT=10000$"):
        load(root)


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1)])
def test_long_side_is_refused_before_it_is_decoded(root: Path, size: tuple[int, int]) -> None:
    """Two kilobytes, and few pixels: the model's input would take minutes and gigabytes."""
    Image.new("L", size).save(root / "a.png")
    (root / "a.png").write_bytes((root / "a.png").read_bytes()[:-20])  # not whole
    message = rf"^the image 'a.png' has {size[0]}x{size[1]} pixels, and no browser draws on a side of more than 65535; "
    for read in (images.read, images.size_of):
        with pytest.raises(ImageError, match=message):
            read(file_of(root / "a.png"), 1_000_000)


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "P", "L", "LA", "1", "CMYK"])
def test_large_image_is_converted_in_rows_as_at_once(root: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last rows are fewer, and a palette or its transparency is the whole image's."""
    monkeypatch.setattr(picture, "BAND_PIXELS", 5 * 256)
    noise = np.random.default_rng(0).integers(0, 256, (519, 5, 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA" if mode in ("RGBA", "LA") else "CMYK").convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    image.save(root / "a.tif", compression="tiff_lzw") if mode == "CMYK" else image.save(root / "a.png")
    (name,) = [one.name for one in root.iterdir()]
    with Image.open(root / name) as opened:
        opened.load()
        whole = opened.convert("RGBA")
        expected = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    np.testing.assert_array_equal(load(root, name), np.asarray(expected))


def test_giant_bomb(root: Path) -> None:
    # A header that promises 50000x50000 pixels: beyond what Pillow itself opens.
    Image.new("1", (8, 8)).save(root / "a.bmp")
    data = bytearray((root / "a.bmp").read_bytes())
    data[18:22] = data[22:26] = (50_000).to_bytes(4, "little")
    (root / "a.bmp").write_bytes(data)
    with pytest.raises(ImageError, match=r"^the image 'a.bmp' has far more than IMAGE_PIXEL_LIMIT=10000 pixels$"):
        load(root, "a.bmp")


def test_size_is_told_without_decoding(root: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(root / "a.png", exif=exif)
    data = (root / "a.png").read_bytes()
    (root / "a.png").write_bytes(data[: data.index(b"IDAT") + 10])
    assert images.size_of(file_of(root / "a.png"), LIMIT) == (60, 80)
    with pytest.raises(ImageError, match=r"^the image 'a.png' cannot be read: "):
        images.read(file_of(root / "a.png"), LIMIT)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_stretch_is_the_documented_one_and_the_same_each_time(root: Path, dtype: Any) -> None:
    counts = np.random.default_rng(5).integers(2000, 9000, (90, 100)).astype(dtype)
    Image.fromarray(counts).save(root / "a.tif")
    low, high = np.percentile(counts, (1, 99), method="nearest").astype(float)
    expected = np.rint((np.clip(counts.astype(float), low, high) - low) / (high - low) * 255).astype(np.uint8)
    pixels = load(root, "a.tif")
    np.testing.assert_array_equal(pixels[..., 1], expected)
    np.testing.assert_array_equal(load(root, "a.tif"), pixels)


def test_float_tiff_of_extremes_does_not_overflow(root: Path) -> None:
    heat = np.full((10, 10), np.float32(-3.4e38), dtype=np.float32)
    heat[5:] = np.float32(3.4e38)
    Image.fromarray(heat).save(root / "a.tif")
    pixels = load(root, "a.tif")
    assert (pixels[:5] == 0).all()
    assert (pixels[5:] == 255).all()


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "CMYK", "1", "I;16B", "PA", "RGBX"])
def test_tiff_of_a_rare_mode_is_read_or_refused_in_one_sentence(root: Path, mode: str) -> None:
    Image.new(mode, (7, 5)).save(root / "a.tif")
    assert outcome(root / "a.tif") in ((5, 7, 3), "cannot be read")


def test_cmyk_jpeg_is_inverted_as_adobe_writes_it(root: Path) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(root / "a.jpg", quality=95)
    assert (root / "a.jpg").read_bytes()[2:4] == b"\xff\xee"  # APP14, Adobe's marker
    red, green, blue = load(root, "a.jpg")[8, 8].tolist()
    assert (red < 15, green > 240, blue > 240) == (True, True, True)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_first_frame_of_an_animation(root: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "blue")]
    frames[0].save(
        root / f"a.{suffix}",
        save_all=True,
        append_images=frames[1:],
        lossless=True,
    )
    assert (load(root, f"a.{suffix}") == [255, 0, 0]).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_one_pixel(root: Path, mode: str) -> None:
    Image.new(mode, (1, 1)).save(root / "a.png")
    assert load(root).shape == (1, 1, 3)


def test_long_strip(root: Path) -> None:
    strip = np.zeros((200, 20_000), dtype=np.uint8)
    strip[:, 19_999] = 200
    Image.fromarray(strip).save(root / "a.png")
    file = file_of(root / "a.png")
    pixels = images.read(file, 4_000_000)
    assert pixels.shape == (200, 20_000, 3)
    assert pixels[100, 19_999].tolist() == [200, 200, 200]
    assert images.size_of(file, 4_000_000) == (20_000, 200)


def test_palette_without_transparency(root: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(root / "a.gif")
    assert (load(root, "a.gif") == [200, 100, 50]).all()


def test_half_transparent_grey(root: Path) -> None:
    Image.new("LA", (2, 2), (0, 128)).save(root / "a.png")
    assert load(root)[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize("read", [images.read, images.size_of])
def test_folder_and_missing_file(root: Path, read: Any) -> None:
    with pytest.raises(ImageError, match=r"^the image 'files' cannot be read: Is a directory$"):
        read(file_of(root), LIMIT)
    with pytest.raises(ImageError, match=r"^the image 'a.png' cannot be read: No such file or directory$"):
        read(file_of(root / "a.png"), LIMIT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    suffix=st.sampled_from(["png", "jpg", "tif", "webp", "gif", "bmp", "ppm", "jp2", "avif"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=6),
)
@pytest.mark.filterwarnings("ignore")  # Pillow warns about some, beside the error
def test_damaged_file_is_read_or_refused_in_one_sentence(
    root: Path, suffix: str, cut: float, flips: list[tuple[float, int]]
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    path = root / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(path, exif=exif)
    data = bytearray(path.read_bytes())
    for where, mask in flips:
        data[int(where * len(data))] ^= mask
    path.write_bytes(data[: max(1, int(cut * len(data)))])
    outcome(path)
