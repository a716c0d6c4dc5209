"""How large an image is that has no region to say so: read from the file, as browsers show it."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

from core.errors import LabelStudioError
from labeling.data_urls import is_data_url, shown_data_url

if TYPE_CHECKING:
    from labelstudio.client import Client

BEGINNING = 1 << 16
# Formats that say size and orientation before their pixels.
SIZE_FIRST = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def size_of(client: Client, url: str) -> tuple[int, int]:
    """Width and height in pixels, mostly from the first bytes: photographs have megabytes.

    Raises:
        LabelStudioError: the image cannot be had, or is none.
    """
    from masks.pictures import PictureError, opened, upright_size

    if not url.startswith("/") and not is_data_url(url):
        raise LabelStudioError(f"the size of {url} is not known: it lies outside Label Studio, and no region tells it")
    content = client.beginning(url, BEGINNING)
    if len(content) == BEGINNING:
        if content.startswith(SIZE_FIRST):
            with suppress(PictureError), opened(io.BytesIO(content)) as picture:  # else its headers are longer
                return upright_size(picture)
        content = client.download(url)
    try:
        with opened(io.BytesIO(content)) as picture:
            return upright_size(picture)
    except PictureError as error:
        shown = shown_data_url(url) if is_data_url(url) else url
        raise LabelStudioError(f"the image {shown} cannot be read: {error}") from None
