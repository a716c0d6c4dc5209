"""RGB to thermal: one transform of a rig from many pairs, how good it is, and which pairs do not follow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelrigError
from dataset.registration.consensus import chosen
from dataset.registration.judging import FEW, PairResult, judged, least_score
from dataset.registration.levels import COARSE, FINE, GUESS, Loaded
from dataset.registration.pictures import PicturePair, read_pair, spread
from dataset.registration.refine import PairFields, mean_score, refined
from dataset.registration.search import Ranges, guesses
from dataset.registration.transforms import MODELS, Matrix, Model, Numbers, Size, distances
from masks.pictures import PictureError

POOLED = 24  # pairs that the rig's transform is made from, at most
SEARCHED = 10  # of them, for the first guess
GUESSES = 16  # of few pairs, from which the tiles choose
MODEL_GAIN = 0.01  # by how much of itself the score of held-out pairs must rise for a model with more numbers
FOLDS = 2  # FEW pairs have two of each
TILES = 8
NO_NUMBERS = np.zeros(4)
Start = Callable[[Size, Size], Matrix]  # of the RGB and the thermal pictures: RGB pixels to thermal pixels


@dataclass
class Registration:
    """The rig's transform, from RGB pixels to thermal pixels; None where no pair was accepted.

    Attributes:
        residual_px: how far the transforms of two halves of the pairs lie apart, the median over the picture in thermal
            pixels; of a single pair, of two halves of its pixels.
    """

    model: Model = "similarity"
    matrix: Matrix | None = None
    rgb_wh: Size = (0, 0)
    thermal_wh: Size = (0, 0)
    score: float = 0.0
    residual_px: float | None = None
    pairs: list[PairResult] = field(default_factory=list)


def register(
    pairs: Sequence[PicturePair],
    progress: Callable[[str], None],
    start: Start | None = None,
    model: Model | None = None,
) -> Registration:
    """Register all pairs of a rig.

    Args:
        start: from a calibration or from points that a person clicked; the guess is looked for around it.
        model: None chooses by what held-out pairs say.

    Raises:
        LabelrigError: no pair can be read, or pictures of one side are of several sizes.
    """
    found = Registration()
    loaded: list[Loaded] = []
    for count, pair in enumerate(spread(pairs, POOLED), 1):
        progress(f"read {count} pairs")
        try:
            loaded.append(_load(pair, found))
        except PictureError as error:
            found.pairs.append(PairResult(pair.name, False, 0.0, reason=str(error)))
    if not loaded:
        raise LabelrigError(f"no pair can be read; {found.pairs[0].name}: {found.pairs[0].reason}")
    numbers = _start(loaded[0], start)
    guessed = [one.at(GUESS) for one in loaded[:: max(1, len(loaded) // SEARCHED)][:SEARCHED]]
    most = GUESSES if len(loaded) < FEW else 1
    begins = guesses([one.a for one in guessed], [one.b for one in guessed], numbers, Ranges(), progress, most)
    progress("refining")
    coarse, fine = ([one.at(step) for one in loaded] for step in (COARSE, FINE))
    numbers = chosen(coarse, fine, begins) if len(begins) > 1 else refined(coarse, begins[0], "similarity")[0]
    numbers, _ = refined(fine, numbers, "similarity")
    least = least_score(len(loaded))
    used = _right(fine, numbers, least)
    if used and len(used) < len(fine):  # wrong pairs pull at the transform
        numbers, _ = refined(used, numbers, "similarity")
        used = _right(fine, numbers, least) or used
    found.model, numbers, halves = _model(used or fine, numbers, model, progress)
    matrix = loaded[0].whole(numbers, found.model)
    found.residual_px = _apart(loaded[0], halves, found.model)
    _judge(pairs, loaded, found, numbers, progress)
    accepted = [one for one in found.pairs if one.accepted]
    if accepted:
        found.matrix = matrix
        found.score = float(np.mean([one.score for one in accepted]))
    return found


def _load(pair: PicturePair, found: Registration) -> Loaded:
    one = Loaded(pair, *read_pair(pair))
    sizes = (one.rgb.size_wh, one.thermal.size_wh)
    if found.rgb_wh == (0, 0):
        found.rgb_wh, found.thermal_wh = sizes
    for what, seen, others in zip(("RGB", "thermal"), sizes, (found.rgb_wh, found.thermal_wh), strict=True):
        if seen != others:
            text = " and ".join(f"{width}x{height}" for width, height in (others, seen))
            raise LabelrigError(
                f"{pair.name}: {what} pictures of {text} pixels are not of one rig; register them apart"
            )
    return one


def _start(first: Loaded, start: Start | None) -> Numbers:
    """Of the working pictures; without a start, both show the same width."""
    if start is None:
        return NO_NUMBERS
    matrix = start(first.rgb.size_wh, first.thermal.size_wh)
    inner = first.thermal.to_work @ matrix @ np.linalg.inv(first.rgb.to_work)
    return first.frame.numbers(inner, "similarity")


def _right(pairs: Sequence[PairFields], numbers: Numbers, least: float) -> list[PairFields]:
    return [one for one in pairs if one.score(numbers, "similarity") >= least]


def _model(
    pairs: Sequence[PairFields], numbers: Numbers, model: Model | None, progress: Callable[[str], None]
) -> tuple[Model, Numbers, list[Numbers]]:
    """The model whose held-out score is best, its numbers from all pairs, and those from each half."""
    folds = _folds(pairs)
    best: tuple[Model, list[Numbers]] | None = None
    best_score = -1.0
    for one in MODELS if model is None else (model,):
        progress(f"fitting: {one}")
        frame = pairs[0].frame
        begin = frame.numbers(frame.matrix(numbers, "similarity"), one)
        halves = [refined(ours, begin, one)[0] for ours, _ in folds]
        score = float(np.mean([mean_score(theirs, half, one) for half, (_, theirs) in zip(halves, folds, strict=True)]))
        if best is None or score > best_score * (1 + MODEL_GAIN):
            best, best_score = (one, halves), score
    taken, halves = best or ("similarity", [])
    frame = pairs[0].frame
    begin = frame.numbers(frame.matrix(numbers, "similarity"), taken)
    return taken, refined(pairs, begin, taken)[0], halves


def _folds(pairs: Sequence[PairFields]) -> list[tuple[list[PairFields], list[PairFields]]]:
    """Twice, what a transform is made from and what it is tried on: other pairs, or other tiles of few pairs."""
    if len(pairs) >= FEW:
        sides = [list(pairs[0::2]), list(pairs[1::2])]
    else:
        sides = [
            [PairFields(one.a, one.b, one.shown, _tiles(one.a.shape[:2], odd)) for one in pairs]
            for odd in (False, True)
        ]
    return [(sides[0], sides[1]), (sides[1], sides[0])]


def _tiles(shape: tuple[int, ...], odd: bool) -> NDArray[np.float32]:
    rows, columns = (np.arange(side) * TILES // side for side in shape)
    return np.asarray((rows[:, None] + columns) % 2 == odd, dtype=np.float32)


def _apart(one: Loaded, halves: Sequence[Numbers], model: Model) -> float | None:
    if len(halves) != FOLDS:
        return None
    first, second = (one.whole(half, model) for half in halves)
    return float(np.median(distances(first, second, one.rgb.size_wh)))


def _judge(
    pairs: Sequence[PicturePair],
    loaded: Sequence[Loaded],
    found: Registration,
    numbers: Numbers,
    progress: Callable[[str], None],
) -> None:
    """Score every pair with the rig's transform and with its own, near the rig's."""
    known = {one.pair.name: one for one in loaded}
    unread = {one.name: one for one in found.pairs}
    found.pairs = []
    for count, pair in enumerate(pairs, 1):
        progress(f"judged {count} of {len(pairs)} pairs")
        if pair.name in unread:
            found.pairs.append(unread[pair.name])
            continue
        try:
            one = known.get(pair.name) or _load(pair, found)
        except PictureError as error:
            found.pairs.append(PairResult(pair.name, False, 0.0, reason=str(error)))
            continue
        found.pairs.append(judged(one, found.model, numbers, len(loaded)))
