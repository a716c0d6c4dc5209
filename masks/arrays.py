"""The arrays of this package. Pixels count from the image's top left corner: the first one reaches from 0 to 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W), True on the object
Points = NDArray[np.float64]  # (N, 2), columns x and y
Ring = NDArray[np.float64]  # (N, 2) corners of a polygon, not closed by a repeated point
