"""How large an image is that has no region to say so: read from the file, turned upright as browsers show it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from core.errors import LabelStudioError

if TYPE_CHECKING:
    from labelstudio.client import Client

ORIENTATION = 0x0112
TURNED_BY_A_QUARTER = (5, 6, 7, 8)


def size_of(client: Client, url: str) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        LabelStudioError: the image cannot be had, or is none.
    """
    from PIL import Image

    if not url.startswith("/"):
        raise LabelStudioError(f"the size of {url} is not known: it lies outside Label Studio, and no region tells it")
    content = client.download(url)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            turned = picture.getexif().get(ORIENTATION) in TURNED_BY_A_QUARTER
    except (OSError, Image.DecompressionBombError) as error:
        raise LabelStudioError(f"the image {url} cannot be read: {error}") from None
    return (height, width) if turned else (width, height)
