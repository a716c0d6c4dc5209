"""Masks that are not believed: of a low score, or where another object has the better claim."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.segmenter import Tracked
from backend.serving.belief import Belief
from labeling.tracks import LEAST_SHARE

SIDE = 64
Mask = NDArray[np.bool_]


def square(left: int, side: int = 10, shape: tuple[int, int] = (SIDE, SIDE)) -> Mask:
    mask = np.zeros(shape, bool)
    mask[20 : 20 + side, left : left + side] = True
    return mask


def seen(mask: Mask, logit: float = 4.0, score: float = 0.9, presence: float = 0.9) -> Tracked:
    return Tracked(np.where(mask, logit, -4.0).astype(np.float32), score, presence)


def belief_of(least_score: float = 0.5, **given: Mask) -> Belief:
    belief = Belief(least_score)
    for name, mask in given.items():
        belief.give(0, name, mask)
    return belief


def test_low_score_is_doubted_and_absence_is_not() -> None:
    found = {
        "sure": seen(square(0), score=0.5),
        "unsure": seen(square(20), score=0.49),
        "absent": seen(square(40), score=0.1, presence=0.5),
    }
    assert Belief(0.5).doubted(found) == {"unsure"}
    assert Belief(0).doubted(found) == set()


def test_of_two_on_one_place_the_lower_logits_go() -> None:
    """Whichever of them was named first; with a least score of 0 both stay, as with SAM2's own predictor."""
    found = {"here": seen(square(0), 4.0), "strayed": seen(square(1), 3.0)}
    assert belief_of(here=square(0), strayed=square(30)).doubted(found) == {"strayed"}
    assert belief_of(strayed=square(30), here=square(0)).doubted(dict(reversed(found.items()))) == {"strayed"}
    assert belief_of(0, here=square(0), strayed=square(30)).doubted(found) == set()


def test_mask_stays_while_enough_of_it_is_its_own() -> None:
    """Two that touch while they cross keep their masks: of ten columns three are enough, and two are not."""
    belief = belief_of(one=square(0), other=square(30))
    for own, doubted in ((3, set()), (2, {"other"})):
        found = {"one": seen(square(10), 4.0), "other": seen(square(10 + own), 3.0)}
        assert belief.doubted(found) == doubted
    assert pytest.approx(0.3) == LEAST_SHARE


def test_several_cover_one_together() -> None:
    belief = belief_of(left=square(0), right=square(20), middle=square(40))
    found = {"left": seen(square(0)), "right": seen(square(10)), "middle": seen(square(5), 3.0)}
    assert belief.doubted(found) == {"middle"}


def test_doubted_mask_covers_no_other() -> None:
    belief = belief_of(one=square(0), other=square(30))
    found = {"one": seen(square(0), 9.0, score=0.4), "other": seen(square(0), 3.0)}
    assert belief.doubted(found) == {"one"}


def test_objects_given_on_one_another_stay_so() -> None:
    """As a helmet on a person, even if they were apart on another frame."""
    belief = belief_of(person=square(0, 20), helmet=square(5, 6))
    found = {"person": seen(square(10, 20), 4.0), "helmet": seen(square(15, 6), 3.0)}
    assert belief.doubted(found) == set()
    belief.give(7, "person", square(0, 20))
    belief.give(7, "helmet", square(40, 6))
    assert belief.doubted(found) == set()


def test_objects_never_given_on_one_frame_may_meet() -> None:
    belief = Belief()
    belief.give(0, "one", square(0))
    belief.give(1, "other", square(30))
    assert belief.doubted({"one": seen(square(0)), "other": seen(square(0), 3.0)}) == set()


def test_small_object_on_a_large_frame_is_seen() -> None:
    """A single pixel inside another object's mask, at 16 times the cells that are kept."""
    shape = (4096, 4096)
    dot = np.zeros(shape, bool)
    dot[2001, 2003] = True
    person = np.zeros(shape, bool)
    person[1000:3000, 1000:3000] = True
    belief = belief_of(person=person, dot=dot)
    assert belief.doubted({"person": seen(square(0, 20)), "dot": seen(square(5, 2), 3.0)}) == set()
