"""`python -m tools.pairs.registration FOLDER`: how well registration finds a known similarity on top of real pairs.

The folder has `rgb` and `thermal`, as `./inv pairs.register` takes them. For each seed all thermal pictures are turned,
scaled and moved alike; the right answer is what all pairs give without that, and the known similarity on top. Of a pair
alone it is also compared to the pair's own transform among all, where it has one: cameras that did not release at once
are off the rig's by as much as they turned. Each line of the output is one registration, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.registration.pictures import PicturePair, pairs_in
from dataset.registration.register import Registration, register
from dataset.registration.transforms import Matrix, distances

SEED = 41
POOLED = 10
DEGREES, SCALE, SHIFT_PX = 3.0, 0.07, 25.0  # at most


def known_of(rng: np.random.Generator, size_wh: tuple[int, int]) -> Matrix:
    """A random similarity: turned and scaled at the middle, then moved."""
    angle, scale = np.deg2rad(rng.uniform(-DEGREES, DEGREES)), 1 + rng.uniform(-SCALE, SCALE)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.asarray(size_wh) - 1) / 2
    moved = middle - turn @ middle + rng.uniform(-SHIFT_PX, SHIFT_PX, 2)
    return np.vstack([np.column_stack([turn, moved]), [0, 0, 1]])


def injected(pairs: Sequence[PicturePair], known: Matrix, folder: Path) -> list[PicturePair]:
    """The pairs with their thermal pictures where the similarity puts them."""
    found = []
    for one in pairs:
        with Image.open(Path(str(one.thermal))) as picture:
            pixels: NDArray[np.integer[Any]] = np.asarray(picture)
        size_wh = (pixels.shape[1], pixels.shape[0])
        path = folder / f"{one.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(cv2.warpPerspective(pixels, known, size_wh, flags=cv2.INTER_CUBIC)).save(path)
        found.append(PicturePair(one.name, one.rgb, path))
    return found


def tried(pairs: Sequence[PicturePair], right: Matrix | None, own: Matrix | None = None) -> dict[str, object]:
    """One registration: what was accepted, how far it lies from the right answer, and how long it took.

    Args:
        own: the right answer of a pair alone by its own transform.
    """
    began = time.process_time()
    found = register(pairs, lambda _text: None, model="similarity")
    accepted = sum(one.accepted for one in found.pairs)
    away, own_away = (_away(found, one) for one in (right, own))
    seconds = round(time.process_time() - began, 1)
    return {"accepted": accepted, "of": len(pairs), "away_px": away, "own_away_px": own_away, "seconds": seconds}


def _away(found: Registration, right: Matrix | None) -> float | None:
    if right is None or found.matrix is None:
        return None
    return round(float(np.median(distances(found.matrix, right, found.rgb_wh))), 2)


def main(argv: list[str] | None = None) -> int:
    """Measure; a line for each registration goes to stdout when it is done."""
    parser = argparse.ArgumentParser(prog="python -m tools.pairs.registration", description=(__doc__ or "").strip())
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--singles", type=int, default=2, help="right and wrong single pairs for each seed")
    parser.add_argument("--no-pooled", action="store_true", help="only single pairs")
    options = parser.parse_args(argv)
    pairs = pairs_in(options.folder / "rgb", options.folder / "thermal")
    whole = register(pairs, lambda _text: None, model="similarity")
    if whole.matrix is None:
        sys.stderr.write("no pair was accepted without a similarity on top\n")
        return 1
    for seed in range(options.first, options.first + options.seeds):
        rng = np.random.default_rng((SEED, seed))
        known = known_of(rng, whole.thermal_wh)
        order = rng.permutation(len(pairs))
        with tempfile.TemporaryDirectory() as name:
            moved = injected(pairs, known, Path(name))
            right, none = known @ whole.matrix, None
            jobs: list[tuple[str, list[PicturePair], Matrix | None, Matrix | None]] = []
            if not options.no_pooled:
                jobs.append(("pooled", [moved[index] for index in sorted(order[:POOLED])], right, none))
            for index, other in zip(order[: options.singles], np.roll(order, 1), strict=False):
                own = whole.pairs[index].own
                jobs.append(("right", [moved[index]], right, right if own is None else known @ own))
                jobs.append(("wrong", [PicturePair("wrong", moved[index].rgb, moved[other].thermal)], none, none))
            for kind, chosen, *answers in jobs:
                line = {"seed": seed, "kind": kind, "pair": chosen[0].name if len(chosen) == 1 else None}
                sys.stdout.write(json.dumps({**line, **tried(chosen, *answers)}) + "\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
