"""Whether a pair follows the rig's transform, has one of its own, or is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dataset.registration.consensus import peak_ratio
from dataset.registration.levels import COARSE, FINE, GUESS, Loaded
from dataset.registration.refine import PairFields, refined
from dataset.registration.search import Ranges, guesses
from dataset.registration.transforms import Matrix, Model, Numbers, distances

FEW = 4  # pairs, below which a registration has no halves
# Of twelve real pairs the lowest score of a right one is 0.16 with a transform of its own and 0.18 with the rig's, the
# highest of a wrong one 0.13 and 0.09. Of few pairs the whole range is searched, where wrong ones find more by chance:
# 0.14, 0.16 and 0.18 were seen, and 0.17 of right ones. docs/pairs.md.
LEAST_SCORE = 0.13
LEAST_OF_FEW = 0.16
# Of few pairs, the peak-to-sidelobe ratio: wrong ones had 2.2 to 4.2, the last where both show one place at two times;
# right ones 4.7 to 11, but for one that was taken at two moments, with 3.5 to 3.7. docs/decisions/0037.
LEAST_PEAK = 4.5
OWN_GAIN = 0.03  # by how much the score of a pair's own transform is higher where that is no chance
NEAR = Ranges(degrees=1.5, scale=1.03, shift=0.1)  # of a pair's own transform around the rig's


@dataclass(frozen=True)
class PairResult:
    """One pair.

    Attributes:
        residual_px: how far the pair's own best similarity lies from the rig's transform: the median over the picture,
            in thermal pixels; None where the pair has none, or is the only one.
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


def least_score(pooled: int) -> float:
    """The lowest score of a right pair, where the rig's transform was made from so many."""
    return LEAST_OF_FEW if pooled < FEW else LEAST_SCORE


def judged(one: Loaded, model: Model, numbers: Numbers, pooled: int) -> PairResult:
    """Score a pair with the rig's transform and with its own, near the rig's.

    Args:
        pooled: the number of pairs that the rig's transform was made from. One alone has no other than the rig's; of
            few, a pair whose transform does not stand out from others near it is refused.
    """
    fields, name = one.at(FINE), one.pair.name
    frame = fields.frame
    score = fields.score(numbers, model)
    begin = frame.numbers(frame.matrix(numbers, model), "similarity")
    mine, own_score = begin, score
    if pooled > 1:
        starts = (begin, _guess_near(one, begin))
        mine, own_score = max((_refined_again(one, fields, near) for near in starts), key=_score_of)
    best, is_own = max(score, own_score), own_score > score + OWN_GAIN
    reason = _reason(best, least_score(pooled))
    if not reason and pooled < FEW:
        reason = _doubt(peak_ratio(fields, mine if is_own else begin))
    if reason:
        return PairResult(name, False, best, reason=reason)
    own = one.whole(mine, "similarity")
    residual = float(np.median(distances(one.whole(numbers, model), own, one.rgb.size_wh))) if pooled > 1 else None
    return PairResult(name, True, own_score if is_own else score, residual, own if is_own else None)


def _reason(score: float, least: float) -> str:
    if score >= least:
        return ""
    return f"the edges of both pictures agree by {score:.2f} at most, and of pictures of one place by {least}"


def _doubt(peak: float) -> str:
    if peak >= LEAST_PEAK:
        return ""
    return (
        f"its transform stands out from those around it by {peak:.1f} standard deviations, of {LEAST_PEAK} at least: "
        "the pictures show two places, much that is near the cameras, or two moments; register it with others of the "
        f"rig, {FEW} pairs or more"
    )


def _guess_near(one: Loaded, begin: Numbers) -> Numbers:
    """Cameras that do not release at once see a turning scene many pixels apart: farther than a step finds."""
    rough = one.at(GUESS)
    return guesses([rough.a], [rough.b], begin, NEAR, lambda _text: None, 1)[0]


def _refined_again(one: Loaded, fine: PairFields, begin: Numbers) -> tuple[Numbers, float]:
    return refined([fine], refined([one.at(COARSE)], begin, "similarity")[0], "similarity")


def _score_of(found: tuple[Numbers, float]) -> float:
    return found[1]
