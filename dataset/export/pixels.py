"""The pixels of a picture in a data set: read as browsers turn it, in 8 or 16 bits, on the grid of its twin."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.export.formats import PictureDepth
from dataset.export.writers.base import NotWritable
from masks.pictures import PictureError, opened, upright
from masks.stretching import stretch_of

Pixels = NDArray[Any]  # (H, W) or (H, W, 3)

DEEP = ("I", "F")
LARGEST = 65535  # of 16 bits
FULL_SCALE = 257  # times an 8-bit value: the same share of 16 bits
COMPRESS_LEVEL = 4


def read_pixels(content: bytes, size_wh: tuple[int, int]) -> Pixels:
    """A picture as it is shown: grey of any depth ``(H, W)`` in its own values, colour ``(H, W, 3)`` uint8.

    Raises:
        NotWritable: it cannot be read, or has another size than its masks.
    """
    try:
        with opened(io.BytesIO(content)) as stored:
            shown = upright(stored)
            check_size(shown.size, size_wh)
            return _values(shown)
    except PictureError as error:
        raise unreadable(error) from None


def check_size(size_wh: tuple[int, int], masks_wh: tuple[int, int]) -> None:
    """Check that a picture has the size of its masks.

    Raises:
        NotWritable: it has another one.
    """
    if size_wh != masks_wh:
        seen, expected = ("x".join(map(str, one)) for one in (size_wh, masks_wh))
        raise NotWritable(f"its picture has {seen} pixels, its masks {expected}")


def unreadable(error: PictureError) -> NotWritable:
    """What a writer says of a picture that cannot be read."""
    return NotWritable(f"its picture cannot be read: {error}")


def at_depth(pixels: Pixels, depth: PictureDepth) -> Pixels:
    """The pixels in the depth of a data set; colour has 8 bits in each, and `rgbt` is made of two pictures in 8.

    In 8 bits grey is stretched as SAM2 and people see it. In 16 bits whole numbers stay as they are, and 8-bit grey
    becomes the same share of 65535.

    Raises:
        NotWritable: values that are not whole numbers of 0 to 65535 do not fit 16 bits.
    """
    if pixels.ndim == 3 or depth == "original":
        return pixels
    if depth == "16-bit":
        return _sixteen_bits(pixels)
    if pixels.dtype == np.uint8:
        return pixels
    values = pixels.astype(np.float32)
    return stretch_of(lambda: [values]).applied(values)


def as_rgb(pixels: Pixels) -> NDArray[np.uint8]:
    """8-bit pixels with three channels."""
    return np.asarray(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2), dtype=np.uint8)


def as_grey(pixels: Pixels) -> NDArray[np.uint8]:
    """8-bit pixels with one channel; colour by its luminance (ITU-R 601)."""
    return np.asarray(Image.fromarray(pixels).convert("L") if pixels.ndim == 3 else pixels, dtype=np.uint8)


def save_pixels(path: Path, pixels: Pixels) -> Path:
    """Write a picture, `path` without its suffix; returns the file: PNG, and TIFF of what PNG does not hold."""
    is_png = pixels.dtype in (np.uint8, np.uint16)
    target = path.with_name(f"{path.name}.{'png' if is_png else 'tiff'}")
    with target.open("xb") as file:
        if is_png:
            Image.fromarray(pixels).save(file, "PNG", compress_level=COMPRESS_LEVEL)
        else:
            Image.fromarray(pixels).save(file, "TIFF")
    return target


def _values(shown: Image.Image) -> Pixels:
    if shown.mode == "L":
        return np.asarray(shown)
    if shown.mode in DEEP or shown.mode.startswith("I;16"):
        values = np.asarray(shown)
        if values.dtype.kind == "f":
            return values.astype(np.float32)
        fits = int(values.min()) >= 0 and int(values.max()) <= LARGEST
        return values.astype(np.uint16 if fits else np.int32)
    if shown.mode in ("1", "LA"):
        return np.asarray(shown.convert("L"))
    return np.asarray(shown.convert("RGB"))


def _sixteen_bits(grey: Pixels) -> Pixels:
    if grey.dtype == np.uint8:
        return grey.astype(np.uint16) * np.uint16(FULL_SCALE)
    values = grey.astype(np.float64)
    if not (np.isfinite(values) & (values == np.rint(values)) & (values >= 0) & (values <= LARGEST)).all():
        raise NotWritable(
            f"the values of its picture are not whole numbers of 0 to {LARGEST}, so 16 bits do not hold them; give "
            "--pictures original, or 8-bit"
        )
    return grey.astype(np.uint16)
