"""Drawn pairs: a scene in colour, the same scene as a thermal camera beside it sees it, and the exact masks in both.

The thermal camera stands elsewhere: a known similarity takes the ground from one picture to the other, and each thing
lies beside that by its parallax. Some things are as warm as their ground and do not show, some have a hot part.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo import palette, textures
from demo.clicks import inner_point
from demo.scenes import STYLES, draw_scene
from masks.arrays import Mask

Matrix = NDArray[np.float64]
Grey = NDArray[np.float32]

SIZE_WH = (640, 480)
SEED = 29
COLOUR_STYLES = tuple(style for style in STYLES if style != "thermal")
DEGREES, SCALE, SHIFT_PX = 3.0, 0.05, 20.0  # of the ground's similarity, at most
SMALLER = (0.2, 0.6)  # of a scene's usual things, in every other scene
UNSEEN, WITH_HOT_PART = 0.15, 0.25  # shares of the things
LEAST_AREA = 150  # pixels of the thermal picture: what is cut off or hidden more is no thing to measure


@dataclass(frozen=True)
class Thing:
    """One thing.

    Attributes:
        rgb, thermal: its masks, ``(H, W)`` bool.
        is_seen: whether the thermal picture shows it.
    """

    rgb: Mask
    thermal: Mask
    is_seen: bool


@dataclass(frozen=True)
class DrawnPair:
    """A pair of one size.

    Attributes:
        matrix: pixels of the ground in the colour picture to pixels of the thermal one: what a registration finds.
        thermal: ``(H, W, 3)`` uint8, three equal channels.
    """

    rgb: NDArray[np.uint8]
    thermal: NDArray[np.uint8]
    matrix: Matrix
    things: tuple[Thing, ...]


def draw_pair(index: int, parallax_px: float) -> DrawnPair:
    """Pair number `index`: always the same scene, rig and temperatures, with things this far beside the ground.

    Args:
        parallax_px: of each thing, in a direction of the rig's own, from half of it to all of it.
    """
    rng = np.random.default_rng((SEED, index))
    style, shrink = COLOUR_STYLES[index // 2 % len(COLOUR_STYLES)], SMALLER if index % 2 else None
    scene = draw_scene(rng, SIZE_WH, style, shrink=shrink)
    matrix, baseline = _ground(rng), rng.uniform(0, 2 * np.pi)
    picture = _cold_ground(rng)
    masks: list[Mask] = []
    seen: list[bool] = []
    for item in scene.objects:
        moved = parallax_px * rng.uniform(0.5, 1.0) * np.array([np.cos(baseline), np.sin(baseline)])
        shifted = np.array([[1, 0, moved[0]], [0, 1, moved[1]], [0, 0, 1]]) @ matrix
        drawn = cv2.warpPerspective(item.mask.astype(np.float32), shifted, SIZE_WH, flags=cv2.INTER_LINEAR)
        cover = np.asarray(drawn, dtype=np.float32)
        mask = np.asarray(cover >= 0.5)
        masks = [*(earlier & ~mask for earlier in masks), mask]
        seen.append(_paint(rng, picture, cover, mask))
    noisy = cv2.GaussianBlur(picture, (0, 0), 1.0) + rng.normal(0, 3, picture.shape)
    thermal = np.repeat(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    things = (Thing(item.mask, *one) for item, one in zip(scene.objects, zip(masks, seen, strict=True), strict=True))
    return DrawnPair(scene.image, thermal, matrix, tuple(one for one in things if one.thermal.sum() >= LEAST_AREA))


def _ground(rng: np.random.Generator) -> Matrix:
    """Turned and scaled at the middle, then moved."""
    angle, scale = np.deg2rad(rng.uniform(-DEGREES, DEGREES)), 1 + rng.uniform(-SCALE, SCALE)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    middle = (np.asarray(SIZE_WH) - 1) / 2
    turn = np.array([[a, -b], [b, a]])
    return np.vstack([np.column_stack([turn, middle - turn @ middle + rng.uniform(-SHIFT_PX, SHIFT_PX, 2)]), [0, 0, 1]])


def _cold_ground(rng: np.random.Generator) -> Grey:
    cold = float(rng.uniform(40, 90))
    mix = 0.6 * textures.gradient(SIZE_WH, rng.uniform(0, 2 * np.pi)) + 0.8 * textures.clouds(rng, SIZE_WH, 4)
    return np.asarray(cold + 12 * mix + 4 * textures.clouds(rng, SIZE_WH, 30), dtype=np.float32)


def _paint(rng: np.random.Generator, picture: Grey, cover: Grey, mask: Mask) -> bool:
    """Blend one thing into the thermal picture, in place; returns whether it is seen."""
    warmth, is_seen, is_hot = (
        float(palette.grey(rng.uniform(105, 200))[0]),
        *(rng.random(2) >= (UNSEEN, 1 - WITH_HOT_PART)),
    )
    shade = 8 * textures.gradient(SIZE_WH, rng.uniform(0, 2 * np.pi))
    if not is_seen or not mask.any():
        return False
    picture += (warmth + shade - picture) * cover
    if is_hot:
        x, y = inner_point(mask)
        radius = 0.3 * float(np.sqrt(mask.sum() / np.pi))
        hot = np.zeros_like(cover)
        cv2.circle(hot, (x, y), max(2, round(radius)), 1.0, -1)
        picture += (245 - picture) * np.minimum(hot, cover)
    return True
