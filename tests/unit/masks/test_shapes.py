"""The shapes that Label Studio draws: their corners, and the boxes around them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from masks.shapes import around as box_around
from masks.shapes import contains, ellipse_box, ellipse_corners, rectangle_corners

turn = st.floats(-720, 720)
side = st.floats(1, 300)


@given(side, side, turn)
def test_the_box_around_a_turned_rectangle(width: float, height: float, degrees: float) -> None:
    corners = rectangle_corners(10, 20, width, height, degrees)
    around = box_around(corners)
    assert contains(around, corners)
    np.testing.assert_allclose(corners[0], [10, 20])
    np.testing.assert_allclose(np.hypot(*(corners[1] - corners[0])), width)
    np.testing.assert_allclose(np.hypot(*(corners[3] - corners[0])), height)
    assert np.prod(around[2:] - around[:2]) >= width * height * (1 - 1e-9)
    whole = box_around(rectangle_corners(10, 20, width, height, degrees + 360))
    np.testing.assert_allclose(around, whole, atol=1e-6)


@given(side, side, turn)
def test_the_box_around_a_turned_ellipse_touches_it_on_all_sides(rx: float, ry: float, degrees: float) -> None:
    t, a = np.linspace(0, 2 * np.pi, 20_001), np.deg2rad(degrees)
    x = rx * np.cos(t) * np.cos(a) - ry * np.sin(t) * np.sin(a)
    y = rx * np.cos(t) * np.sin(a) + ry * np.sin(t) * np.cos(a)
    outline = np.stack([x + 5, y - 7], axis=1)
    np.testing.assert_allclose(ellipse_box(5, -7, rx, ry, degrees), box_around(outline), atol=1e-4 * (rx + ry))


@given(side, side, turn)
def test_ellipse_corners_lie_on_its_box(rx: float, ry: float, degrees: float) -> None:
    found = box_around(ellipse_corners(5, -7, rx, ry, degrees))
    np.testing.assert_allclose(found, ellipse_box(5, -7, rx, ry, degrees), atol=1e-3 * (rx + ry))
