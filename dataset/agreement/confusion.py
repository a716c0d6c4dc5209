"""Agreement of class maps, pixel by pixel: the confusion matrix, and the figures that are made of it.

With ``n[i, j]`` pixels that are class i in A and j in B, N their sum, row and column sums ``a[i]`` and ``b[i]``:

- pixel agreement: ``sum n[i, i] / N``
- kappa: ``(po - pe) / (1 - pe)``, ``po`` the pixel agreement, ``pe = sum a[i] b[i] / N^2`` (J. Cohen, "A coefficient
  of agreement for nominal scales", Educational and Psychological Measurement 20, 1960)
- IoU of a class: ``n[i, i] / (a[i] + b[i] - n[i, i])`` (P. Jaccard, 1912)
- Dice of a class: ``2 n[i, i] / (a[i] + b[i])`` (L. Dice, 1945)

In agreement and kappa, unlabelled (0) is a class as any other; it has no IoU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]  # (K, K): pixels by class in A (row) and in B (column); 0 is unlabelled
ClassMap = NDArray[np.int32]  # (H, W): the number of the class, 0 where nothing is


@dataclass(frozen=True)
class Overlap:
    """One class: pixels in A, in B, in both."""

    in_a: int
    in_b: int
    in_both: int

    @property
    def iou(self) -> float:
        """Intersection over union; the class is in A or in B."""
        return self.in_both / (self.in_a + self.in_b - self.in_both)

    @property
    def dice(self) -> float:
        """Twice the intersection over the sum."""
        return 2 * self.in_both / (self.in_a + self.in_b)


class LabelNumbers:
    """A number for each label in the order in which they are met, from 1; the empty label is 0, unlabelled."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def of(self, label: str) -> int:
        """The number of a label."""
        return self._numbers.setdefault(label, len(self._numbers))

    @property
    def names(self) -> Mapping[str, int]:
        """All labels but the empty one."""
        return {name: number for name, number in self._numbers.items() if number}


@dataclass
class Confusion:
    """Grows with each image. Its figures are None where there is nothing to divide by."""

    counts: Counts = field(default_factory=lambda: np.zeros((1, 1), dtype=np.int64))

    def add(self, a: ClassMap, b: ClassMap) -> None:
        """Count the pixels of an image; both maps have its size."""
        size = max(int(a.max(initial=0)), int(b.max(initial=0))) + 1
        pairs = np.bincount((a.astype(np.int64) * size + b).reshape(-1), minlength=size * size).reshape(size, size)
        self.merge(Confusion(pairs))

    def merge(self, other: Confusion) -> None:
        """Take the pixels of another matrix in."""
        size = max(len(self.counts), len(other.counts))
        total = np.zeros((size, size), dtype=np.int64)
        for counts in (self.counts, other.counts):
            total[: len(counts), : len(counts)] += counts
        self.counts = total

    @property
    def pixels(self) -> int:
        """All pixels."""
        return int(self.counts.sum())

    @property
    def pixel_agreement(self) -> float | None:
        """The share of pixels with one class in both."""
        return int(np.trace(self.counts)) / self.pixels if self.pixels else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa. None where both have the same single class everywhere: chance alone agrees so."""
        if not self.pixels:
            return None
        by_chance = float((self.counts.sum(1) / self.pixels) @ (self.counts.sum(0) / self.pixels))
        agreed = float(np.trace(self.counts)) / self.pixels
        return None if by_chance >= 1 else (agreed - by_chance) / (1 - by_chance)

    @property
    def unlabelled(self) -> tuple[float | None, float | None]:
        """The share of pixels without a class, in A and in B."""
        if not self.pixels:
            return None, None
        return int(self.counts[0].sum()) / self.pixels, int(self.counts[:, 0].sum()) / self.pixels

    def overlaps(self) -> dict[int, Overlap]:
        """Each class that is in A or in B, by its number."""
        found = {
            number: Overlap(int(self.counts[number].sum()), int(self.counts[:, number].sum()), int(both))
            for number, both in enumerate(np.diagonal(self.counts))
            if number
        }
        return {number: one for number, one in found.items() if one.in_a or one.in_b}

    @property
    def mean_iou(self) -> float | None:
        """The mean over the classes that are in A or in B; unlabelled is none."""
        values = [one.iou for one in self.overlaps().values()]
        return sum(values) / len(values) if values else None
