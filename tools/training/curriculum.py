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
CURRICULUM = (
    Stage(
        name="easy",
        styles=("plain",),
        scenes=2000,
        steps=550,
        horizon=1500,
        rate=8e-4,
        last=0.3,
        drawn=128,
        size=128,
        clicks=4,
        others=4,
        foreground=3.0,
        rival=4.0,
        points=(0, 0, 1, 0, 0),
        rounds=(0, 0),
        basic=True,
    ),
    Stage(
        name="mixed",
        styles=STYLES,
        scenes=3000,
        steps=500,
        horizon=1000,
        rate=6e-4,
        last=0.2,
        drawn=128,
        size=128,
        clicks=3,
        others=3,
        foreground=1.5,
        rival=3.0,
        points=MANY,
        rounds=(0.5, 0.4),
    ),
    Stage(
        name="large",
        styles=STYLES,
        scenes=2000,
        steps=100,
        horizon=900,
        rate=6e-4,
        last=0.01,
        drawn=256,
        size=256,
        clicks=2,
        others=2,
        foreground=1.0,
        rival=2.0,
        points=MANY,
        rounds=(0.5, 0.4),
    ),
    Stage(
        name="long",
        styles=STYLES,
        scenes=2000,
        steps=50,
        horizon=1200,
        rate=5e-4,
        last=0.02,
        drawn=256,
        size=192,
        clicks=2,
        others=2,
        foreground=1.0,
        rival=2.0,
        points=MANY,
        rounds=(0.5, 0.4),
    ),
    Stage(
        name="wide",
        styles=STYLES,
        scenes=1600,
        steps=350,
        horizon=1000,
        rate=6e-4,
        last=0.1,
        drawn=128,
        size=128,
        clicks=3,
        others=3,
        foreground=1.0,
        rival=2.0,
        points=MANY,
        rounds=(0.4, 0.3),
    ),
    Stage(
        name="calm",
        styles=STYLES,
        scenes=1600,
        steps=300,
        horizon=700,
        rate=2.5e-4,
        last=0.1,
        drawn=128,
        size=128,
        clicks=3,
        others=3,
        foreground=1.0,
        rival=2.0,
        points=MANY,
        rounds=(0.4, 0.3),
    ),
    Stage(
        name="fine",
        styles=HARD,
        scenes=1404,
        steps=850,
        horizon=850,
        rate=3e-4,
        last=0.02,
        drawn=192,
        size=192,
        clicks=2,
        others=2,
        foreground=1.0,
        rival=2.0,
        points=(0.04, 0.0, 0.36, 0.4, 0.2),
        rounds=(0.5, 0.4),
    ),
    Stage(
        name="last",
        styles=HARD,
        scenes=1800,
        steps=700,
        horizon=700,
        rate=3e-4,
        last=0.01,
        drawn=192,
        size=192,
        clicks=2,
        others=2,
        foreground=1.0,
        rival=2.0,
        points=(0.04, 0.0, 0.36, 0.4, 0.2),
        rounds=(0.6, 0.35),
    ),
    Stage(
        name="close",
        styles=HARD,
        scenes=1800,
        steps=1500,
        horizon=1500,
        rate=4e-4,
        last=0.01,
        drawn=192,
        size=192,
        clicks=2,
        others=2,
        foreground=1.0,
        rival=5.0,
        points=(0.04, 0.0, 0.36, 0.4, 0.2),
        rounds=(0.6, 0.35),
    ),
    Stage(
        name="finish",
        styles=HARD,
        scenes=2400,
        steps=3000,
        horizon=3000,
        rate=4e-4,
        last=0.01,
        drawn=192,
        size=192,
        clicks=2,
        others=2,
        foreground=1.0,
        rival=5.0,
        points=(0.04, 0.0, 0.36, 0.4, 0.2),
        rounds=(0.6, 0.35),
    ),
)


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up over the first 10 % of the stage's horizon, then a cosine down to ``rate * last`` at
    its end."""
    warm = max(1, stage.horizon // 10)
    if step < warm:
        return stage.rate * (step + 1) / warm
    fall = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, stage.horizon - warm)))
    return stage.rate * (stage.last + (1 - stage.last) * fall)
