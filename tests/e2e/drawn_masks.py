"""Masks that look like people's: one object each, its outline drawn anew for every number.

Sent into Label Studio's container as text (see `labelstudio.program`), so it needs numpy alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE_WH = (1920, 1080)
ROWS = (300, 520)  # of the object: its run lengths take 8 to 16 KB as JSON
WIDEST = 600


def drawn_mask(number: int) -> NDArray[np.bool_]:
    """The mask of a number: the same each time, and no other number's.

    Returns:
        ``(H, W)`` bool of `SIZE_WH`: an ellipse with a waist and an uneven edge, three pixels up and down a row.
    """
    width, height = SIZE_WH
    random = np.random.default_rng(number)
    rows = int(random.integers(*ROWS))
    across = np.linspace(-1, 1, rows)
    waist = 1 - random.uniform(0.1, 0.6) * np.exp(-((across - random.uniform(-0.5, 0.5)) ** 2) / 0.05)
    half = random.uniform(WIDEST / 6, WIDEST / 2) * np.sqrt(1 - across**2) * waist
    middle = random.uniform(WIDEST / 2, width - WIDEST / 2) + np.cumsum(random.normal(0, 0.7, rows))
    left = np.clip(middle - half + random.integers(-3, 4, rows), 0, width - 2)
    right = np.clip(middle + half + random.integers(-3, 4, rows), left + 1, width)
    columns = np.arange(width)
    top = int(random.integers(0, height - rows))
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[top : top + rows] = (columns >= left[:, None]) & (columns < right[:, None])
    return mask
