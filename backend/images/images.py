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
from contextlib import contextmanager, nullcontext, suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.budget import MemoryBudget
from backend.errors import ImageError
from backend.images.decoding import bytes_needed
from backend.picture import Box, bands
from backend.sources.source_file import SourceFile
from masks.pictures import FarTooLarge, PictureError, decode, opened, upright_piece, upright_size
from masks.stretching import Stretch, stretch_of

MEGABYTE = 1 << 20
CHANNELS = 3
# The longest side of a JPEG, and of a canvas in any browser.
SIDE_LIMIT = 65_535
GREY_MODES = ("1", "L", "LA", "La")


class DecodedPicture:
    """A decoded picture, converted piece by piece; see `backend.picture.Picture`.

    Attributes:
        size_wh: upright.
        is_grey: the three channels are equal everywhere, by its mode.
    """

    def __init__(self, image: Image.Image) -> None:
        """
        Args:
            image: opened; it is decoded here.

        Raises:
            ValueError: its headers contradict each other; Pillow's decoders raise more (`masks.pictures.BROKEN`).
        """
        self.size_wh = upright_size(image)
        self._orientation = decode(image)
        self._image = image
        self._stretch: Stretch | None = None
        self.is_grey = image.mode in GREY_MODES
        if image.mode == "F" or image.mode.startswith("I"):
            self._stretch = stretch_of(lambda: (self._grey(box) for box in bands(self.size_wh)))
            self.is_grey = True

    def piece(self, box_xyxy: Box) -> NDArray[np.uint8]:
        """``(h, w, 3)`` uint8, RGB: the pixels in a box."""
        if self._stretch is not None:
            grey = self._stretch.applied(self._grey(box_xyxy))
            return np.repeat(grey[:, :, None], 3, axis=2)
        return np.asarray(_opaque(upright_piece(self._image, self._orientation, box_xyxy)))

    def whole(self) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8, RGB."""
        width, height = self.size_wh
        rgb = np.empty((height, width, 3), dtype=np.uint8)
        for box in bands(self.size_wh):
            rgb[box[1] : box[3]] = self.piece(box)
        return rgb

    def _grey(self, box_xyxy: Box) -> NDArray[np.float32]:
        return np.asarray(upright_piece(self._image, self._orientation, box_xyxy), dtype=np.float32)


@contextmanager
def decoded(
    file: SourceFile, pixel_limit: int, work: MemoryBudget | None = None, until: float | None = None
) -> Iterator[DecodedPicture]:
    """A picture for as long as the context lasts.

    Args:
        file: what `backend.sources` opened.
        pixel_limit: larger images are refused before they are decoded, as are those with a side above `SIDE_LIMIT`.
        work: of which its memory is taken before it is decoded.
        until: see `MemoryBudget.hold`.

    Raises:
        ImageError: one sentence with the image's name and what is wrong.
        Busy: the memory is in work elsewhere.
    """
    with _held(file, pixel_limit, work, until, 0), _opened(file, pixel_limit) as image:
        yield DecodedPicture(image)


def read(
    file: SourceFile, pixel_limit: int, work: MemoryBudget | None = None, until: float | None = None
) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        file, pixel_limit, work, until: see `decoded`.

    Returns:
        ``(H, W, 3)`` uint8, RGB, upright.

    Raises:
        ImageError, Busy: as `decoded`.
    """
    with _held(file, pixel_limit, work, until, CHANNELS), _opened(file, pixel_limit) as image:
        return DecodedPicture(image).whole()


def size_of(
    file: SourceFile, pixel_limit: int, work: MemoryBudget | None = None, until: float | None = None
) -> tuple[int, int]:
    """Width and height of the upright image, from the file's headers alone: no pixel is decoded.

    Raises:
        ImageError, Busy: as `decoded`, for all that the headers tell.
    """
    with _headers(file, pixel_limit, work, until) as image:
        return upright_size(image)


@contextmanager
def _headers(
    file: SourceFile, pixel_limit: int, work: MemoryBudget | None, until: float | None
) -> Iterator[Image.Image]:
    """The image, which is not decoded. Of some formats, and of much metadata, all of the file is in memory then."""
    with (
        work.hold(_file_bytes(file), until) if work is not None else nullcontext(),
        _opened(file, pixel_limit) as image,
    ):
        yield image


@contextmanager
def _held(
    file: SourceFile, pixel_limit: int, work: MemoryBudget | None, until: float | None, beside: int
) -> Iterator[None]:
    """The memory that an image takes while it is read, and `beside` more bytes for each pixel.

    Taken before the image is opened for good: who held some and waited for more could wait for others who do so too.
    """
    if work is None:
        yield
        return
    with _headers(file, pixel_limit, work, until) as image:
        needed = bytes_needed(image, _file_bytes(file)) + beside * image.width * image.height
        what = f"{image.width}x{image.height} pixels ({image.format})"
    if needed > work.limit:
        raise ImageError(
            f"the image {file.name!r} of {what} takes some {needed // MEGABYTE} MB while it is read, more than "
            f"WORK_MEMORY_MB={work.limit // MEGABYTE}"
        )
    with work.hold(needed, until):
        yield


def _file_bytes(file: SourceFile) -> int:
    """Nothing where the file is gone: opening it says so."""
    with suppress(OSError):
        return file.path.stat().st_size
    return 0


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
            try:
                yield image
            finally:
                image.close()  # its pixels too, before others get the memory: callers still hold the object
    except FarTooLarge:
        raise ImageError(f"the image {file.name!r} has far more than IMAGE_PIXEL_LIMIT={pixel_limit} pixels") from None
    except PictureError as error:
        raise ImageError(f"the image {file.name!r} cannot be read: {error}") from error


def _opaque(image: Image.Image) -> Image.Image:
    """In RGB, transparency over white."""
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
