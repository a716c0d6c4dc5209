"""A pair that was read, on the levels on which it is registered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset.registration.features import field_of, filled
from dataset.registration.pictures import WIDEST, Picture, PicturePair
from dataset.registration.refine import PairFields
from dataset.registration.transforms import Frame, Matrix, Model, Numbers, Size

GUESS, COARSE, FINE = 8, 4, 2  # of a picture in the whole working width: its size is divided by these


@dataclass(frozen=True)
class Loaded:
    """A pair that was read, with its fields by level."""

    pair: PicturePair
    rgb: Picture
    thermal: Picture

    def at(self, step: int) -> PairFields:
        """Its fields at 1/step of the working size; of smaller pictures, as many pixels as far as there are."""
        rgb, thermal = self.rgb, self.thermal
        step = max(1, round(step * rgb.grey.shape[1] / WIDEST))
        a, b = field_of(rgb.grey, step, rgb.blank), field_of(thermal.grey, step, thermal.blank)
        return PairFields(a, b, filled(thermal.blank, step, (b.shape[1], b.shape[0])).astype(np.float32))

    @property
    def frame(self) -> Frame:
        """Of its working pictures."""
        return Frame(_size(self.rgb), _size(self.thermal))

    def whole(self, numbers: Numbers, model: Model) -> Matrix:
        """The matrix of the files' own pixels."""
        found = np.linalg.inv(self.thermal.to_work) @ self.frame.matrix(numbers, model) @ self.rgb.to_work
        return np.asarray(found / found[2, 2])


def _size(picture: Picture) -> Size:
    return picture.grey.shape[1], picture.grey.shape[0]
