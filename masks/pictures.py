"""How a picture lies: as browsers show it, which is how masks lie on it.

Browsers apply the EXIF orientation and know no other: not that of XMP, nor of a PNG's text, which Pillow reads too. A
TIFF, which they do not show, is turned by its own tag, and Pillow does that itself; of its pages one is the picture
(`masks.pages`).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from masks.pages import pages_in

# What browsers show and cameras write. Naming them keeps rarely used, riskier decoders out.
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")
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
# Which axes of the stored picture run the other way in the one that is shown.
FLIPPED_X, FLIPPED_Y = frozenset({2, 3, 7, 8}), frozenset({3, 4, 6, 7})
# What bears the name of a picture often enough, by its first bytes.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
SNIFFED = 64


class PictureError(Exception):
    """A file cannot be read as a picture; the text says why, in words that follow "cannot be read: "."""


class FarTooLarge(PictureError):
    """A picture of more pixels than Pillow opens at all."""


@contextmanager
def opened(source: Path | IO[bytes]) -> Iterator[Image.Image]:
    """A picture that is not decoded yet, without metadata that browsers do not know.

    Raises:
        PictureError: it cannot be read, also while the context lasts.
    """
    try:
        with Image.open(source, formats=FORMATS) as image:
            _turn_to_picture(image)
            for key in OTHER_METADATA:
                image.info.pop(key, None)
            yield image
    except Image.DecompressionBombError:
        raise FarTooLarge(f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels") from None
    except BROKEN as error:
        raise PictureError(_reason(error, source)) from error


def _turn_to_picture(image: Image.Image) -> None:
    """Of a TIFF, its page that is the picture."""
    if image.format != "TIFF" or not isinstance(image, ImageFile.ImageFile) or image.fp is None:
        return
    place = pages_in(image.fp).place
    if place:
        image.seek(place)
        limit = 2 * (Image.MAX_IMAGE_PIXELS or image.width * image.height)
        if image.width * image.height > limit:  # Pillow looks at the first page alone
            raise Image.DecompressionBombError


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as shown, from the headers alone."""
    width, height = image.size
    return (height, width) if _orientation(image) in SIDEWAYS else (width, height)


def upright(image: Image.Image) -> Image.Image:
    """The picture as shown, decoded.

    Raises:
        ValueError: it has another size than its headers say, as a damaged TIFF can.
    """
    orientation = decode(image)
    return image.transpose(TRANSPOSE[orientation]) if orientation in TRANSPOSE else image


def decode(image: Image.Image) -> int:
    """Decode the stored picture; returns the orientation that is left to apply, for `upright_piece`.

    Raises:
        ValueError: as `upright`.
    """
    orientation, stored_wh = _orientation(image), image.size
    if image.info.get("default_image"):  # an APNG whose stored picture is for viewers that know no animation
        image.seek(1)
    image.load()
    if image.size != stored_wh:
        raise ValueError("its headers contradict each other")
    return orientation


def upright_piece(image: Image.Image, orientation: int, box_xyxy: tuple[int, int, int, int]) -> Image.Image:
    """A part of the picture as shown: only that part is turned, so a large picture is not there twice.

    Args:
        image: decoded; its size is that of the stored picture.
        orientation: what `decode` returned.
        box_xyxy: left, top, right, bottom in whole pixels of the picture as shown; right and bottom exclusive.
    """
    left, top, right, bottom = box_xyxy
    if orientation in SIDEWAYS:
        left, top, right, bottom = top, left, bottom, right
    if orientation in FLIPPED_X:
        left, right = image.width - right, image.width - left
    if orientation in FLIPPED_Y:
        top, bottom = image.height - bottom, image.height - top
    piece = image.crop((left, top, right, bottom))
    return piece.transpose(TRANSPOSE[orientation]) if orientation in TRANSPOSE else piece


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


def _reason(error: Exception, source: Path | IO[bytes]) -> str:
    """Why, without the path of this machine, which Pillow and the system like to repeat."""
    if isinstance(error, UnidentifiedImageError):
        return _other_kind(source) or f"it is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    if isinstance(source, Path):
        text = text.replace(str(source), source.name)
    return (text or type(error).__name__).splitlines()[0]


def _other_kind(source: Path | IO[bytes]) -> str:
    """What a file is that is none of the formats, and what to do; empty where that is not known."""
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                start = file.read(SNIFFED)
        else:
            source.seek(0)
            start = source.read(SNIFFED)
    except OSError:
        return ""
    if not start:
        return "the file is empty; copy it again"
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        return "it is a HEIC picture, whatever its name; save it as JPEG or PNG"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the picture itself with `git lfs pull`"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page; download the picture again"
    return ""
