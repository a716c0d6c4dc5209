"""The regions of an annotation as masks, whatever tool made them; each once, however many results it has."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labelstudio.brush_rle import decode_brush

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ImagePlace = tuple[str, int]  # an image tag, and which one of a list of images
DATA_URL = "data:image/png;base64,"


@dataclass(frozen=True)
class Shape:
    """One region that covers pixels. `mask` is ``(H, W)`` bool, `place` the image of the task that it is on."""

    label: str
    mask: NDArray[np.bool_]
    place: ImagePlace = ("", 0)


def shapes_in(results: Sequence[Mapping[str, Any]]) -> tuple[list[Shape], int]:
    """The masks of some results, and how many regions could not be read.

    Points and boxes are prompts and no masks. A region may have several results: the shape's, its label's, and a
    second shape of another type that the editor adds when a suggestion is accepted while another tool's label is
    chosen; the first shape counts, and any of its labels.
    """
    labels: dict[str, str] = {}
    for one in results:
        for label in _labels(one):
            labels.setdefault(str(one.get("id")), label)
    found: dict[str, Shape] = {}
    unreadable = 0
    for one in results:
        region = str(one.get("id"))
        if region in found:
            continue
        try:
            mask = _mask(one)
        except (ValueError, TypeError, KeyError, OSError, binascii.Error):
            unreadable += 1
            continue
        if mask is not None:
            place = (str(one.get("to_name") or ""), int(one.get("item_index") or 0))
            found[region] = Shape(labels.get(region, ""), mask, place)
    return list(found.values()), unreadable


def _labels(one: Mapping[str, Any]) -> list[str]:
    value = one.get("value")
    given = value.get(str(one.get("type"))) if isinstance(value, Mapping) else None
    return [str(label) for label in given] if isinstance(given, list) else []


def _mask(one: Mapping[str, Any]) -> NDArray[np.bool_] | None:
    value = one.get("value")
    if not isinstance(value, Mapping):
        return None
    size_wh = (int(one.get("original_width") or 0), int(one.get("original_height") or 0))
    if value.get("format") == "rle" and value.get("rle"):
        return decode_brush(value["rle"], size_wh)
    if str(value.get("imageDataURL", "")).startswith(DATA_URL):
        return _of_png(str(value["imageDataURL"]))
    if isinstance(value.get("points"), list) and len(value["points"]) > 2:
        return _of_polygon(value["points"], size_wh)
    return None


def _of_png(url: str) -> NDArray[np.bool_]:
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix(DATA_URL), validate=True))) as picture:
        return np.asarray(picture.convert("RGBA"))[..., 3] > 127


def _of_polygon(points: Sequence[Sequence[float]], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    import numpy as np
    from PIL import Image, ImageDraw

    width, height = size_wh
    if width < 1 or height < 1:
        raise ValueError("the polygon has no image size")
    picture = Image.new("1", size_wh)
    corners = [(float(x) * width / 100, float(y) * height / 100) for x, y in points]
    ImageDraw.Draw(picture).polygon(corners, fill=1)
    return np.asarray(picture, dtype=bool)
