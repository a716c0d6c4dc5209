"""The picture of a twin, onto which masks are carried: fetched, decoded, and of the registration's size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelStudioError
from dataset.export.image_name import file_name_of
from dataset.fetching import fetch_image
from dataset.pair_sides import Twin
from dataset.registration.alignment import NotAligned
from dataset.registration.pictures import grey_values
from masks.pictures import PictureError

if TYPE_CHECKING:
    from labelstudio.client import Client


def twin_content(client: Client, twin: Twin) -> bytes:
    """The file as it lies in Label Studio.

    Raises:
        NotAligned: Label Studio does not give it.
    """
    try:
        return fetch_image(client, twin.url, twin.task)
    except LabelStudioError as error:
        raise NotAligned(f"its twin {file_name_of(twin.url)} cannot be read: {error}") from None


def twin_grey(content: bytes, twin: Twin, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Its grey values, (height, width).

    Args:
        content: the file.
        size_wh: width and height that the picture must have.

    Raises:
        NotAligned: it is no picture, or of another size.
    """
    try:
        grey = grey_values(io.BytesIO(content))
    except PictureError as error:
        raise NotAligned(f"its twin {file_name_of(twin.url)} cannot be read: {error}") from None
    if (found := (grey.shape[1], grey.shape[0])) != size_wh:
        raise NotAligned(
            f"its twin has {pixels(found)} pixels, and the registration is of pictures of {pixels(size_wh)}"
        )
    return grey


def pixels(size_wh: Sequence[int]) -> str:
    """Width and height for a sentence: `640x480`."""
    return "x".join(map(str, size_wh))
