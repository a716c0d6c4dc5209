"""Masks followed through drawn moving scenes, beside what one has without a memory: the first mask, or a click a frame.

python -m tools.quality.tracking [--sequences 40] [--seed 17000] [--least-score 0.5] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backend.geometry import masks
from backend.segmenter import Embedding, Segmenter
from backend.serving.belief import PRESENT, Belief
from demo import model as demo_model
from demo.clicks import inner_point
from demo.moving import KINDS, STYLES, MovingScene, draw_moving
from labeling.tracks import LEAST_SCORE
from tools.quality.pipeline import demo_segmenter, prompts
from tools.quality.region_and_contour import Mask, j_and_f

SEED = 17_000  # of the figures; no training draws it. What is tuned is tuned on others
FRAMES = 30
SIZE_WH = (320, 240)
LATE = 2  # frames after which an object that has left may have no mask
WAYS = ("followed", "first mask", "click a frame")


@dataclass(frozen=True)
class Track:
    """One object of one scene.

    Attributes:
        kind: of the scene.
        scores: J&F of each way, the mean of all frames after the first.
        swapped: at the last frame that shows it, the followed mask lies on another object.
        gone: on how many frames it has been gone for longer than `LATE` frames.
        gone_empty: on how many of these it had no mask.
        left: how often it was gone for longer than `LATE` frames.
        left_empty: how often it had no mask from then on, until it came back.
    """

    kind: str
    scores: dict[str, float]
    swapped: bool
    gone: int
    gone_empty: int
    left: int
    left_empty: int


def measured(segmenter: Segmenter, number: int, seed: int = SEED, least_score: float = LEAST_SCORE) -> list[Track]:
    """Every object of one drawn scene that is seen on its first frame."""
    rng = np.random.default_rng((seed, number))
    kind, style = KINDS[number % len(KINDS)], STYLES[number % len(STYLES)]
    scene = draw_moving(rng, SIZE_WH, style, kind, FRAMES)
    embeddings = [segmenter.encode(image) for image in scene.images]
    items = [item for item in range(len(scene.labels)) if scene.mask(0, item).any()]
    tracker, belief = segmenter.track(FRAMES), Belief(least_score)
    for item in items:
        tracker.anchor(str(item), 0, embeddings[0], scene.mask(0, item))
        belief.give(0, str(item), scene.mask(0, item))
    followed: dict[int, list[Mask]] = {item: [scene.mask(0, item)] for item in items}
    for frame in range(1, FRAMES):
        found = {str(item): tracker.step(str(item), frame, embeddings[frame]) for item in items}
        # As `backend.serving.propagating` has it.
        doubted = belief.doubted(found)
        for name in doubted:
            tracker.discard(name, frame)
        for item in items:
            one = found[str(item)]
            there = one.presence > PRESENT and str(item) not in doubted
            followed[item].append(masks.full_size(one.logits, SIZE_WH) & there)
    return [_track(segmenter, scene, item, followed[item], embeddings) for item in items]


def _track(
    segmenter: Segmenter, scene: MovingScene, item: int, followed: Sequence[Mask], embeddings: Sequence[Embedding]
) -> Track:
    truth = [scene.mask(frame, item) for frame in range(FRAMES)]
    clicked = [_clicked(segmenter, embeddings[frame], truth[frame]) for frame in range(FRAMES)]
    ways = dict(zip(WAYS, (followed, [truth[0]] * FRAMES, clicked), strict=True))
    scores = {
        name: float(np.mean([j_and_f(found[frame], truth[frame]) for frame in range(1, FRAMES)]))
        for name, found in ways.items()
    }
    gone = [
        frame for frame in range(LATE, FRAMES) if not any(truth[each].any() for each in range(frame - LATE, frame + 1))
    ]
    empty = [(frame, not followed[frame].any()) for frame in gone]
    swapped = _is_swapped(scene, item, followed)
    return Track(scene.kind, scores, swapped, len(gone), sum(one for _, one in empty), *departures(empty))


def departures(gone: Sequence[tuple[int, bool]]) -> tuple[int, int]:
    """How often an object was gone, and how often it had no mask all that time.

    Args:
        gone: the frames on which it is gone, and whether it has no mask there. Those that follow on each other are one
            departure.
    """
    numbers = [frame for frame, _ in gone]
    begins = [place for place, frame in enumerate(numbers) if place == 0 or numbers[place - 1] != frame - 1]
    spans = itertools.pairwise([*begins, len(gone)])
    return len(begins), sum(all(empty for _, empty in gone[begin:end]) for begin, end in spans)


def _clicked(segmenter: Segmenter, embedding: Embedding, truth: Mask) -> Mask:
    """The answer to one click inside the truth; nothing where there is nothing to click on."""
    if not truth.any():
        return np.zeros_like(truth)
    logits, _ = masks.best(segmenter.decode(embedding, prompts([inner_point(truth)], [True])))
    return masks.full_size(logits, SIZE_WH)


def _is_swapped(scene: MovingScene, item: int, followed: Sequence[Mask]) -> bool:
    shown = [frame for frame in range(1, FRAMES) if scene.mask(frame, item).any() and followed[frame].any()]
    if not shown:
        return False
    frame = shown[-1]
    overlaps = [np.count_nonzero(followed[frame] & scene.mask(frame, other)) for other in range(len(scene.labels))]
    return int(np.argmax(overlaps)) != item and max(overlaps) > 0


def figures(tracks: Sequence[Track]) -> dict[str, Any]:
    """All of them as the document and `--json` have them."""
    gone, left = sum(one.gone for one in tracks), sum(one.left for one in tracks)
    return {
        "tracks": len(tracks),
        "J&F": {name: float(np.mean([one.scores[name] for one in tracks])) for name in WAYS},
        "by kind": {
            kind: {name: float(np.mean([one.scores[name] for one in mine])) for name in WAYS}
            for kind in KINDS
            if (mine := [one for one in tracks if one.kind == kind])
        },
        "swapped": sum(one.swapped for one in tracks) / max(1, len(tracks)),
        "swapped by kind": {kind: sum(one.swapped for one in tracks if one.kind == kind) for kind in KINDS},
        "frames gone": gone,
        "empty when gone": sum(one.gone_empty for one in tracks) / gone if gone else None,
        "departures": left,
        "empty after departure": sum(one.left_empty for one in tracks) / left if left else None,
    }


def main(argv: list[str] | None = None) -> int:
    """Measure the shipped demo model, or other weights of it; the figures go to stdout."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.quality.tracking", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--sequences", type=int, default=40)
    parser.add_argument("--seed", type=int, default=SEED, help="of the sequences; tune on others than these")
    parser.add_argument("--least-score", type=float, default=LEAST_SCORE, help="masks with a lower one are none")
    parser.add_argument("--weights", type=Path, default=demo_model.WEIGHTS, help="a checkpoint of the demo model")
    parser.add_argument("--json", type=Path, help="file for every figure")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    segmenter = demo_segmenter(options.weights)
    tracks = [
        one
        for number in range(options.sequences)
        for one in measured(segmenter, number, options.seed, options.least_score)
    ]
    text = json.dumps(figures(tracks), indent=1) + "\n"
    if options.json is not None:
        options.json.write_text(text)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
