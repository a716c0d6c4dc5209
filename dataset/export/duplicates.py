"""Pictures that are nearly the same, as frames of a camera that stands still: one of them must not test the other."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Hash = NDArray[np.uint8]  # (32,): 256 bits

SIDE = 16
NEAR = 16  # bits of 256 in which two pictures may differ
NOISE = 2.0  # grey levels of 255 by which neighbours must differ to count as darker


def picture_hash(grey: NDArray[np.float32]) -> Hash:
    """Where a small copy grows brighter to the right: 256 bits. `grey` is ``(H, W)`` in ``[0, 1]``."""
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA) * 255
    return np.packbits((small[:, 1:] - small[:, :-1] > NOISE).reshape(-1))


def near_duplicates(hashes: NDArray[np.uint8]) -> list[int]:
    """For each picture the first one that it is joined to, directly or through others; itself where there is none.

    Args:
        hashes: ``(N, 32)``, see `picture_hash`.
    """
    roots = list(range(len(hashes)))

    def root(number: int) -> int:
        while roots[number] != number:
            roots[number] = roots[roots[number]]
            number = roots[number]
        return number

    bits = np.array([bin(value).count("1") for value in range(256)], np.uint16)
    for number in range(1, len(hashes)):
        apart = bits[hashes[:number] ^ hashes[number]].sum(1)
        for other in np.flatnonzero(apart <= NEAR).tolist():
            first, second = sorted((root(other), root(number)))
            roots[second] = first
    return [root(number) for number in range(len(hashes))]
