"""A region that stands in an annotation as a mask, and a mask as regions that take its place."""

from __future__ import annotations

import base64
import binascii
import io
from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from backend.errors import BadRequest
from backend.labelstudio import regions
from backend.labelstudio.options import OutputKind
from backend.labelstudio.prompts import Click
from backend.labelstudio.protocol import ContextRegion
from masks.raster import filled
from masks.rle import ALPHA_THRESHOLD, decode_rle
from masks.shapes import ellipse_corners, polygon_corners, rectangle_corners

BITMASKS = ("bitmask", "bitmasklabels")
SHAPES = (*regions.BRUSHES, *BITMASKS, *regions.BOXES)
Mask = NDArray[np.bool_]


def mask_of(region: ContextRegion) -> Mask:
    """``(H, W)`` bool of the image that a region of one of `SHAPES` is on, in the size that the browser shows.

    Raises:
        BadRequest: it cannot be read.
    """
    value, size_wh = region.value, (region.original_width, region.original_height)
    scale = np.asarray(size_wh) / 100
    try:
        if region.type in regions.BRUSHES:
            return decode_rle(value.rle or (), size_wh)
        if region.type in BITMASKS:
            return _bitmask(value.image_data_url or "", size_wh)
        if region.type in regions.POLYGONS:
            return filled(polygon_corners(value.points) * scale, size_wh)
        x, y = regions.point_of(value, size_wh)
        ellipse = region.type in regions.ELLIPSES
        sides = (value.radius_x, value.radius_y) if ellipse else (value.width, value.height)
        if sides[0] is None or sides[1] is None:
            raise ValueError("it has no size")
        corners = ellipse_corners if ellipse else rectangle_corners
        return filled(corners(x, y, sides[0] * scale[0], sides[1] * scale[1], value.rotation), size_wh)
    except ValueError as error:
        raise BadRequest(f"the mask cannot be read: {error}") from None


def kind_like(region: ContextRegion, otherwise: OutputKind | None) -> OutputKind | None:
    """What a mask that comes of a region is written as: the same kind, where that keeps its outline."""
    kind = region.type.removesuffix("labels")
    return cast(OutputKind, kind) if kind in get_args(OutputKind) and kind != "rectangle" else otherwise


def placed_like(
    region: ContextRegion, label: str | None, to_name: str | None = None, size_wh: tuple[int, int] | None = None
) -> Click:
    """Where results belong that come of a region and of no prompt, as `backend.labelstudio.results` takes it.

    Args:
        to_name: another image than the region's.
        size_wh: of that image, in pixels.
    """
    size_wh = size_wh or (region.original_width, region.original_height)
    drawn = regions.Drawn(None, region.type, region.value, True, label, size_wh)
    turned = region.image_rotation if to_name is None else 0.0
    return Click((drawn,), to_name or region.to_name, size_wh, region.item_index, turned, np.zeros((0, 2)))


def _bitmask(url: str, size_wh: tuple[int, int]) -> Mask:
    try:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True)), formats=["PNG"]) as picture:
            if picture.size != size_wh:
                raise ValueError(f"its picture has {picture.size[0]}x{picture.size[1]} pixels")
            return np.asarray(picture.convert("RGBA").getchannel("A")) >= ALPHA_THRESHOLD
    except (binascii.Error, UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError):
        raise ValueError("its picture is no PNG") from None
