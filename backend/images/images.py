"""From an image file to upright RGB pixels.

What the model sees
- What the browser shows: the EXIF orientation applied (EXIF's own: browsers know no other), the first frame of an
  animation, transparency over white.
- 16-bit, 32-bit and floating-point grey (thermal frames, for instance) is stretched: the 1st percentile
  becomes black, the 99th white, both values of the image itself. Without that a frame that uses a narrow band of
  counts would be one flat grey. The same file gives the same array every time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from backend.errors import ImageError
from backend.sources.source_file import SourceFile

# What browsers show and cameras write. Naming them keeps rarely used, riskier decoders out.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")
STRETCH_PERCENT = (1.0, 99.0)
STRETCH_ROWS = 256  # computed at a time: float64 for a whole large frame would take gigabytes
# What Pillow's decoders raise for damaged files, each as found by damaging some.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
# Where Pillow also looks for an orientation, and browsers do not.
OTHER_METADATA = ("xmp", "XML:com.adobe.xmp", "Raw profile type exif")
# What a viewer does to the stored picture (EXIF 2.3, tag 0x0112); 1 is upright already.
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = frozenset({5, 6, 7, 8})


def read(file: SourceFile, pixel_limit: int) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        file: what `backend.sources` opened.
        pixel_limit: larger images are refused before they are decoded.

    Returns:
        ``(H, W, 3)`` uint8, RGB, upright.

    Raises:
        ImageError: one sentence with the image's name and what is wrong.
    """
    with _opened(file, pixel_limit) as image:
        orientation, told_wh = _orientation(image), _upright_size(image)
        image.load()
        pixels = _to_rgb(image.transpose(TRANSPOSE[orientation]) if orientation in TRANSPOSE else image)
        if (pixels.shape[1], pixels.shape[0]) != told_wh:  # a damaged TIFF can do that
            raise ValueError("its headers contradict each other")
        return pixels


def size_of(file: SourceFile, pixel_limit: int) -> tuple[int, int]:
    """Width and height of the upright image, from the file's headers alone: no pixel is decoded.

    Raises:
        ImageError: as `read`, for all that the headers tell.
    """
    with _opened(file, pixel_limit) as image:
        return _upright_size(image)


@contextmanager
def _opened(file: SourceFile, pixel_limit: int) -> Iterator[Image.Image]:
    """The image, of an acceptable size; what goes wrong with it inside becomes an `ImageError`."""
    try:
        with Image.open(file.path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > pixel_limit:
                raise ImageError(
                    f"the image {file.name!r} has {width}x{height} pixels, more than IMAGE_PIXEL_LIMIT={pixel_limit}"
                )
            for key in OTHER_METADATA:
                image.info.pop(key, None)
            yield image
    except Image.DecompressionBombError:
        raise ImageError(f"the image {file.name!r} has far more than IMAGE_PIXEL_LIMIT={pixel_limit} pixels") from None
    except BROKEN as error:
        raise ImageError(f"the image {file.name!r} cannot be read: {_reason(error, file.path)}") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _orientation(image) in SIDEWAYS else (width, height)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, that is left to apply.

    Not by `Image.getexif`, which decodes a whole PNG. Damaged EXIF says nothing, as in a browser.
    """
    data = image.info.get("exif")
    if image.format == "TIFF" or not isinstance(data, bytes):  # Pillow turns a TIFF itself
        return 1
    exif = Image.Exif()
    try:
        exif.load(data)
        value = exif.get(ExifTags.Base.Orientation)
    except BROKEN:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _stretched(np.asarray(image, dtype=np.float32))
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


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
    for start in range(0, len(grey), STRETCH_ROWS):
        rows = slice(start, start + STRETCH_ROWS)
        band = np.clip(np.where(finite[rows], grey[rows], low).astype(np.float64), low, high)
        stretched[rows] = np.rint((band - low) / (high - low) * 255)
    return stretched


def _reason(error: Exception, path: Path) -> str:
    """Why, without the path of this machine, which Pillow and the system like to repeat."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return (text or type(error).__name__).replace(str(path), path.name).splitlines()[0]
