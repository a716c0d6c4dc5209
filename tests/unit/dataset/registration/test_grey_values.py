"""What registration sees of a picture: grey from 0 to 1, whatever its values."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.registration.pictures import grey_values
from masks.pictures import PictureError

CELSIUS = np.random.default_rng(2).normal(20, 4, (40, 60)).astype(np.float32)


def tiff(values: NDArray[np.float32]) -> io.BytesIO:
    content = io.BytesIO()
    Image.fromarray(values).save(content, "TIFF")
    return content


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_do_not_count(hole: float) -> None:
    """Radiometric files have them; the rest of the picture is as it is without."""
    values = CELSIUS.copy()
    values[3:5, 7] = hole
    found, whole = grey_values(tiff(values)), grey_values(tiff(CELSIUS))
    assert found.dtype == np.float32
    assert (found[3:5, 7] == 0).all()
    rest = np.isfinite(values)
    assert np.abs(found - whole)[rest].max() < 0.01


def test_a_picture_without_any_value_is_refused() -> None:
    with pytest.raises(PictureError, match="none of its values is finite"):
        grey_values(tiff(np.full_like(CELSIUS, np.nan)))
    with pytest.raises(PictureError, match="all its pixels are alike"):
        grey_values(tiff(np.zeros_like(CELSIUS)))
