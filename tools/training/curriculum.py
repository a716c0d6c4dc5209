"""The stages of training, from easy to hard, as they were run for the shipped weights.

Started on the hard scenes, or at the full size, the small model had learnt nothing after thousands of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from demo.scenes import STYLES


@dataclass(frozen=True)
class Stage:
    """One stage of the curriculum.

    Attributes:
        name: names the checkpoint and the pool file.
        styles: scene styles in the pool, in turn.
        scenes: how many scenes the pool holds.
        steps: optimiser steps.
        horizon: steps over which the learning rate warms up (10 %) and falls along a cosine from ``rate`` to
            ``rate * last``; a stage that goes over into the next one early ends before it has fallen all the
            way.
        rate: peak learning rate.
        last: see ``horizon``.
        drawn: side in pixels that the scenes are drawn at.
        size: side in pixels of the model input; the loss is taken on the low-resolution grid, a quarter of
            it.
        clicks: prompts of one click per image and step.
        others: other prompts per image and step.
        foreground: weight of the object's own pixels in the cross-entropy.
        rival: weight of other objects' pixels in the cross-entropy.
        points: probabilities of 0, 1, 2, 3 and 4 points for the other prompts; all of one step have the same
            number.
        rounds: probability that a step goes on with a first and, after it, with a second corrective click.
        basic: clicks and boxes only.
    """

    name: str
    styles: tuple[str, ...]
    scenes: int
    steps: int
    horizon: int
    rate: float
    last: float
    drawn: int
    size: int
    clicks: int
    others: int
    foreground: float
    rival: float
    points: tuple[float, float, float, float, float]
    rounds: tuple[float, float]
    basic: bool = False


HARD = (*STYLES, "thermal", "sar", "cluttered", "cluttered")
MANY = (0.05, 0.0, 0.5, 0.25, 0.2)
FULL = (0.04, 0.0, 0.36, 0.4, 0.2)
BOXES = (0.0, 0.0, 1.0, 0.0, 0.0)
# name, styles, scenes, steps, horizon, rate, last, drawn, size, clicks, others, foreground, rival, points, rounds
CURRICULUM = (
    Stage("easy", ("plain",), 2000, 550, 1500, 8e-4, 0.3, 128, 128, 4, 4, 3.0, 4.0, BOXES, (0.0, 0.0), basic=True),
    Stage("mixed", STYLES, 3000, 500, 1000, 6e-4, 0.2, 128, 128, 3, 3, 1.5, 3.0, MANY, (0.5, 0.4)),
    Stage("large", STYLES, 2000, 100, 900, 6e-4, 0.01, 256, 256, 2, 2, 1.0, 2.0, MANY, (0.5, 0.4)),
    Stage("long", STYLES, 2000, 50, 1200, 5e-4, 0.02, 256, 192, 2, 2, 1.0, 2.0, MANY, (0.5, 0.4)),
    Stage("wide", STYLES, 1600, 350, 1000, 6e-4, 0.1, 128, 128, 3, 3, 1.0, 2.0, MANY, (0.4, 0.3)),
    Stage("calm", STYLES, 1600, 300, 700, 2.5e-4, 0.1, 128, 128, 3, 3, 1.0, 2.0, MANY, (0.4, 0.3)),
    Stage("fine", HARD, 1404, 850, 850, 3e-4, 0.02, 192, 192, 2, 2, 1.0, 2.0, FULL, (0.5, 0.4)),
    Stage("last", HARD, 1800, 700, 700, 3e-4, 0.01, 192, 192, 2, 2, 1.0, 2.0, FULL, (0.6, 0.35)),
    Stage("close", HARD, 1800, 1500, 1500, 4e-4, 0.01, 192, 192, 2, 2, 1.0, 5.0, FULL, (0.6, 0.35)),
    Stage("finish", HARD, 2400, 3000, 3000, 4e-4, 0.01, 192, 192, 2, 2, 1.0, 5.0, FULL, (0.6, 0.35)),
)


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up over the first 10 % of the stage's horizon, then a cosine down to ``rate * last`` at
    its end."""
    warm = max(1, stage.horizon // 10)
    if step < warm:
        return stage.rate * (step + 1) / warm
    fall = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, stage.horizon - warm)))
    return stage.rate * (stage.last + (1 - stage.last) * fall)
