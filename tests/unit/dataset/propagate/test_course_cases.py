"""The page takes those masks away that `./inv propagate --redo` does: one set of cases for both (course.test.mjs)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.repository import REPOSITORY
from dataset.propagate.objects import AnnotatedFrame, Tracked
from dataset.propagate.plan import PredictedFrame, plan_of
from dataset.propagate.sequences import Frame
from labeling.tracks import TrackNote

CASES: list[dict[str, Any]] = json.loads(
    Path(REPOSITORY / "tests" / "unit" / "companion" / "course_cases.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=[case["what"] for case in CASES])
def test_masks_that_go_in_the_page(case: dict[str, Any]) -> None:
    """The annotated frames of the run come one after the other, the nearest at `place`; the masks lie on the next."""
    sequence = [Frame(number, f"/data/local-files/?d=set/{name}") for number, name in enumerate(case["frames"], 1)]
    first = case["place"] - len(case["shown"]) + 1
    annotated = [
        AnnotatedFrame(
            sequence[place], place, (4, 4), tuple(Tracked(track, track, ("Car",), track.encode()) for track in tracks)
        )
        for place, tracks in enumerate(case["shown"], first)
    ]
    next_place = case["place"] + 1
    notes = {track: TrackNote(track, "of before", 0.8, origin) for track, origin in case["masks"].items()}
    masks = PredictedFrame(sequence[next_place], next_place, notes)
    plan = plan_of([*annotated, masks], sequence, frozenset(), "demo@1", backward=False)
    segment = plan.segments[-1]
    assert sorted(segment.renewed(masks, redo=True) & notes.keys()) == case["go"]
