"""Where most tiles of a picture agree: each is moved over the other picture alone, and all vote on one similarity.

The correlation of two whole pictures follows what has strong edges, so that a single pair finds wrong places that are
as high as the right one. Here a tile counts as much as any other, by its own normalised correlation. A small turn moves
a tile by far more than it turns it: similarities are looked up in what was correlated once.

How sure a place is: the peak-to-sidelobe ratio (D. Bolme et al., "Visual object tracking using adaptive correlation
filters", CVPR 2010), by how many standard deviations of the votes elsewhere a place stands out from their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataset.registration.features import Field, turned, warped
from dataset.registration.refine import PairFields
from dataset.registration.transforms import Frame, Numbers, rotation_of

COARSE_TILES, FINE_TILES = 5, 8  # side by side; half of one overlaps the next
POWER = 1.5  # of a tile's correlation is its vote: 1 lets chance in, 2 lets a few tiles win
LEAST_ENERGY = 0.3  # of the mean of all tiles: one with fewer edges counts less
RADIUS = 8  # pixels of the level by which a tile is moved
STEPS = 3  # pixels of the level by which a turn, and a scale, moves the tiles at the side
FINALISTS = 6  # places that are looked at on the fine level
CLIMBERS, MOST_CLIMBS = 3, 5  # the best of them, and looks from each on
APART = 2.0  # pixels of the fine level, between two of them
AROUND, PEAK = 10, 4  # pixels of the level: the sidelobes are farther than PEAK from a place, and within AROUND

Surfaces = NDArray[np.float32]  # (N, 2R+1, 2R+1): the votes of N tiles, moved down and right by -R to R pixels
Places = NDArray[np.complex128]  # (N,): the middles of tiles from the picture's middle, x + iy, in pixels of the level


@dataclass(frozen=True)
class Votes:
    """Where the tiles of some pairs fit around a similarity."""

    surfaces: Surfaces
    places: Places
    frame: Frame
    numbers: Numbers

    def best(self) -> tuple[Numbers, float]:
        """The similarity that has most votes, and the mean vote of a tile for it, in [0, 1]."""
        half, radius = self.frame.first[0] / 2, self.surfaces.shape[1] // 2
        reach = 2 * STEPS + 1  # pixels by which a turn and a scale move a tile at most, in x and in y
        padded = np.pad(self.surfaces, ((0, 0), (reach, reach), (reach, reach)))
        best, change, shift = -1.0, 0j, 0j
        for turn in np.arange(-STEPS, STEPS + 1) / half:
            for scale in np.arange(-STEPS, STEPS + 1) / half:
                moves = np.rint(self.places * complex(scale, turn)) + complex(reach, reach)
                total = np.zeros(self.surfaces.shape[1:], np.float32)
                for votes, move in zip(padded, moves, strict=True):
                    x, y = (min(max(int(one), 0), 2 * reach) for one in (move.real, move.imag))
                    total += votes[y : y + len(total), x : x + len(total)]
                if float(total.max()) > best:
                    best, change = float(total.max()), complex(scale, turn)
                    row, column = divmod(int(total.argmax()), len(total))
                    shift = complex(column - radius, row - radius)
        return self._changed(change, shift), best / len(self.surfaces)

    def _changed(self, change: complex, shift: complex) -> Numbers:
        """First a point p of the first picture goes to ``p + change * p + shift``, then where the numbers put it."""
        turned_by = 1 + complex(self.numbers[0], self.numbers[1])
        both = turned_by * (1 + change)
        moved = complex(self.numbers[2], self.numbers[3]) + turned_by * shift / (self.frame.first[0] / 2)
        return np.array([both.real - 1, both.imag, moved.real, moved.imag])


def chosen(coarse: Sequence[PairFields], fine: Sequence[PairFields], guesses: Sequence[Numbers]) -> Numbers:
    """The similarity near one of the guesses that most tiles agree on, to about a pixel of the fine level.

    Args:
        coarse, fine: the same pairs on two levels.
        guesses: of similarities, at least one.
    """
    found = sorted((votes_of(coarse, one, COARSE_TILES).best() for one in guesses), key=_votes, reverse=True)
    frame = fine[0].frame
    kept: list[Numbers] = []
    for numbers, _ in found:
        if len(kept) < FINALISTS and all(frame.apart(numbers, other) > APART for other in kept):
            kept.append(numbers)
    looked = sorted((votes_of(fine, one, FINE_TILES).best() for one in kept), key=_votes, reverse=True)
    return max((_climbed(fine, *one) for one in looked[:CLIMBERS]), key=_votes)[0]


def _climbed(fine: Sequence[PairFields], numbers: Numbers, votes: float) -> tuple[Numbers, float]:
    """Looked at again from where it is: a right place may begin farther off than one look reaches."""
    for _ in range(MOST_CLIMBS):
        again, more = votes_of(fine, numbers, FINE_TILES).best()
        if more <= votes:
            break
        numbers, votes = again, more
    return numbers, votes


def peak_ratio(pair: PairFields, numbers: Numbers) -> float:
    """By how many standard deviations the votes for a similarity stand out from those for others shifted from it."""
    surface = votes_of([pair], numbers, FINE_TILES, AROUND).surfaces.mean(axis=0)
    sides = np.hypot(*np.mgrid[-AROUND : AROUND + 1, -AROUND : AROUND + 1])
    elsewhere = surface[sides > PEAK]
    spread = float(elsewhere.std())
    return float(surface[sides <= 1].max() - elsewhere.mean()) / spread if spread else 0.0


def votes_of(pairs: Sequence[PairFields], numbers: Numbers, across: int, radius: int = RADIUS) -> Votes:
    """The tiles of all pairs, each moved by up to `radius` pixels of the level from where the numbers put it."""
    frame = pairs[0].frame
    matrix = frame.matrix(numbers, "similarity")
    corners, side = _tiles(frame.first, across)
    middles = corners + (side - 1) / 2 - (np.asarray(frame.first) - 1) / 2
    surfaces = [
        _surfaces(one.a, turned(warped(one.b, matrix, frame.first), rotation_of(matrix)), corners, side, radius)
        for one in pairs
    ]
    places = np.tile(middles[:, 0] + 1j * middles[:, 1], len(pairs))
    return Votes(np.concatenate(surfaces), places, frame, numbers)


def _tiles(size_wh: tuple[int, int], across: int) -> tuple[NDArray[np.int64], int]:
    """The upper left corners ``(N, 2)``, x and y, and the side of the squares."""
    side = max(1, min(size_wh[0] // across, size_wh[1]))
    x, y = (np.rint(np.linspace(0, length - side, max(1, round(2 * length / side) - 1))) for length in size_wh)
    return np.stack([one.ravel() for one in np.meshgrid(x, y)], axis=-1).astype(np.int64), side


def _surfaces(a: Field, b: Field, corners: NDArray[np.int64], side: int, radius: int) -> Surfaces:
    """The votes ``(N, 2R+1, 2R+1)``: the normalised correlation under a window, by the Fourier transform."""
    window = np.outer(*[np.hanning(side + 2)[1:-1]] * 2).astype(np.float32)
    whole, moved = side + 2 * radius, slice(0, 2 * radius + 1)
    first = (a[..., 0] + 1j * a[..., 1]).astype(np.complex64)
    second = np.pad((b[..., 0] + 1j * b[..., 1]).astype(np.complex64), radius)
    ours = np.stack([first[y : y + side, x : x + side] for x, y in corners])
    theirs = np.stack([second[y : y + whole, x : x + whole] for x, y in corners])
    product = np.conj(np.fft.fft2(ours * window, (whole, whole))) * np.fft.fft2(theirs)
    across = np.fft.ifft2(product).real[:, moved, moved]
    energies = np.conj(np.fft.rfft2(window, (whole, whole))) * np.fft.rfft2(np.abs(theirs) ** 2)
    of_b = np.fft.irfft2(energies, (whole, whole))[:, moved, moved]
    of_a = np.sum(np.abs(ours) ** 2 * window, axis=(1, 2))[:, None, None]
    least_a, least_b = (LEAST_ENERGY * float(one.mean()) + 1e-9 for one in (of_a, of_b))
    agreed = across / np.sqrt(np.maximum(of_a, least_a) * np.maximum(of_b, least_b))
    return np.asarray(np.maximum(agreed, 0) ** POWER, dtype=np.float32)


def _votes(found: tuple[Numbers, float]) -> float:
    return found[1]
