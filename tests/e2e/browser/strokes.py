"""Where people put the mouse on an object: rough strokes and places inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.e2e.browser.desk import XY, Mask


def way_over(mask: Mask, share: float = 0.6, bend: float = 0.18) -> Sequence[XY]:
    """A rough stroke as people paint it: through the object's middle, `share` of its width, bent a little."""
    rows, columns = np.nonzero(mask)
    middle_y = int(np.median(rows))
    across = columns[rows == middle_y]
    left, right = float(across.min()), float(across.max())
    middle, half = (left + right) / 2, share * (right - left) / 2
    rise = bend * (rows.max() - rows.min())
    wanted = [(middle - half, middle_y), (middle, middle_y - rise), (middle + half, middle_y + rise / 3)]
    return [nearest_inside(mask, xy) for xy in wanted]


def nearest_inside(mask: Mask, xy: XY) -> XY:
    rows, columns = np.nonzero(mask)
    nearest = int(np.argmin((columns - xy[0]) ** 2 + (rows - xy[1]) ** 2))
    return float(columns[nearest]), float(rows[nearest])
