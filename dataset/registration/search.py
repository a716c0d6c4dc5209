"""The first guess: all turns and scales of a grid, and for each all shifts at once, over all pairs together.

Correlation over shifts is a product of Fourier transforms. At an eighth of the size one place of the grid takes a few
milliseconds for a pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataset.registration.features import Field, turned, warped
from dataset.registration.transforms import Frame, Numbers

APART = 1.5  # pixels of the level, between guesses
Spectrum = NDArray[np.complex64]


@dataclass(frozen=True)
class Ranges:
    """Where the guess is looked for: turns in degrees, scales, shifts as a share of the width."""

    degrees: float = 6.0
    scale: float = 1.15
    shift: float = 0.2
    degree_step: float = 1.5
    scale_step: float = 1.03

    @property
    def turns(self) -> NDArray[np.float64]:
        """In radians, 0 among them."""
        count = round(self.degrees / self.degree_step)
        return np.asarray(np.deg2rad(np.arange(-count, count + 1) * self.degree_step))

    @property
    def scales(self) -> NDArray[np.float64]:
        """1 among them."""
        count = round(np.log(self.scale) / np.log(self.scale_step))
        return np.asarray(self.scale_step ** np.arange(-count, count + 1))


def guesses(
    a: Sequence[Field], b: Sequence[Field], start: Numbers, ranges: Ranges, progress: Callable[[str], None], most: int
) -> list[Numbers]:
    """The similarities around `start` with the highest mean correlation over all pairs, the best one first.

    Args:
        a, b: the fields of each pair; all of one size on each side.
        start: of a similarity.
        most: so many at most, each at least `APART` pixels from those before it.
    """
    frame = Frame(_size(a[0]), _size(b[0]))
    width, height = frame.first
    spectra = [np.conj(_spectrum(one)) for one in a]
    reach = max(1, round(ranges.shift * width))
    seen: list[tuple[float, Numbers]] = []
    turns = ranges.turns
    for count, turn in enumerate(turns, 1):
        progress(f"looked at {count} of {len(turns)} turns")
        for scale in ranges.scales:
            numbers = _around(start, turn, scale)
            surface = _surface(spectra, b, frame, numbers)
            near = np.full_like(surface, -1.0)
            for rows in (slice(0, reach), slice(-reach, None)):
                for columns in (slice(0, reach), slice(-reach, None)):
                    near[rows, columns] = surface[rows, columns]
            row, column = divmod(int(near.argmax()), near.shape[1])
            x, y = column - 2 * width * (column >= width), row - 2 * height * (row >= height)
            seen.append((float(near[row, column]), _shifted(numbers, x, y, width)))
    kept: list[Numbers] = []
    for _, numbers in sorted(seen, key=lambda one: -one[0]):
        if len(kept) == most:
            break
        if all(frame.apart(numbers, other) >= APART for other in kept):
            kept.append(numbers)
    return kept


def _surface(spectra: Sequence[Spectrum], b: Sequence[Field], frame: Frame, numbers: Numbers) -> NDArray[np.float32]:
    """The mean correlation at each shift."""
    matrix = frame.matrix(numbers, "similarity")
    total: NDArray[np.float32] = np.zeros((1, 1), dtype=np.float32)
    turn = float(np.arctan2(numbers[1], 1 + numbers[0]))
    for spectrum, field in zip(spectra, b, strict=True):
        seen = turned(warped(field, matrix, frame.first), turn)
        total = total + np.fft.ifft2(spectrum * _spectrum(seen)).real.astype(np.float32)
    return np.asarray(total / len(b))


def _spectrum(field: Field) -> Spectrum:
    """Of the field as complex numbers, of length 1, with as much again of nothing around it."""
    height, width = field.shape[:2]
    padded = np.zeros((2 * height, 2 * width), dtype=np.complex64)
    norm = float(np.sqrt(np.sum(field * field, dtype=np.float64))) or 1.0
    padded[:height, :width] = (field[..., 0] + 1j * field[..., 1]) / norm
    return np.asarray(np.fft.fft2(padded), dtype=np.complex64)


def _around(start: Numbers, turn: float, scale: float) -> Numbers:
    """`start` turned and scaled at the middle of the first picture."""
    both = (1 + start[0] + 1j * start[1]) * scale * np.exp(1j * turn)
    return np.array([both.real - 1, both.imag, start[2], start[3]])


def _shifted(numbers: Numbers, x: int, y: int, width: int) -> Numbers:
    """The similarity that first moves a pixel of the first picture by whole pixels."""
    moved = (1 + numbers[0] + 1j * numbers[1]) * complex(x, y) / (width / 2)
    return np.array([numbers[0], numbers[1], numbers[2] + moved.real, numbers[3] + moved.imag])


def _size(field: Field) -> tuple[int, int]:
    return field.shape[1], field.shape[0]
