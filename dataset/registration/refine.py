"""From a guess to a fraction of a pixel: Gauss-Newton steps up the correlation, over all pairs together.

With fields of length 1, maximising the correlation of a and b(p) is least squares of ``a - b(p)``, with the part of the
derivative along b taken out (G. Evangelidis, E. Psarakis, "Parametric image alignment using enhanced correlation
coefficient maximization", IEEE PAMI 30, 2008). A step that does not help is tried again, shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dataset.registration.features import Field, correlation, turned, warped
from dataset.registration.transforms import COUNTS, Frame, Matrix, Model, Numbers, rotation_of

MOST_STEPS = 20
TRIES = 6
SMALLEST_MOVE = 0.02  # pixels of the level
LEAST_CORRELATION = 0.05
LEAST_OVERLAP = 0.3  # of the first picture; a few pixels agree by chance


@dataclass(frozen=True)
class PairFields:
    """A pair at one level.

    Attributes:
        shown: ``(H, W)``, 1 where the second picture shows the scene: only there the first one counts.
        weight: ``(H, W)``, 0 where pixels of the first picture do not count.
    """

    a: Field
    b: Field
    shown: NDArray[np.float32]
    weight: NDArray[np.float32] | None = None

    @property
    def frame(self) -> Frame:
        """Of their sizes."""
        return Frame((self.a.shape[1], self.a.shape[0]), (self.b.shape[1], self.b.shape[0]))

    def score(self, numbers: Numbers, model: Model) -> float:
        """The correlation where the numbers put them."""
        frame = self.frame
        matrix = frame.matrix(numbers, model)
        seen = turned(warped(self.b, matrix, frame.first), rotation_of(matrix))
        weight = self._weight(matrix)
        if float(weight.mean()) < LEAST_OVERLAP:
            return 0.0
        return correlation(self.a * weight, seen * weight)

    def _weight(self, matrix: Matrix) -> NDArray[np.float32]:
        shown = warped(self.shown, matrix, self.frame.first)
        return np.asarray(shown if self.weight is None else shown * self.weight)[..., None]

    def slope(self, numbers: Numbers, model: Model) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The gradient ``(K,)`` of the correlation, and the matrix ``(K, K)`` of the least squares."""
        frame = self.frame
        matrix, count = frame.matrix(numbers, model), COUNTS[model]
        turn = rotation_of(matrix)
        of_x, of_y = (one.reshape(count, 1, -1) for one in frame.derivatives(numbers, model))
        weight = self._weight(matrix)
        fields = [turned(warped(one, matrix, frame.first), turn) * weight for one in (self.b, *_differences(self.b))]
        seen, by_x, by_y, wanted = (_channels(one) for one in (*fields, self.a * weight))
        derivative = (of_x * by_x + of_y * by_y).reshape(count, -1)
        norm = np.float32(_length(seen))
        seen, wanted = seen.ravel() / norm, wanted.ravel() / np.float32(_length(wanted))
        derivative /= norm
        derivative -= (derivative @ seen)[:, None] * seen
        return (derivative @ wanted).astype(np.float64), (derivative @ derivative.T).astype(np.float64)


def refined(pairs: Sequence[PairFields], numbers: Numbers, model: Model) -> tuple[Numbers, float]:
    """The numbers with the highest mean correlation near those given, and that."""
    score, damping = mean_score(pairs, numbers, model), 1e-3
    for _ in range(MOST_STEPS):
        slopes = [pair.slope(numbers, model) for pair in pairs]
        gradient, square = sum(one[0] for one in slopes), sum(one[1] for one in slopes)
        for _ in range(TRIES):
            curved = max(score, LEAST_CORRELATION) * square + damping * np.diag(np.diag(square) + 1e-12)
            move = np.linalg.solve(curved, gradient)
            found = mean_score(pairs, numbers + move, model)
            if found > score:
                break
            damping = max(damping * 10, 1e-2)
        else:
            break
        numbers, score, damping = numbers + move, found, damping / 5
        if float(np.abs(move).max()) * pairs[0].a.shape[1] / 2 < SMALLEST_MOVE:
            break
    return numbers, score


def mean_score(pairs: Sequence[PairFields], numbers: Numbers, model: Model) -> float:
    """The mean correlation of the pairs."""
    return float(np.mean([pair.score(numbers, model) for pair in pairs]))


def _differences(field: Field) -> tuple[Field, Field]:
    """How the vectors change from pixel to pixel, to the right and down."""
    both = [
        np.dstack([cv2.Sobel(np.ascontiguousarray(field[..., one]), cv2.CV_32F, *way, ksize=3) / 8 for one in (0, 1)])
        for way in ((1, 0), (0, 1))
    ]
    return both[0].astype(np.float32), both[1].astype(np.float32)


def _channels(field: Field) -> NDArray[np.float32]:
    """One after the other, ``(2, H * W)``: sums over many pixels are several times quicker in this order."""
    return np.ascontiguousarray(np.moveaxis(field, -1, 0)).reshape(2, -1)


def _length(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.sum(values * values, dtype=np.float64))) or 1.0
