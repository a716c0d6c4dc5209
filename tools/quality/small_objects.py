"""Small objects in large images: the whole image against a piece around the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.geometry import crop
from demo import clicks
from demo.scenes import STYLES, draw_scene
from masks.measure import intersection_over_union
from tools.quality.pipeline import Whole, demo_segmenter, prompts
from tools.training.evaluate import EVALUATION_SEED

SIZE_WH = (6000, 4000)
SHRINK = (0.02, 0.8)
OBJECTS = 8
EVERY_SIZE = 1e9
# Upper limits of the classes of size, in cells of the whole image's logits.
CLASSES = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0)


@dataclass(frozen=True)
class ObjectScore:
    """One object and one kind of prompt.

    Attributes:
        cells: the longer side of its box in cells of the whole image's logits.
        kind: `point` or `box`.
        whole: IoU of the answer from the whole image.
        piece: IoU where a piece is always taken, however large the object, if there is one.
        chosen: IoU with the threshold as shipped.
    """

    cells: float
    kind: str
    whole: float
    piece: float
    chosen: float


def measure(index: int) -> list[ObjectScore]:
    """Measure all objects of one held-out scene."""
    style = STYLES[index % len(STYLES)]
    rng = np.random.default_rng((EVALUATION_SEED, index, 2))
    scene = draw_scene(rng, SIZE_WH, style, count=OBJECTS, shrink=SHRINK)
    image = Whole(demo_segmenter(), scene.image)
    found = []
    for item in scene.objects:
        if not item.mask.any():
            continue
        box = clicks.box_of(item.mask)
        cells = (
            max((box[2] - box[0]) / SIZE_WH[0], (box[3] - box[1]) / SIZE_WH[1])
            * demo_segmenter().input_side
            / crop.CELL
        )
        # The grid of `clicks` is coarser than these objects: find the place to click in their own box.
        x, y = clicks.random_inner_point(rng, item.mask[box[1] : box[3], box[0] : box[2]])
        given = {
            "point": prompts([(box[0] + x + 0.5, box[1] + y + 0.5)], [True]),
            "box": prompts([], [], tuple(float(edge) for edge in box)),
        }
        for kind, prompt in given.items():
            by_whole = intersection_over_union(image.mask(prompt), item.mask)
            piece = image.piece_for(prompt, EVERY_SIZE)
            mask = None if piece is None else image.closer(piece, prompt)
            by_piece = by_whole if mask is None else intersection_over_union(mask, item.mask)
            is_small = image.piece_for(prompt) is not None
            found.append(ObjectScore(cells, kind, by_whole, by_piece, by_piece if is_small else by_whole))
    return found


def by_size(found: Sequence[ObjectScore], kind: str) -> list[tuple[str, int, float, float, float]]:
    """Rows ``(class, number of objects, mean IoU whole, always a piece, as shipped)``, smallest first."""
    rows, low = [], 0.0
    for high in CLASSES:
        of_class = [one for one in found if one.kind == kind and low <= one.cells < high]
        if of_class:
            whole, piece, chosen = np.mean([(one.whole, one.piece, one.chosen) for one in of_class], axis=0)
            rows.append((f"{low:g} to {high:g}", len(of_class), float(whole), float(piece), float(chosen)))
        low = high
    return rows


def crops_table(found: Sequence[ObjectScore]) -> str:
    """One row for each class of size, point and box side by side."""
    lines = [
        "| longer side in cells | objects | point, whole image | point, always a piece | point, as shipped "
        "| box, whole image | box, always a piece | box, as shipped |",
        "| --- |" + " ---: |" * 7,
    ]
    by_point, by_box = (by_size(found, kind) for kind in ("point", "box"))
    for (name, count, *point), (_, _, *box) in zip(by_point, by_box, strict=True):
        cells = " | ".join(f"{value:.3f}" for value in (*point, *box))
        lines.append(f"| {name} | {count} | {cells} |")
    return "\n".join(lines) + "\n"
