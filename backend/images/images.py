"""From an image file to upright RGB pixels.

What the model sees
- What the browser shows: the EXIF orientation applied (EXIF's own: browsers know no other), the first frame of an
  animation, transparency over white.
- 16-bit, 32-bit and floating-point grey (thermal frames, for instance) is stretched: the 1st percentile
  becomes black, the 99th white, both values of the image itself. Without that a frame that uses a narrow band of
  counts would be one flat grey. The same file gives the same array every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.errors import ImageError
from backend.sources.source_file import SourceFile
from masks.pictures import FarTooLarge, PictureError, opened, upright, upright_size

STRETCH_PERCENT = (1.0, 99.0)
ROWS = 256  # converted at a time: copies of a whole large image would take gigabytes
# The longest side of a JPEG, and of a canvas in any browser. The model's input is stretched in width first, so a strip
# costs far more than its pixels: 1 x 1 000 000 took minutes and 12 GB, 1 x 65 535 takes what 100 megapixels do.
SIDE_LIMIT = 65_535


def read(file: SourceFile, pixel_limit: int) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        file: what `backend.sources` opened.
        pixel_limit: larger images are refused before they are decoded, as are those with a side above `SIDE_LIMIT`. A
            decoded pixel has four bytes at most, the array three; what the conversion needs beside them is small, but
            for grey of more than 8 bits, which needs some 16 bytes a pixel.

    Returns:
        ``(H, W, 3)`` uint8, RGB, upright.

    Raises:
        ImageError: one sentence with the image's name and what is wrong.
    """
    with _opened(file, pixel_limit) as image:
        return _to_rgb(upright(image))


def size_of(file: SourceFile, pixel_limit: int) -> tuple[int, int]:
    """Width and height of the upright image, from the file's headers alone: no pixel is decoded.

    Raises:
        ImageError: as `read`, for all that the headers tell.
    """
    with _opened(file, pixel_limit) as image:
        return upright_size(image)


@contextmanager
def _opened(file: SourceFile, pixel_limit: int) -> Iterator[Image.Image]:
    """The image, of an acceptable size; what goes wrong with it inside becomes an `ImageError`."""
    try:
        with opened(file.path) as image:
            width, height = image.size
            if width * height > pixel_limit:
                raise ImageError(
                    f"the image {file.name!r} has {width}x{height} pixels, more than IMAGE_PIXEL_LIMIT={pixel_limit}"
                )
            if max(width, height) > SIDE_LIMIT:
                raise ImageError(
                    f"the image {file.name!r} has {width}x{height} pixels, and no browser draws on a side of more than "
                    f"{SIDE_LIMIT}; cut it into pieces"
                )
            yield image
    except FarTooLarge:
        raise ImageError(f"the image {file.name!r} has far more than IMAGE_PIXEL_LIMIT={pixel_limit} pixels") from None
    except PictureError as error:
        raise ImageError(f"the image {file.name!r} cannot be read: {error}") from error


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _stretched(np.asarray(image, dtype=np.float32))
        return np.repeat(grey[:, :, None], 3, axis=2)
    width, height = image.size
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        rgb[top:bottom] = np.asarray(_opaque(image.crop((0, top, width, bottom))))
    return rgb


def _opaque(image: Image.Image) -> Image.Image:
    """In RGB, transparency over white."""
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _stretched(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Map the band between the two percentiles to 0..255. A constant image becomes mid-grey."""
    finite = np.isfinite(grey)
    if not finite.any():
        return np.full(grey.shape, 128, dtype=np.uint8)
    seen = grey[finite]
    # "nearest": no arithmetic between two huge values, which could overflow.
    low, high = (float(value) for value in np.percentile(seen, STRETCH_PERCENT, method="nearest"))
    if low == high:  # nearly constant: a few pixels differ at most
        low, high = float(seen.min()), float(seen.max())
    if low == high:
        return np.full(grey.shape, 128, dtype=np.uint8)
    stretched = np.empty(grey.shape, dtype=np.uint8)
    for start in range(0, len(grey), ROWS):
        rows = slice(start, start + ROWS)
        band = np.clip(np.where(finite[rows], grey[rows], low).astype(np.float64), low, high)
        stretched[rows] = np.rint((band - low) / (high - low) * 255)
    return stretched
