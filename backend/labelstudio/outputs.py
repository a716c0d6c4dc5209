"""A mask as the values that Label Studio's tags hold. All coordinates are percent of the mask's own size."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.labelstudio.options import OutputKind
from backend.labelstudio.protocol import BitmaskValue, BrushValue, PolygonValue, RectangleValue
from masks.polygons import polygons
from masks.rle import encode_rle

Value = BrushValue | BitmaskValue | PolygonValue | RectangleValue
DECIMALS = 6  # of a percent: a ten-thousandth of a pixel in the largest image


def values(mask: NDArray[np.bool_], kind: OutputKind, labels: list[str] | None, tolerance: float) -> list[Value]:
    """The shapes of one mask: several for a polygon in parts, one otherwise, none for an empty mask.

    Args:
        mask: ``(H, W)`` bool in the size that the browser shows.
        labels: for a tag that labels its shapes itself; None for a tag that does not.
        tolerance: of polygons, in pixels.
    """
    if not mask.any():
        return []
    if kind == "brush":
        # Not validated again: millions of integers in a speckled mask.
        return [BrushValue.model_construct(format="rle", rle=encode_rle(mask), brushlabels=labels)]
    if kind == "bitmask":
        return [BitmaskValue(image_data_url=png_url(mask), bitmasklabels=labels)]
    if kind == "rectangle":
        return [_rectangle(mask, labels)]
    rings = percent_rings(mask, tolerance, DECIMALS)
    return [PolygonValue(points=ring, polygonlabels=labels) for ring in rings]


def percent_rings(mask: NDArray[np.bool_], tolerance: float, decimals: int) -> list[list[tuple[float, float]]]:
    """The rings of `masks.polygons`, in percent of the mask's own size."""
    percent = 100 / np.asarray([mask.shape[1], mask.shape[0]], dtype=np.float64)
    rings = ((ring * percent).round(decimals).tolist() for ring in polygons(mask, tolerance))
    return [[(x, y) for x, y in ring] for ring in rings]


def png_url(mask: NDArray[np.bool_]) -> str:
    """A mask as a PNG in a data URL, black where True and transparent elsewhere: one bit a pixel."""
    image = Image.fromarray(mask.astype(np.uint8))  # numbers of palette entries
    image.putpalette([0, 0, 0, 0, 0, 0])
    file = io.BytesIO()
    image.save(file, "PNG", bits=1, transparency=b"\x00\xff")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _rectangle(mask: NDArray[np.bool_], labels: list[str] | None) -> RectangleValue:
    """The upright box around all pixels, from edge to edge."""
    height, width = mask.shape
    left, top, box_width, box_height = cv2.boundingRect(mask.view(np.uint8))
    return RectangleValue(
        x=round(100 * left / width, DECIMALS),
        y=round(100 * top / height, DECIMALS),
        width=round(100 * box_width / width, DECIMALS),
        height=round(100 * box_height / height, DECIMALS),
        rectanglelabels=labels,
    )
