"""Every kind of prompt on the held-out scenes of `training.evaluate`: the same scenes, objects, clicks and strokes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from backend.geometry import masks, strokes
from backend.labelstudio.drafts import near_distance
from backend.segmenter import Prompts
from demo import clicks
from demo.scenes import STYLES, Scene, SceneObject, draw_scene
from masks.measure import intersection_over_union
from tools.quality.pipeline import Logits, Mask, Whole, demo_segmenter, prompts
from tools.training.evaluate import EVALUATION_SEED, Scores, correction, share

SIZE_WH = (1920, 1080)
STROKE_WIDTH = 4.5  # percent of the image's width
CORRECTIONS = (1, 2, 3, 5)
# Whether the answer so far goes into the next prompt as its mask: the values of the backend's setting.
FEEDBACK = {
    "never": "no mask fed back",
    "positive": "mask fed back while all points are positive",
    "always": "mask fed back",
}
ROWS = {
    "point": "one positive point",
    "box": "box",
    "stroke": "brush stroke",
    "box and point": "box and one positive point",
    "point and negative": "positive point and negative point on the neighbour",
    **{
        f"{count} corrected, {feedback}": f"point and {count} corrective click{'s' * (count > 1)}, {text}"
        for feedback, text in FEEDBACK.items()
        for count in CORRECTIONS
    },
    **{f"removed, {feedback}": f"negative point removes the neighbour, {text}, share" for feedback, text in
       FEEDBACK.items() if feedback != "positive"},
}  # fmt: skip


def measure(index: int) -> tuple[str, Scores]:
    """Measure one held-out scene: its style, and a list of values for each of `ROWS`."""
    style = STYLES[index % len(STYLES)]
    scene = draw_scene(np.random.default_rng((EVALUATION_SEED, index)), SIZE_WH, style)
    return style, scene_scores(scene, np.random.default_rng((EVALUATION_SEED, index, 1)))


def scene_scores(scene: Scene, rng: np.random.Generator) -> Scores:
    """All objects of one scene; every list holds one value an object."""
    image = Whole(demo_segmenter(), scene.image)
    scores: Scores = defaultdict(list)
    # In the order of `tools.training.evaluate`, so that both click and paint at the same places.
    points = [clicks.random_inner_point(rng, item.mask) for item in scene.objects]
    ends = [[clicks.random_inner_point(rng, item.mask, share=0.4) for _ in range(2)] for item in scene.objects]
    for number, item in enumerate(scene.objects):
        box = tuple(float(edge) for edge in clicks.box_of(item.mask))
        given = {
            "point": prompts([points[number]], [True]),
            "box": prompts([], [], box),
            "stroke": stroke(np.asarray(ends[number], dtype=np.float64), image.size_wh),
            "box and point": prompts([points[number]], [True], box),
        }
        for row, one in given.items():
            scores[row].append(intersection_over_union(image.mask(one), item.mask))
        for feedback in FEEDBACK:
            _correct(image, item.mask, given["point"], feedback, scores)
        if len(scene.objects) > 1:
            _exclude(image, item, _nearest(points, number, scene), points[number], scores)
    return scores


def stroke(line_xy: np.ndarray[tuple[int, ...], np.dtype[np.float64]], size_wh: tuple[int, int]) -> Prompts:
    """A brush stroke along ``(N, 2)`` pixels, as the backend reads one."""
    touch = strokes.Touch(line_xy / size_wh * 100, STROKE_WIDTH, erases=False)
    painted = strokes.of_touches([touch], size_wh)
    percent = painted.points(near_distance(size_wh))
    found = percent / 100 * size_wh
    return prompts([(float(x), float(y)) for x, y in found], [True] * len(found))


def _correct(image: Whole, want: Mask, first: Prompts, feedback: str, scores: Scores) -> None:
    """Click on the deepest wrong place again and again."""
    given, logits = first, image.logits(first)
    got = masks.full_size(logits, image.size_wh)
    for count in range(1, max(CORRECTIONS) + 1):
        (x, y), label = correction(got, want)
        points = np.concatenate([given.points_xy, np.asarray([[x, y]], dtype=np.float32)])
        is_positive = np.append(given.is_positive, bool(label))
        fed = feedback == "always" or (feedback == "positive" and bool(is_positive.all()))
        given = Prompts(points, is_positive, None, logits if fed else None)
        logits = image.logits(given)
        got = masks.full_size(logits, image.size_wh)
        if count in CORRECTIONS:
            scores[f"{count} corrected, {feedback}"].append(intersection_over_union(got, want))


def _exclude(image: Whole, item: SceneObject, rival: Mask, point: tuple[int, int], scores: Scores) -> None:
    """What a negative point on the neighbour does, see `training.evaluate`: 10 % left of it, 0.7 of the object."""
    negative = clicks.inner_point(rival)
    got = image.mask(prompts([point, negative], [True, False]))
    scores["point and negative"].append(intersection_over_union(got, item.mask))
    both = tuple(float(edge) for edge in clicks.box_of(item.mask | rival))
    before: Logits = image.logits(prompts([], [], both))
    if share(masks.full_size(before, image.size_wh), rival) < 0.5:
        return
    given = prompts([negative], [False], both)
    for feedback, logits in (("never", None), ("always", before)):
        got = image.mask(replace(given, mask_logits=logits))
        done = share(got, rival) < 0.1 and intersection_over_union(got, item.mask) >= 0.7
        scores[f"removed, {feedback}"].append(float(done))


def _nearest(points: list[tuple[int, int]], number: int, scene: Scene) -> Mask:
    gaps = np.linalg.norm(np.asarray(points, dtype=np.float64) - points[number], axis=1)
    gaps[number] = np.inf
    return scene.objects[int(gaps.argmin())].mask
