"""RGB to thermal: one transform of a rig from many pairs, how good it is, and which pairs do not follow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.errors import LabelrigError
from dataset.registration.features import field_of, filled
from dataset.registration.pictures import WIDEST, Picture, PicturePair, read_pair, spread
from dataset.registration.refine import PairFields, mean_score, refined
from dataset.registration.search import Ranges, best_guess
from dataset.registration.transforms import MODELS, Frame, Matrix, Model, Numbers, Size, distances
from masks.pictures import PictureError

POOLED = 24  # pairs that the rig's transform is made from, at most
SEARCHED = 10  # of them, for the first guess
GUESS, COARSE, FINE = 8, 4, 2  # of a picture in the whole working width: its size is divided by these
# Of twelve real pairs the lowest score of a right one is 0.16 with a transform of its own and 0.18 with the rig's, the
# highest of a wrong one 0.13 and 0.09. Of few pairs the whole range is searched, where wrong ones find more by chance:
# 0.14, 0.16 and 0.18 were seen, and 0.17 of right ones. docs/pairs.md.
LEAST_SCORE = 0.13
LEAST_OF_FEW = 0.16
OWN_GAIN = 0.03  # by how much the score of a pair's own transform is higher where that is no chance
MODEL_GAIN = 0.01  # by how much of itself the score of held-out pairs must rise for a model with more numbers
FOLDS = 2
FEW = 2 * FOLDS  # pairs, below which a registration has no halves
TILES = 8
NO_NUMBERS = np.zeros(4)
Start = Callable[[Size, Size], Matrix]  # of the RGB and the thermal pictures: RGB pixels to thermal pixels
NEAR = Ranges(degrees=1.5, scale=1.03, shift=0.1)  # of a pair's own transform around the rig's


@dataclass(frozen=True)
class PairResult:
    """One pair.

    Attributes:
        residual_px: how far the pair's own best similarity lies from the rig's transform: the median over the picture,
            in thermal pixels; None where the pair has none.
        score: the correlation of the edges where the transform puts them.
        own: the pair's own matrix, where it is better than the rig's by more than chance.
        reason: why it was refused, or empty.
    """

    name: str
    accepted: bool
    score: float
    residual_px: float | None = None
    own: Matrix | None = None
    reason: str = ""


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
    numbers, _ = best_guess([one.a for one in guessed], [one.b for one in guessed], numbers, Ranges(), progress)
    progress("refining")
    numbers, _ = refined([one.at(COARSE) for one in loaded], numbers, "similarity")
    fine = [one.at(FINE) for one in loaded]
    numbers, _ = refined(fine, numbers, "similarity")
    least = LEAST_OF_FEW if len(fine) < FEW else LEAST_SCORE
    used = _right(fine, numbers, least)
    if used and len(used) < len(fine):  # wrong pairs pull at the transform
        numbers, _ = refined(used, numbers, "similarity")
        used = _right(fine, numbers, least) or used
    chosen, numbers, halves = _model(used or fine, numbers, model, progress)
    found.model = chosen
    matrix = _whole(loaded[0], fine[0].frame, numbers, chosen)
    found.residual_px = _apart(loaded[0], fine[0].frame, halves, chosen)
    _judge(pairs, loaded, found, numbers, least, progress)
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
    frame = Frame(_size(first.rgb), _size(first.thermal))
    matrix = start(first.rgb.size_wh, first.thermal.size_wh)
    inner = first.thermal.to_work @ matrix @ np.linalg.inv(first.rgb.to_work)
    return frame.numbers(inner, "similarity")


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
    chosen, halves = best or ("similarity", [])
    frame = pairs[0].frame
    begin = frame.numbers(frame.matrix(numbers, "similarity"), chosen)
    return chosen, refined(pairs, begin, chosen)[0], halves


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


def _whole(one: Loaded, frame: Frame, numbers: Numbers, model: Model) -> Matrix:
    """The matrix of the files' own pixels."""
    full = Frame(_size(one.rgb), _size(one.thermal))
    found = np.linalg.inv(one.thermal.to_work) @ full.matrix(numbers, model) @ one.rgb.to_work
    return np.asarray(found / found[2, 2])


def _apart(one: Loaded, frame: Frame, halves: Sequence[Numbers], model: Model) -> float | None:
    if len(halves) != FOLDS:
        return None
    first, second = (_whole(one, frame, half, model) for half in halves)
    return float(np.median(distances(first, second, one.rgb.size_wh)))


def _judge(
    pairs: Sequence[PicturePair],
    loaded: Sequence[Loaded],
    found: Registration,
    numbers: Numbers,
    least: float,
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
        found.pairs.append(_judged(one, found.model, numbers, least))


def _judged(one: Loaded, model: Model, numbers: Numbers, least: float) -> PairResult:
    fields = one.at(FINE)
    frame = fields.frame
    score = fields.score(numbers, model)
    begin = frame.numbers(frame.matrix(numbers, model), "similarity")
    mine, own_score = max(
        (_refined_again(one, fields, near) for near in (begin, _guess_near(one, begin))), key=_score_of
    )
    rig, own = _whole(one, frame, numbers, model), _whole(one, frame, mine, "similarity")
    best = max(score, own_score)
    if best < least:
        reason = f"the edges of both pictures agree by {best:.2f} at most, and of pictures of one place by {least}"
        return PairResult(one.pair.name, False, best, reason=reason)
    residual = float(np.median(distances(rig, own, one.rgb.size_wh)))
    is_own = own_score > score + OWN_GAIN
    return PairResult(one.pair.name, True, own_score if is_own else score, residual, own if is_own else None)


def _guess_near(one: Loaded, begin: Numbers) -> Numbers:
    """Cameras that do not release at once see a turning scene many pixels apart: farther than a step finds."""
    rough = one.at(GUESS)
    return best_guess([rough.a], [rough.b], begin, NEAR, lambda _text: None)[0]


def _refined_again(one: Loaded, fine: PairFields, begin: Numbers) -> tuple[Numbers, float]:
    return refined([fine], refined([one.at(COARSE)], begin, "similarity")[0], "similarity")


def _score_of(found: tuple[Numbers, float]) -> float:
    return found[1]


def _size(picture: Picture) -> Size:
    return picture.grey.shape[1], picture.grey.shape[0]
