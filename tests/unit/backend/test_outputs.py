from __future__ import annotations

import base64
import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from backend.labelstudio.options import OutputKind
from backend.labelstudio.outputs import png_url, values
from backend.labelstudio.protocol import BrushValue, PolygonValue, RectangleValue
from masks.rle import decode_rle


def blobs(seed: int, size_wh: tuple[int, int] = (200, 150), sigma: float = 12) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).random(size_wh[::-1]).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)
    return np.asarray(smooth > np.quantile(smooth, 0.6))  # type: ignore[arg-type]


SHAPE = np.zeros((6, 8), dtype=bool)
SHAPE[1:4, 1:7] = True


@pytest.mark.parametrize("kind", ["brush", "bitmask", "polygon", "rectangle"])
def test_an_empty_mask_has_no_shape(kind: OutputKind) -> None:
    assert values(np.zeros((6, 8), dtype=bool), kind, ["Boat"], 1.5) == []


def test_a_brush_holds_the_mask() -> None:
    (value,) = values(SHAPE, "brush", ["Boat"], 1.5)
    assert isinstance(value, BrushValue)
    np.testing.assert_array_equal(decode_rle(value.rle, (8, 6)), SHAPE)
    assert BrushValue.model_validate(value.model_dump()) == value


def test_a_rectangle_goes_from_edge_to_edge() -> None:
    (value,) = values(SHAPE, "rectangle", None, 1.5)
    assert value == RectangleValue(x=12.5, y=16.666667, width=75, height=50)
    (whole,) = values(np.ones((6, 8), dtype=bool), "rectangle", None, 1.5)
    assert whole == RectangleValue(x=0, y=0, width=100, height=100)


def test_polygons_are_percent_of_both_sides() -> None:
    (value,) = values(SHAPE, "polygon", ["Boat"], 1.5)
    assert isinstance(value, PolygonValue)
    assert set(value.points) == {(12.5, 16.666667), (87.5, 16.666667), (87.5, 66.666667), (12.5, 66.666667)}


@pytest.mark.parametrize(
    "mask", [SHAPE, blobs(3, (61, 47), 4), np.ones((1, 1), dtype=bool), np.ones((5, 1), dtype=bool)]
)
def test_a_bitmask_is_black_on_transparent_in_full_size(mask: NDArray[np.bool_]) -> None:
    head, data = png_url(mask).split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    np.testing.assert_array_equal(pixels[..., 3], np.where(mask, 255, 0))
    assert not pixels[..., :3].any()
