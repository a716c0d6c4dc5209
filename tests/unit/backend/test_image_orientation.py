"""Turned photographs: upright as browsers show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.unit.backend.image_files import corners, load, root

__all__ = ["root"]  # a fixture


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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
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
