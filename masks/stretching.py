"""Grey of more than 8 bits as 8: the band between two percentiles becomes 0 to 255.

The percentiles are exact, and found without a second copy of the picture: the values' bits, put in order, are counted
by their upper half, and then by their lower half where the wanted value lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENT = (1.0, 99.0)
MIDDLE_GREY = 128
HALF_BITS = 16
Grey = NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """From `low`, which becomes black, to `high`, which becomes white. Equal ones make the picture mid-grey."""

    low: float
    high: float

    def applied(self, grey: Grey) -> NDArray[np.uint8]:
        """Grey of any shape as uint8. What is not finite becomes black."""
        if self.low == self.high:
            return np.full(grey.shape, MIDDLE_GREY, dtype=np.uint8)
        known = np.where(np.isfinite(grey), grey, self.low).astype(np.float64)
        return np.rint((np.clip(known, self.low, self.high) - self.low) / (self.high - self.low) * 255).astype(np.uint8)


def stretch_of(pieces: Callable[[], Iterable[Grey]]) -> Stretch:
    """The stretch of a picture.

    Args:
        pieces: the picture in pieces, each time it is called; values that are not finite do not count.
    """
    counts = _counts(pieces, lambda keys: keys >> HALF_BITS)
    total = int(counts.sum())
    if not total:
        return Stretch(0.0, 0.0)
    low, high = _order_statistics(pieces, counts, [_nearest(total, percent) for percent in PERCENT])
    if low == high:  # nearly constant: a few pixels differ at most
        low, high = _order_statistics(pieces, counts, [0, total - 1])
    return Stretch(low, high)


def _nearest(total: int, percent: float) -> int:
    """The place of a percentile in order, as `numpy.percentile(method="nearest")` takes it: no value between two."""
    return round((total - 1) * percent / 100)


def _order_statistics(
    pieces: Callable[[], Iterable[Grey]], counts: NDArray[np.int64], places: Sequence[int]
) -> list[float]:
    """The values at these places, counted from 0 in ascending order."""
    ends, found = np.cumsum(counts), []
    for place in places:
        upper = int(np.searchsorted(ends, place, side="right"))
        before = int(ends[upper] - counts[upper])
        lower = _counts(pieces, lambda keys, upper=upper: keys[keys >> HALF_BITS == upper] & 0xFFFF)  # type: ignore[misc]
        rest = int(np.searchsorted(np.cumsum(lower), place - before, side="right"))
        found.append(_value(upper << HALF_BITS | rest))
    return found


def _counts(
    pieces: Callable[[], Iterable[Grey]], half: Callable[[NDArray[np.uint32]], NDArray[Any]]
) -> NDArray[np.int64]:
    counts = np.zeros(1 << HALF_BITS, dtype=np.int64)
    for piece in pieces():
        counts += np.bincount(half(_keys(piece[np.isfinite(piece)])), minlength=1 << HALF_BITS)
    return counts


def _keys(values: Grey) -> NDArray[np.uint32]:
    """Whole numbers in the same order as the values: IEEE 754 has the magnitude below the sign."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0 is 0
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value(key: int) -> float:
    bits = key ^ (1 << 31) if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
