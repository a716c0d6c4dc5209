"""From a task's image URL to upright RGB pixels, read from the shared folder.

What the model sees
- The EXIF orientation is applied, as browsers do; the first frame of an animation; transparency over white.
- 16-bit, 32-bit and floating-point grey (thermal frames, for instance) is stretched: the 1st percentile
  becomes black, the 99th white. Without that a frame that uses a narrow band of counts would be one flat grey.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from backend.errors import ImageError

LOCAL_FILES_PATH = "/data/local-files/"
# What browsers show and cameras write. Naming them keeps rarely used, riskier decoders out.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM")
STRETCH_PERCENT = (1.0, 99.0)
BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, struct.error, zlib.error)


def load(url: str, root: Path, pixel_limit: int) -> NDArray[np.uint8]:
    """Read a task's image.

    Args:
        url: `/data/local-files/?d=<path below root, percent-encoded>`.
        root: the folder that Label Studio serves as its document root.
        pixel_limit: larger images are refused before they are decoded.

    Returns:
        ``(H, W, 3)`` uint8, RGB, upright.

    Raises:
        ImageError: one sentence with the image's name and what is wrong.
    """
    name = relative_path(url)
    path = _inside(root, name)
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > pixel_limit:
                raise ImageError(
                    f"the image {name!r} has {width}x{height} pixels, more than IMAGE_PIXEL_LIMIT={pixel_limit}"
                )
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise ImageError(f"the image {name!r} has far more than IMAGE_PIXEL_LIMIT={pixel_limit} pixels") from None
    except BROKEN as error:
        raise ImageError(f"the image {name!r} cannot be read: {_reason(error, path)}") from error


def relative_path(url: str) -> str:
    """The path below the document root that a local-files URL names.

    Raises:
        ImageError: it is another kind of URL.
    """
    parts = urlsplit(url)
    if parts.scheme or parts.netloc or parts.path != LOCAL_FILES_PATH:
        shown = f"{parts.scheme}://{parts.netloc}" if parts.scheme or parts.netloc else parts.path
        raise ImageError(
            f"images are read from the shared folder only ({LOCAL_FILES_PATH}?d=...), "
            f"this task's image is at {shown[:100]!r}"
        )
    try:
        names = parse_qs(parts.query, errors="strict").get("d", [])
    except ValueError:
        names = []
    if len(names) != 1 or "\0" in names[0]:
        raise ImageError(f"the task's image URL {LOCAL_FILES_PATH} names no file: expected ?d=<path>")
    return names[0]


def _inside(root: Path, name: str) -> Path:
    """The real file, after links, which must still lie below the root."""
    real_root = root.resolve()
    try:
        path = (real_root / name).resolve(strict=True)
    except FileNotFoundError:
        raise ImageError(
            f"the image {name!r} is not in {root}: is the same folder mounted here as in Label Studio?"
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise ImageError(f"the image {name!r} cannot be reached: {_reason(error, real_root / name)}") from None
    if not path.is_relative_to(real_root):
        raise ImageError(f"the image {name!r} lies outside the shared folder; it is not read")
    if not path.is_file():
        raise ImageError(f"the image {name!r} is no file")
    return path


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
    low, high = np.percentile(grey[finite], STRETCH_PERCENT)
    if low == high:  # nearly constant: a few pixels differ at most
        low, high = float(grey[finite].min()), float(grey[finite].max())
    if low == high:
        return np.full(grey.shape, 128, dtype=np.uint8)
    scaled = np.clip((np.where(finite, grey, low) - low) / (high - low), 0, 1)
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)


def _reason(error: Exception, path: Path) -> str:
    """Why, without the path of this machine, which Pillow and the system like to repeat."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return (text or type(error).__name__).replace(str(path), path.name).splitlines()[0]
