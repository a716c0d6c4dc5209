"""What reading a picture takes in memory, by its headers: its decoder's own buffers, and the decoded picture."""

from __future__ import annotations

from PIL import Image

# Bytes of a pixel as Pillow keeps it (its Storage.c); every mode of several channels has four.
STORED_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
# What a decoder holds beside that, in bytes a pixel: whole frames of its own, and the copy that it hands over.
FRAMES = {"WEBP": 12, "AVIF": 12, "GIF": 4, "JPEG2000": 16}
WHOLE_FILES = ("WEBP", "AVIF")  # read at once
COEFFICIENT_BYTES = 2  # of a progressive JPEG, which is only complete when all of them were read
# Tags of TIFF 6.0.
ORIENTATION, ROWS_PER_STRIP, TILE_WIDTH, TILE_LENGTH = 274, 278, 322, 323
STRETCH_BYTES = 32 << 20  # the bands of grey of more than 8 bits, as floating point
SPARE_BYTES = 32 << 20  # the bands that are converted, and what the file itself takes


def bytes_needed(image: Image.Image, file_bytes: int) -> int:
    """The most that decoding this picture and reading it in bands holds at once, in bytes.

    Args:
        image: opened and not yet decoded.
        file_bytes: of its file.
    """
    pixels = image.width * image.height
    stored = STORED_BYTES.get(image.mode, 4)
    beside = FRAMES.get(image.format or "", 0) * pixels
    if image.format == "JPEG" and image.info.get("progressive"):
        beside = COEFFICIENT_BYTES * len(image.getbands()) * pixels
    elif image.format == "TIFF":
        beside = _tiff_beside(image, stored)
    elif image.info.get("default_image"):  # an APNG, whose second frame is laid over its first
        beside = 2 * stored * pixels
    if image.format in WHOLE_FILES:
        beside += file_bytes
    else:  # what came before the pixels
        beside += sum(len(value) for value in image.info.values() if isinstance(value, bytes | str))
        beside += sum(len(content) for _, content in getattr(image, "applist", ()))
    if image.mode == "F" or image.mode.startswith("I"):
        beside += STRETCH_BYTES
    return stored * pixels + beside + SPARE_BYTES


def _tiff_beside(image: Image.Image, stored: int) -> int:
    """A strip or tile as libtiff unpacks it, and the second picture where the file says that it lies turned."""
    tags = getattr(image, "tag_v2", {})
    wide = _whole(tags.get(TILE_WIDTH), image.width)
    high = _whole(tags.get(TILE_LENGTH, tags.get(ROWS_PER_STRIP)), image.height)
    piece = min(wide, image.width) * min(high, image.height) * stored
    turned = tags.get(ORIENTATION, 1) != 1
    return piece + (stored * image.width * image.height if turned else 0)


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default
