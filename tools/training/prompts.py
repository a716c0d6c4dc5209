"""Prompts for training: what an annotator could have done to mean a given object, drawn at random.

Points are in pixels of the square model input, columns ``x, y``, measured from its top left corner (as
SAM2ImagePredictor scales them: ``x / W * R``). Labels are SAM's: 1 positive, 0 negative, 2 and 3 the
corners of a box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from demo.model import LOGIT_LIMIT

Mask = NDArray[np.bool_]
Point = tuple[float, float, int]

# kinds of first prompts by their number of points, with their weights: to begin with, and in full
BASIC_KINDS: dict[int, dict[str, float]] = {1: {"click": 1.0}, 2: {"box": 1.0}}
KINDS_BY_POINTS: dict[int, dict[str, float]] = {
    0: {"brush": 1.0},
    1: {"click": 0.9, "brush": 0.1},
    2: {"box": 0.4, "click+neg": 0.15, "clicks": 0.07, "pair": 0.1, "pair box": 0.28},
    3: {"box+neg": 0.6, "box+click": 0.1, "brush": 0.2, "click+neg": 0.1},
    4: {"brush": 0.5, "clicks": 0.2, "pair-neg": 0.3},
}


@dataclass
class Prompt:
    """One prompt and the objects it means: ``target`` and, for a pair, also ``partner`` (numbers in the
    owner map)."""

    points: list[Point]
    target: int
    partner: int | None = None
    brush: Mask | None = None


def first_prompt(rng: np.random.Generator, owner: NDArray[np.uint8], kind: str, points: int) -> Prompt:
    """Draw one prompt of a kind from ``KINDS_BY_POINTS`` with the given number of points.

    Kinds that need a neighbour become simpler ones where the scene has one object only.
    """
    present = np.unique(owner)
    present = present[present > 0]
    target = int(rng.choice(present))
    mask = owner == target
    others = present[present != target]
    partner = int(rng.choice(others)) if len(others) else None
    if kind == "brush":
        return _brush(rng, mask, target, points)
    if kind == "box":
        return Prompt(_box(rng, mask), target)
    if kind == "box+click":
        return Prompt([*_box(rng, mask), _inside(rng, mask, 1)], target)
    if kind == "click+neg":
        negatives = [_outside(rng, owner, target, partner) for _ in range(points - 1)]
        return Prompt([_inside(rng, mask, 1), *negatives], target)
    if partner is not None:
        second = owner == partner
        if kind == "pair":
            return Prompt([_inside(rng, mask, 1), _inside(rng, second, 1)], target, partner)
        if kind == "pair box":
            return Prompt(_box(rng, mask | second), target, partner)
        if kind == "box+neg":
            both = _box(rng, mask | second) if rng.random() < 0.6 else _box(rng, mask)
            return Prompt([*both, _inside(rng, second, 0)], target)
        if kind == "pair-neg":
            clicks = [_inside(rng, mask, 1), _inside(rng, second, 1)]
            return Prompt([*clicks, _inside(rng, second, 0), _inside(rng, mask, 1)], target)
    elif kind == "box+neg":
        return Prompt([*_box(rng, mask), _outside(rng, owner, target, None)], target)
    return Prompt([_inside(rng, mask, 1) for _ in range(points)], target)


def stroke_logits(brush: Mask, size: int, strength: float) -> NDArray[np.float32]:
    """A brush stroke as a mask prompt: ``+strength`` where at least half covered, else ``-strength``;
    ``(size, size)``."""
    cover = functional.adaptive_avg_pool2d(torch.from_numpy(brush)[None].float(), size)[0].numpy()
    return np.where(cover >= 0.5, strength, -strength).astype(np.float32)


def painted_stroke(start: tuple[float, float], end: tuple[float, float], side: int, radius: float) -> Mask:
    """A straight brush stroke with round ends on a square of ``side`` pixels, ``(side, side)`` bool; all in
    pixels."""
    (x0, y0), (x1, y1) = start, end
    ys, xs = np.mgrid[0:side, 0:side] + 0.5
    length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-6)
    along = np.clip(((xs - x0) * (x1 - x0) + (ys - y0) * (y1 - y0)) / length, 0, 1)
    off = np.hypot(xs - x0 - along * (x1 - x0), ys - y0 - along * (y1 - y0))
    return np.asarray(off <= radius)


def correction(rng: torch.Generator, logits: Tensor, target: Tensor, image_size: int) -> tuple[Tensor, Tensor]:
    """A corrective click for each answer, in the part that is wrong; inside the object where nothing is.

    Args:
        rng: source of randomness.
        logits: ``(N, s, s)`` the answer so far.
        target: ``(N, s, s)`` float, the share of each cell that the object covers.
        image_size: side of the model input in pixels.

    Returns:
        ``(N, 1, 2)`` points and ``(N, 1)`` labels: 1 where something is missing, 0 where there is too much.
    """
    size, wanted = logits.shape[-1], target > 0.5
    wrong = (logits > 0) != wanted
    wrong = torch.where(wrong.flatten(1).any(1).view(-1, 1, 1), wrong, wanted)
    thick = functional.avg_pool2d(wrong[:, None].float(), 5, stride=1, padding=2)[:, 0]
    score = (thick + 0.4 * torch.rand(thick.shape, generator=rng)) * wrong
    place = score.flatten(1).argmax(1)
    shift = torch.rand((len(place), 2), generator=rng)
    cell = torch.stack([place % size, torch.div(place, size, rounding_mode="floor")], dim=1)
    points = (cell + shift) * (image_size / size)
    labels = wanted.flatten(1).gather(1, place[:, None]).int()
    return points[:, None], labels


def as_mask_prompt(logits: Tensor) -> Tensor:
    """An earlier answer ``(N, s, s)`` as the next mask prompt ``(N, 1, s, s)``, limited as SAM 2 limits
    it."""
    return logits.detach()[:, None].clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def _inside(rng: np.random.Generator, mask: Mask, label: int) -> Point:
    """A point anywhere in the mask, more often well inside than at its edge."""
    ys, xs = np.nonzero(mask)
    reach = max(1, int(len(ys) ** 0.5 * 0.12))
    for _ in range(4):
        index = int(rng.integers(len(ys)))
        x, y = int(xs[index]), int(ys[index])
        if mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].all():
            break
    return (x + float(rng.random()), y + float(rng.random()), label)


def _outside(rng: np.random.Generator, owner: NDArray[np.uint8], target: int, partner: int | None) -> Point:
    if partner is not None and rng.random() < 0.7:
        return _inside(rng, owner == partner, 0)
    return _inside(rng, owner != target, 0)


def _box(rng: np.random.Generator, mask: Mask) -> list[Point]:
    """The box around the mask, each side moved by a few percent of its length."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1
    spread = (high - low) * rng.choice([0.01, 0.05, 0.12], p=[0.4, 0.4, 0.2])
    first, last = low + rng.normal(0, 1, 2) * spread, high + rng.normal(0, 1, 2) * spread
    limit = mask.shape[0]
    first, last = np.clip(first, 0, limit), np.clip(last, 0, limit)
    return [(float(first[0]), float(first[1]), 2), (float(last[0]), float(last[1]), 3)]


def _brush(rng: np.random.Generator, mask: Mask, target: int, points: int) -> Prompt:
    """A stroke between two places in the object, as a painted mask and as points along it."""
    (x0, y0, _), (x1, y1, _) = _inside(rng, mask, 1), _inside(rng, mask, 1)
    side = mask.shape[0]
    brush = painted_stroke((x0, y0), (x1, y1), side, side * rng.uniform(0.018, 0.05))
    if rng.random() < 0.5:
        brush &= mask
    ends = np.linspace(0, 1, points) if points > 1 else np.array([0.5] * points)
    line = [(float(x0 + t * (x1 - x0)), float(y0 + t * (y1 - y0)), 1) for t in ends]
    marks = [mark if mask[int(mark[1]), int(mark[0])] else _inside(rng, mask, 1) for mark in line]
    return Prompt(marks, target, brush=brush if points == 0 or rng.random() < 0.6 else None)
