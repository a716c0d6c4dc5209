"""Small pictures with the masks laid over them, as data URLs, so that the page is one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dataset.stats.collect import THUMBNAIL_WIDTH, Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

SHARE = 0.35  # of the class's colour inside a mask; its edge has it whole, and a light line around it
EDGE = 3  # pixels
QUALITY = 80


def thumbnail(content: bytes, example: Example, colours: Mapping[str, str]) -> str:
    """An image with its masks, as a JPEG in a data URL.

    Args:
        content: the image file.
        colours: `#RRGGBB` by class.

    Raises:
        PictureError: it is no image that can be read.
    """
    import numpy as np
    from PIL import Image

    from masks.pictures import opened, upright

    with opened(io.BytesIO(content)) as stored:
        height = max(1, round(THUMBNAIL_WIDTH * example.size_wh[1] / example.size_wh[0]))
        picture = np.asarray(_eight_bit(upright(stored)).resize((THUMBNAIL_WIDTH, height)), dtype=np.float32)
    for label, mask in example.shapes:
        small = np.asarray(Image.fromarray(mask).resize((THUMBNAIL_WIDTH, height)), dtype=bool)
        colour = np.asarray(rgb(colours.get(label, "#888888")), dtype=np.float32)
        picture = np.where(small[..., None], (1 - SHARE) * picture + SHARE * colour, picture)
        picture = np.where((_grown(small, 1) & ~small)[..., None], 255, picture)
        picture = np.where((small & _grown(~small, EDGE))[..., None], colour, picture)
    out = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(out, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green, blue of any colour that Pillow knows, grey for others."""
    from PIL import ImageColor

    try:
        red, green, blue, *_ = ImageColor.getrgb(colour)
    except ValueError:
        return 136, 136, 136
    return red, green, blue


def _eight_bit(picture: Image.Image) -> Image.Image:
    """RGB, with grey of more than 8 bits stretched as SAM2 and people see it."""
    import numpy as np
    from PIL import Image

    from masks.stretching import stretch_of

    if picture.mode not in ("I", "F") and not picture.mode.startswith("I;16"):
        return picture.convert("RGB")
    values = np.asarray(picture, dtype=np.float32)
    return Image.fromarray(stretch_of(lambda: [values]).applied(values)).convert("RGB")


def _grown(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """A mask with the pixels around it that are not further away than some steps along the axes."""
    grown = mask.copy()
    for _ in range(steps):
        before = grown.copy()
        grown[1:] |= before[:-1]
        grown[:-1] |= before[1:]
        grown[:, 1:] |= before[:, :-1]
        grown[:, :-1] |= before[:, 1:]
    return grown
