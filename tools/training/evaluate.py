"""Measure the shipped demo model on held-out drawn scenes.

    python -m tools.training.evaluate [--scenes 200] [--size 1920x1080] [--json FILE]

prints a Markdown table, one column per style. Every scene is drawn from ``EVALUATION_SEED``, which training
never uses.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base

from demo import clicks, images
from demo.scenes import STYLES, Scene, draw_scene
from masks.measure import intersection_over_union
from tools.training import segment
from tools.training.prompts import painted_stroke, stroke_logits

log = logging.getLogger("tools.training.evaluate")

EVALUATION_SEED = 90_210
STROKE_STRENGTH = 10.0

ROWS = {
    "click": "one click, best of three by the model's own estimate, mean IoU",
    "corrected once": "after 1 corrective click (previous mask fed back), mean IoU",
    "corrected twice": "after 2 corrective clicks, mean IoU",
    "box": "box, single mask, mean IoU",
    "box of three": "box, best of three, mean IoU",
    "click and negative": "click on the object and negative click on its neighbour, mean IoU",
    "stroke points": "brush stroke as 3 points, mean IoU",
    "stroke mask and points": "brush stroke as mask prompt and 3 points, mean IoU",
    "stroke mask": "brush stroke as mask prompt alone, mean IoU",
    "pair covered": "box around two objects covers the second, share",
    "negative removes": "... and a negative click on it removes it, share",
    "negative removes, no mask": "... the same without the previous mask, share",
}

COLUMNS = ("all", *STYLES)
Scores = dict[str, list[float]]
Table = dict[str, dict[str, float]]


def main(argv: list[str] | None = None) -> int:
    """Run the evaluation; the table goes to stdout."""
    parser = argparse.ArgumentParser(prog="python -m tools.training.evaluate", description="Measure the demo model.")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--size", type=_size, default=(1920, 1080), help="WIDTHxHEIGHT of the scenes in pixels")
    parser.add_argument("--json", type=Path, help="file for the figures as JSON")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    torch.set_num_threads(options.threads)
    model = segment.load_model()
    table = evaluate(model, options.scenes, options.size)
    by_click, by_box = demo_images_scores(model)
    if options.json:
        figures = {"held out": table, "demo images": {"click": by_click, "box": by_box}}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    sys.stdout.write(markdown("measured", ROWS, table))
    sys.stdout.write(f"\nThe demo images: click {by_click:.3f}, box {by_box:.3f}, mean IoU\n")
    return 0


def evaluate(model: SAM2Base, scenes: int, size_wh: tuple[int, int]) -> Table:
    """Means over the held-out scenes."""
    found = []
    for index in range(scenes):
        style = STYLES[index % len(STYLES)]
        scene = draw_scene(np.random.default_rng((EVALUATION_SEED, index)), size_wh, style)
        found.append((style, scene_scores(model, scene, np.random.default_rng((EVALUATION_SEED, index, 1)))))
        if (index + 1) % 20 == 0:
            log.info("%d of %d scenes", index + 1, scenes)
    return means(found, ROWS)


def means(scenes: Sequence[tuple[str, Scores]], rows: Iterable[str]) -> Table:
    """Means over scenes of a style each: ``{row: {style or "all": value}}``; a style without a value is absent."""
    table: Table = {}
    for row in rows:
        values = {
            column: [value for style, scores in scenes if column in ("all", style) for value in scores.get(row, [])]
            for column in COLUMNS
        }
        table[row] = {column: float(np.mean(of_column)) for column, of_column in values.items() if of_column}
    return table


def demo_images_scores(model: SAM2Base) -> tuple[float, float]:
    """Mean IoU on the demo images as they are shipped: with their own click, and with their own box."""
    by_click, by_box = [], []
    for index in range(images.COUNT):
        scene = images.demo_scene(index)
        picture = segment.Picture(model, scene.image)
        for item in scene.objects:
            point = np.array([[clicks.inner_point(item.mask)]], dtype=np.float64)
            box = np.reshape(clicks.box_of(item.mask), (1, 2, 2)).astype(np.float64)
            clicked = picture.predict(point, np.array([[1]]), candidates=True)
            boxed = picture.predict(box, np.array([[2, 3]]), candidates=False)
            by_click.append(intersection_over_union(clicked.masks[0], item.mask))
            by_box.append(intersection_over_union(boxed.masks[0], item.mask))
    return float(np.mean(by_click)), float(np.mean(by_box))


def scene_scores(model: SAM2Base, scene: Scene, rng: np.random.Generator) -> Scores:
    """Every measurement on one scene: a list of values per row of ``ROWS``."""
    picture = segment.Picture(model, scene.image)
    masks = [item.mask for item in scene.objects]
    scores: Scores = defaultdict(list)
    points = np.array([[clicks.random_inner_point(rng, mask)] for mask in masks], dtype=np.float64)
    ones = np.ones(points.shape[:2], dtype=np.int64)
    boxes = np.array([np.reshape(clicks.box_of(mask), (2, 2)) for mask in masks], dtype=np.float64)
    corners = np.tile([2, 3], (len(masks), 1))

    def note(row: str, answer: segment.Answer) -> None:
        scores[row] += map(intersection_over_union, answer.masks, masks)

    answer = picture.predict(points, ones, candidates=True)
    note("click", answer)
    corrected_points, corrected_labels = points, ones
    for row in ("corrected once", "corrected twice"):
        extra = [correction(got, want) for got, want in zip(answer.masks, masks, strict=True)]
        corrected_points = np.concatenate([corrected_points, [[point] for point, _ in extra]], axis=1)
        corrected_labels = np.concatenate([corrected_labels, [[label] for _, label in extra]], axis=1)
        answer = picture.predict(corrected_points, corrected_labels, answer.logits, candidates=False)
        note(row, answer)
    note("box", picture.predict(boxes, corners, candidates=False))
    note("box of three", picture.predict(boxes, corners, candidates=True))

    ends = [[clicks.random_inner_point(rng, mask, share=0.4) for _ in range(2)] for mask in masks]
    strokes = np.array([[a, np.add(a, b) / 2, b] for a, b in ends], dtype=np.float64)
    size = model.image_size // 4
    scale = model.image_size / np.array(picture.size_wh)
    painted = [_paint(line, scale, model.image_size) for line in strokes]
    brush = torch.from_numpy(np.stack([stroke_logits(item, size, STROKE_STRENGTH) for item in painted]))
    three = np.ones(strokes.shape[:2], dtype=np.int64)
    note("stroke points", picture.predict(strokes, three, candidates=False))
    note("stroke mask and points", picture.predict(strokes, three, brush, candidates=False))
    note("stroke mask", picture.predict(strokes[:, :0], three[:, :0], brush, candidates=False))
    if len(masks) > 1:
        _pair_scores(picture, masks, points, scores)
    return scores


def _pair_scores(
    picture: segment.Picture, masks: list[segment.Mask], points: NDArray[np.float64], scores: Scores
) -> None:
    """Each object with its nearest neighbour: what a negative click on the neighbour does.

    A removal counts where the box around both had covered at least half of the neighbour; it succeeds if
    afterwards less than 10 % of the neighbour is covered and the object itself has an IoU of 0.7 or more.
    """
    places = points[:, 0]
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.argmin(1)
    rivals = [masks[index] for index in nearest]
    boxes = np.array(
        [np.reshape(clicks.box_of(mask | rival), (2, 2)) for mask, rival in zip(masks, rivals, strict=True)],
        dtype=np.float64,
    )
    corners = np.tile([2, 3], (len(masks), 1))
    negatives = np.array([[clicks.inner_point(rival)] for rival in rivals], dtype=np.float64)
    zeros = np.zeros((len(masks), 1), dtype=np.int64)
    pair = picture.predict(boxes, corners, candidates=True)
    covered = [share(got, rival) >= 0.5 for got, rival in zip(pair.masks, rivals, strict=True)]
    scores["pair covered"] += [float(value) for value in covered]
    both, both_labels = np.concatenate([boxes, negatives], axis=1), np.concatenate([corners, zeros], axis=1)
    for row, logits in (("negative removes", pair.logits), ("negative removes, no mask", None)):
        answer = picture.predict(both, both_labels, logits, candidates=False)
        for got, mask, rival, counts in zip(answer.masks, masks, rivals, covered, strict=True):
            if counts:
                scores[row].append(float(share(got, rival) < 0.1 and intersection_over_union(got, mask) >= 0.7))
    clicked = np.concatenate([points, negatives], axis=1)
    answer = picture.predict(clicked, np.concatenate([zeros + 1, zeros], axis=1), candidates=False)
    scores["click and negative"] += [
        intersection_over_union(got, mask) for got, mask in zip(answer.masks, masks, strict=True)
    ]


def markdown(head: str, rows: Mapping[str, str], table: Table) -> str:
    """A line for each row with a column for each style: IoU with three decimals, shares in percent."""
    lines = [f"| {head} | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for row, text in rows.items():
        form = "{:.1%}" if text.endswith("share") else "{:.3f}"
        cells = [form.format(table[row][column]) if column in table[row] else "-" for column in COLUMNS]
        lines.append(f"| {text} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _paint(line: NDArray[np.float64], scale: NDArray[np.float64], side: int) -> segment.Mask:
    (x0, y0), (x1, y1) = line[0] * scale, line[-1] * scale
    return painted_stroke((float(x0), float(y0)), (float(x1), float(y1)), side, side * 0.03)


def correction(got: segment.Mask, want: segment.Mask) -> tuple[tuple[int, int], int]:
    """The deepest point of the wrong part, and its label; a point in the object where nothing is wrong."""
    wrong = got != want
    x, y = clicks.inner_point(wrong if wrong.any() else want)
    return (x, y), int(want[y, x])


def share(got: segment.Mask, part: segment.Mask) -> float:
    """How much of a part the answer covers, 0 to 1."""
    return int((got & part).sum()) / int(part.sum())


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, for instance 1920x1080, got {text!r}")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
