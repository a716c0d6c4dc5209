from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from backend import images
from backend.errors import ImageError
from backend.sources import SourceFile

LIMIT = 10_000


def file_of(path: Path) -> SourceFile:
    return SourceFile(path, path.name, "1")


def load(root: Path, name: str = "a.png") -> Any:
    pixels = images.read(file_of(root / name), LIMIT)
    assert images.size_of(file_of(root / name), LIMIT) == (pixels.shape[1], pixels.shape[0])
    return pixels


def outcome(path: Path) -> tuple[int, ...] | str:
    """The shape of an image that can be read, else what the one sentence says; anything else fails."""
    said = None
    try:
        pixels = images.read(file_of(path), LIMIT)
    except ImageError as error:
        said = str(error)
    if said is not None:
        sentence = re.fullmatch(rf"the image '{path.name}' (?:(cannot be read): .+|has .+ pixels.*)", said)
        assert sentence is not None, said
        assert str(path.parent) not in said
        return sentence[1] or "too large"
    assert images.size_of(file_of(path), LIMIT) == (pixels.shape[1], pixels.shape[0])
    return pixels.shape


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
    expected = "the image 'a.png' cannot be read: it is no PNG, JPEG, WEBP, AVIF, TIFF, BMP, GIF, JPEG2000 or PPM file"
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


# Where the stored picture's first row and first column lie in the upright one (EXIF 2.3, table of tag 0x0112).
FIRST_ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright_position(row: int, column: int, rows: int, columns: int, orientation: int) -> tuple[int, int]:
    """Where the browser shows a stored pixel: x, y."""
    where = {}
    for side, index, count in zip(FIRST_ROW_AND_COLUMN[orientation], (row, column), (rows, columns), strict=True):
        axis = "x" if side in ("left", "right") else "y"
        where[axis] = index if side in ("left", "top") else count - 1 - index
    return where["x"], where["y"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    orientation=st.integers(1, 8),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    suffix=st.sampled_from(["png", "webp", "tif"]),
    data=st.data(),
)
def test_pixel_at_a_browser_position_is_the_pixel_of_our_array(
    root: Path, orientation: int, rows: int, columns: int, suffix: str, data: st.DataObject
) -> None:
    stored = np.random.default_rng(rows * 41 + columns).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    name = f"a.{suffix}"
    Image.fromarray(stored).save(root / name, exif=exif, lossless=True)
    pixels = load(root, name)
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    x, y = upright_position(row, column, rows, columns, orientation)
    assert pixels[y, x].tolist() == stored[row, column].tolist()


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("suffix", ["jpg", "avif"])
def test_exif_orientation_of_lossy_formats(root: Path, suffix: str, orientation: int) -> None:
    stored = np.zeros((32, 48, 3), dtype=np.uint8)
    stored[:16, :24], stored[16:, 24:] = (250, 0, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(root / f"a.{suffix}", exif=exif, quality=95)
    pixels = load(root, f"a.{suffix}").astype(int)
    expected = UPRIGHT[orientation](stored).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 10  # another orientation would be above 80


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_orientation_is_upright(root: Path, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    corners().save(root / "a.png", exif=exif)
    np.testing.assert_array_equal(load(root), np.asarray(corners()))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns, beside saying nothing
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0garbage of some length", b"Exif\0\0MM\0*\xff\xff\xff\xff"]
)
def test_damaged_exif_says_nothing(root: Path, exif: bytes) -> None:
    corners().save(root / "a.png", exif=exif)
    np.testing.assert_array_equal(load(root), np.asarray(corners()))


def test_orientation_in_xmp_is_for_no_browser(root: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    corners().save(root / "a.png", pnginfo=info)
    np.testing.assert_array_equal(load(root), np.asarray(corners()))


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_turned_16_bit_image(root: Path, orientation: int) -> None:
    counts = np.linspace(7000, 7600, 12, dtype=np.uint16).reshape(3, 4)
    Image.fromarray(counts).save(root / "flat.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(counts).save(root / "a.png", exif=exif)
    np.testing.assert_array_equal(load(root), UPRIGHT[orientation](load(root, "flat.png")))


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


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
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
