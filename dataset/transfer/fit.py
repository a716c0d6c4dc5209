"""How well a mask's outline follows the edges of a picture, whichever side is brighter."""

from __future__ import annotations

import numpy as np

from dataset.registration.features import Field, Grey, correlation, field_of
from masks.arrays import Mask


def picture_field(grey: Grey) -> Field:
    """The edges of a picture, ``(H, W)`` float32, for `outline_fit`."""
    return field_of(grey, 1)


def outline_fit(mask: Mask, field: Field) -> float | None:
    """The correlation of the mask's outline with the picture's edges, in ``[-1, 1]``; about 0 where they have nothing
    in common, None of a mask without an outline inside the picture.

    Args:
        mask: ``(H, W)`` bool.
        field: of a picture of this size, see `picture_field`.
    """
    outline = field_of(mask.astype(np.float32), 1)
    near = (np.abs(outline).sum(-1) > 0)[..., None]
    return correlation(outline, field * near) if near.any() else None
