"""Proposals for all objects on the held-out scenes of `training.evaluate`: how many objects they find, and how many of
them are objects.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from demo.scenes import STYLES, Scene, draw_scene
from masks.measure import intersection_over_union
from tools.quality.pipeline import Whole, demo_segmenter
from tools.quality.prompt_kinds import SIZE_WH
from tools.training.evaluate import EVALUATION_SEED, Scores

FOUND = 0.75  # IoU from which on a proposal is that object
ROWS = {
    "iou": "mean IoU of the object's best proposal",
    "recall": f"objects with a proposal of IoU {FOUND} or more, share",
    "precision": f"proposals with an IoU of {FOUND} or more with an object, share",
    "again": "proposals beyond the first of an object, share",
}


def measure(index: int) -> tuple[str, Scores]:
    """Measure one held-out scene: its style, and a list of values for each of `ROWS`."""
    style = STYLES[index % len(STYLES)]
    return style, scene_scores(draw_scene(np.random.default_rng((EVALUATION_SEED, index)), SIZE_WH, style))


def scene_scores(scene: Scene) -> Scores:
    """One value an object for `iou` and `recall`, one a proposal for the others."""
    scores: Scores = defaultdict(list)
    proposals = Whole(demo_segmenter(), scene.image).everything()
    overlaps = np.asarray(
        [[intersection_over_union(one, item.mask) for one in proposals] for item in scene.objects], dtype=np.float64
    ).reshape(len(scene.objects), len(proposals))
    best = overlaps.max(axis=1, initial=0.0)
    scores["iou"] = best.tolist()
    scores["recall"] = (best >= FOUND).astype(float).tolist()
    scores["precision"] = (overlaps.max(axis=0, initial=0.0) >= FOUND).astype(float).tolist()
    seen: set[int] = set()
    for of_proposal in overlaps.T:
        number = int(of_proposal.argmax())
        is_object = of_proposal[number] >= FOUND
        scores["again"].append(float(is_object and number in seen))
        if is_object:
            seen.add(number)
    return scores
