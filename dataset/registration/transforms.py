"""Transforms of a plane with few numbers: similarity, affine, homography; as 3x3 matrices of pixels.

Numbers are of a frame whose middle is 0 and whose half width is 1, so that all of them are of one size; all 0 is the
identity. Pixels are OpenCV's: the centre of the first one is (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Model = Literal["similarity", "affine", "homography"]
Matrix = NDArray[np.float64]  # (3, 3)
Numbers = NDArray[np.float64]  # (K,): 4, 6 or 8
Size = tuple[int, int]  # width and height

MODELS: tuple[Model, ...] = ("similarity", "affine", "homography")
COUNTS: Mapping[Model, int] = {"similarity": 4, "affine": 6, "homography": 8}
GRID = (20, 15)


@dataclass(frozen=True)
class Frame:
    """The pixels of two pictures, and the numbers between them: `first` is mapped to `second`."""

    first: Size
    second: Size

    @property
    def _half(self) -> float:
        return self.first[0] / 2

    def matrix(self, numbers: Numbers, model: Model) -> Matrix:
        """The matrix from pixels of the first to pixels of the second, its last number 1."""
        found = _from_frame(self.second, self._half) @ in_frame(numbers, model) @ _to_frame(self.first, self._half)
        return np.asarray(found / found[2, 2])

    def numbers(self, matrix: Matrix, model: Model) -> Numbers:
        """The numbers of a matrix; those that the model lacks are left out."""
        inner = (
            np.linalg.inv(_from_frame(self.second, self._half))
            @ matrix
            @ np.linalg.inv(_to_frame(self.first, self._half))
        )
        inner = inner / inner[2, 2]
        if model == "similarity":
            a, b = (inner[0, 0] + inner[1, 1]) / 2 - 1, (inner[1, 0] - inner[0, 1]) / 2
            return np.array([a, b, inner[0, 2], inner[1, 2]])
        six = [inner[0, 0] - 1, inner[0, 1], inner[0, 2], inner[1, 0], inner[1, 1] - 1, inner[1, 2]]
        return np.array(six if model == "affine" else [*six, inner[2, 0], inner[2, 1]])

    def apart(self, first: Numbers, second: Numbers) -> float:
        """How far two similarities take the same pixels apart: the median over the picture, in pixels."""
        matrices = (self.matrix(first, "similarity"), self.matrix(second, "similarity"))
        return float(np.median(distances(*matrices, self.first)))

    def derivatives(self, numbers: Numbers, model: Model) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How x and y in the second picture move with each number: two ``(K, H, W)`` arrays, in pixels."""
        width, height = self.first
        x, y = np.meshgrid(
            ((np.arange(width) - (width - 1) / 2) / self._half).astype(np.float32),
            ((np.arange(height) - (height - 1) / 2) / self._half).astype(np.float32),
        )
        of_x, of_y = DERIVATIVES[model](x, y, in_frame(numbers, model).astype(np.float32))
        half = np.float32(self._half)
        return np.stack(of_x) * half, np.stack(of_y) * half


def in_frame(numbers: Numbers, model: Model) -> Matrix:
    """The matrix of the numbers, in their own frame."""
    if model == "similarity":
        a, b, x, y = numbers
        return np.array([[1 + a, -b, x], [b, 1 + a, y], [0, 0, 1]])
    six, rest = numbers[:6], (numbers[6:] if model == "homography" else np.zeros(2))
    return np.array([[1 + six[0], six[1], six[2]], [six[3], 1 + six[4], six[5]], [*rest, 1]])


def scaling(from_wh: Size, to_wh: Size) -> Matrix:
    """The matrix between pictures of two sizes that show the same: their corners on each other."""
    x, y = (to / begin for begin, to in zip(from_wh, to_wh, strict=True))
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def rotation_of(matrix: Matrix) -> float:
    """By how much a matrix turns at the middle of the picture, in radians; of a homography, about so."""
    return float(np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]))


def distances(first: Matrix, second: Matrix, size_wh: Size) -> NDArray[np.float64]:
    """How far two matrices take the same pixels apart: in pixels, at 20 x 15 places of a picture of this size."""
    x, y = np.meshgrid(np.linspace(0, size_wh[0] - 1, GRID[0]), np.linspace(0, size_wh[1] - 1, GRID[1]))
    places = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    a, b = (matrix @ places for matrix in (first, second))
    return np.asarray(np.linalg.norm(a[:2] / a[2] - b[:2] / b[2], axis=0))


def _to_frame(size_wh: Size, half: float) -> Matrix:
    x, y = ((side - 1) / 2 for side in size_wh)
    return np.array([[1 / half, 0, -x / half], [0, 1 / half, -y / half], [0, 0, 1]])


def _from_frame(size_wh: Size, half: float) -> Matrix:
    return np.asarray(np.linalg.inv(_to_frame(size_wh, half)))


Plane = NDArray[np.float32]
Columns = tuple[list[Plane], list[Plane]]


def _of_similarity(x: Plane, y: Plane, _matrix: NDArray[np.float32]) -> Columns:
    zero, one = np.zeros_like(x), np.ones_like(x)
    return [x, -y, one, zero], [y, x, zero, one]


def _of_affine(x: Plane, y: Plane, _matrix: NDArray[np.float32]) -> Columns:
    zero, one = np.zeros_like(x), np.ones_like(x)
    return [x, y, one, zero, zero, zero], [zero, zero, zero, x, y, one]


def _of_homography(x: Plane, y: Plane, matrix: NDArray[np.float32]) -> Columns:
    zero = np.zeros_like(x)
    below = matrix[2, 0] * x + matrix[2, 1] * y + 1
    u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / below
    v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / below
    x, y, one = x / below, y / below, 1 / below
    return [x, y, one, zero, zero, zero, -u * x, -u * y], [zero, zero, zero, x, y, one, -v * x, -v * y]


DERIVATIVES: Mapping[Model, Callable[[Plane, Plane, NDArray[np.float32]], Columns]] = {
    "similarity": _of_similarity,
    "affine": _of_affine,
    "homography": _of_homography,
}
