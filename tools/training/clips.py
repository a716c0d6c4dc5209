"""Clips of drawn moving scenes, encoded: what the memory is trained on.

A clip is a window of a scene: from a frame on which its objects are seen, at one speed, in one direction. Most windows
are those in which something happens to an object, so that it is hidden, has left, or is passed by one that is like it;
the longer it is gone, the more often. Scenes in which nothing does are drawn anew for those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn import functional

from demo import model as demo_model
from demo.moving import KINDS, STYLES, MovingScene, draw_moving

SIZE = 192
SCENES, FRAMES, OBJECTS = 2, 10, 2  # in a step; objects a scene. Long enough to be hidden and come back
DRAWN = 28  # frames of a scene, of which a clip is a window
STRIDES, STRIDE_SHARES = (1, 2, 3), (0.5, 0.3, 0.2)  # every so many frames are looked at
KIND_SHARES = (0.2, 0.2, 0.2, 0.2, 0.2)  # of `KINDS`
EVENTFUL = 0.75  # of clips
HIDDEN = 0.4  # of what an object shows on the first frame: below it something has happened


@dataclass(frozen=True)
class Clip:
    """Objects through frames.

    Attributes:
        features: of each frame, finest level first, ``(S, C, h, w)``, without ``no_mem_embed``.
        truth: ``(T, N, s, s)`` float in [0, 1], the share of each low-resolution cell that the object covers.
        rivals: the same for the other objects.
        scene_of: ``(N,)`` which of the S scenes each object is in.
    """

    features: list[list[Tensor]]
    truth: Tensor
    rivals: Tensor
    scene_of: Tensor


def drawn_clip(model: SAM2Base, rng: np.random.Generator) -> Clip:
    """Scenes of random kinds, encoded, with some objects of each that can be seen on the first frame."""
    scenes: list[tuple[MovingScene, list[int], list[int]]] = []
    while len(scenes) < SCENES:
        kind, style = str(rng.choice(KINDS, p=KIND_SHARES)), str(rng.choice(STYLES))
        scene = draw_moving(rng, (SIZE, SIZE), style, kind, DRAWN)
        shown = areas(scene)
        numbers = window(shown, rng)
        if numbers is not None:
            scenes.append((scene, numbers, followed(shown[numbers], rng)))
    frames, truth, rivals = [], [], []
    for place in range(FRAMES):
        images = np.stack([scene.images[numbers[place]] for scene, numbers, _ in scenes])
        with torch.no_grad():
            levels = model.forward_image(demo_model.normalised(images, SIZE))["backbone_fpn"]
            frames.append([level.detach() for level in levels[-model.num_feature_levels :]])
        own, other = [], []
        for scene, numbers, items in scenes:
            owners = torch.from_numpy(scene.owners[numbers[place]])
            for item in items:
                own.append(_cells(owners == item + 1))
                other.append(_cells((owners != item + 1) & (owners > 0)))
        truth.append(torch.stack(own))
        rivals.append(torch.stack(other))
    scene_of = torch.tensor([number for number, (*_, items) in enumerate(scenes) for _ in items])
    return Clip(frames, torch.stack(truth), torch.stack(rivals), scene_of)


def areas(scene: MovingScene) -> NDArray[np.int64]:
    """``(T, N)``: the pixels that each object shows on each frame."""
    return np.stack([(scene.owners == item + 1).sum((1, 2)) for item in range(len(scene.labels))], 1)


def window(shown: NDArray[np.int64], rng: np.random.Generator) -> list[int] | None:
    """The numbers of a clip's frames; None where no window begins with an object, or nothing happens that should.

    Args:
        shown: ``(T, N)``, see `areas`.
    """
    stride = int(rng.choice(STRIDES, p=STRIDE_SHARES))
    span = (FRAMES - 1) * stride + 1
    found = [
        numbers
        for start in range(len(shown) - span + 1)
        for forward in [list(range(start, start + span, stride))]
        for numbers in (forward, forward[::-1])
        if _seen(shown[numbers]).any()
    ]
    if not found:
        return None
    weights = np.array([_happening(shown[numbers]) for numbers in found])
    if rng.random() >= EVENTFUL:
        weights = np.ones(len(found))
    elif not weights.any():
        return None
    return found[int(rng.choice(len(found), p=weights / weights.sum()))]


def followed(shown: NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    """Some objects that the first frame of a clip shows; those first to which something happens.

    Args:
        shown: ``(T, N)`` of the clip's frames.
    """
    items = [int(one) for one in rng.permutation(np.flatnonzero(_seen(shown)))]
    items.sort(key=lambda item: -_happening(shown[:, [item]]))
    return items[:OBJECTS]


def _seen(shown: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(shown[0] > SIZE)


def _happening(shown: NDArray[np.int64]) -> int:
    """0 where all objects stay in sight; else the frames on which the one that is gone longest is gone, and one."""
    mine = shown[:, _seen(shown)]
    hidden = bool((mine < HIDDEN * mine[0]).any())
    return 1 + int((mine == 0).sum(0).max()) if hidden else 0


def _cells(mask: Tensor) -> Tensor:
    """``(S, S)`` bool to the share of each low-resolution cell, ``(S / 4, S / 4)``."""
    return functional.avg_pool2d(mask.float()[None], 4)[0]
