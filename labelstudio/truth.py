"""The truth beside the demo images: what a click on a drawn object must come back as.

`<truth>/<image stem>.json` holds a list of objects, each with `label`, `click_xy`, `box_xyxy` (pixels; right and bottom
exclusive), `negative_xy` or null, and `mask`, the name of an 8-bit PNG of 0 and 255 beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LabelrigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TruthObject:
    """One drawn object: coordinates in image pixels, origin top left."""

    label: str
    click_xy: tuple[int, int]
    box_xyxy: tuple[int, int, int, int]
    negative_xy: tuple[int, int] | None
    mask_file: Path

    def mask(self) -> NDArray[np.bool_]:
        """The visible part of the object, ``(H, W)`` bool."""
        import numpy as np
        from PIL import Image

        with Image.open(self.mask_file) as picture:
            return np.asarray(picture.convert("L")) > 127


def truth_of(folder: Path, image: str) -> list[TruthObject]:
    """The objects of an image, empty where there is no truth for it.

    Args:
        folder: where the truth lies.
        image: the image's file name.

    Raises:
        LabelrigError: the file is broken.
    """
    path = folder / f"{Path(image).stem}.json"
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        objects = content["objects"] if isinstance(content, dict) else content
        return [_object(one, folder) for one in objects]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelrigError(f"{path}: cannot be read as the truth of a demo image: {error}") from None


def _object(one: dict[str, object], folder: Path) -> TruthObject:
    x, y = _numbers(one["click_xy"], 2)
    left, top, right, bottom = _numbers(one["box_xyxy"], 4)
    negative = one.get("negative_xy")
    return TruthObject(
        label=str(one["label"]),
        click_xy=(x, y),
        box_xyxy=(left, top, right, bottom),
        negative_xy=None if negative is None else (_numbers(negative, 2)[0], _numbers(negative, 2)[1]),
        mask_file=folder / str(one["mask"]),
    )


def _numbers(given: object, count: int) -> list[int]:
    if not isinstance(given, list) or len(given) != count:
        raise ValueError(f"{count} numbers expected")
    return [int(one) for one in given]
