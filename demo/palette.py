"""Labels, colours and kinds of shapes for the drawn scenes. Colours are RGB in ``[0, 255]``."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float32]

LABELS = (
    "First-Responder",
    "Civilian",
    "Vegetation",
    "Road",
    "Dirt-Road",
    "Building",
    "Sky",
    "Civilian-Car",
    "Responder-Vehicle",
    "Debris",
    "Command-Post",
)


@dataclass(frozen=True)
class Look:
    """How objects of one label look in the outdoor scenes: their colours and the kinds of shapes they
    take."""

    colours: tuple[tuple[int, int, int], ...]
    kinds: tuple[str, ...]


OUTDOOR = {
    "First-Responder": Look(((240, 120, 30), (250, 225, 60)), ("ellipse", "blob", "box")),
    "Civilian": Look(((150, 50, 170), (40, 80, 200), (225, 70, 120)), ("ellipse", "blob")),
    "Vegetation": Look(((35, 105, 40), (95, 160, 50), (20, 75, 45)), ("blob", "star")),
    "Road": Look(((75, 75, 82), (110, 110, 116)), ("strip",)),
    "Dirt-Road": Look(((160, 118, 75), (190, 150, 100)), ("strip",)),
    "Building": Look(((205, 195, 175), (175, 80, 60), (225, 220, 215)), ("box", "polygon")),
    "Sky": Look(((140, 195, 235), (185, 215, 240)), ("polygon", "ellipse")),
    "Civilian-Car": Look(((200, 35, 40), (35, 70, 170), (235, 235, 240), (25, 25, 30)), ("box",)),
    "Responder-Vehicle": Look(((215, 30, 30), (245, 205, 40)), ("box",)),
    "Debris": Look(((125, 100, 85), (95, 85, 80), (170, 160, 150)), ("star", "polygon", "ring")),
    "Command-Post": Look(((245, 245, 245), (40, 110, 190)), ("polygon", "box")),
}

GROUNDS = ((92, 120, 62), (120, 128, 88), (150, 138, 108), (105, 98, 84), (70, 95, 60), (165, 160, 150))


def vivid(rng: np.random.Generator) -> Colour:
    """A strong colour of any hue."""
    rgb = colorsys.hsv_to_rgb(rng.uniform(0, 1), rng.uniform(0.55, 1.0), rng.uniform(0.45, 1.0))
    return np.asarray(rgb, dtype=np.float32) * np.float32(255)


def grey(level: float) -> Colour:
    """A colour of three equal channels."""
    return np.asarray([level] * 3, dtype=np.float32)


def muted(rng: np.random.Generator) -> Colour:
    """A weak colour for backgrounds."""
    rgb = colorsys.hsv_to_rgb(rng.uniform(0, 1), rng.uniform(0.05, 0.35), rng.uniform(0.3, 0.9))
    return np.asarray(rgb, dtype=np.float32) * np.float32(255)


def jittered(rng: np.random.Generator, rgb: tuple[int, int, int], spread: float = 14.0) -> Colour:
    """A colour near ``rgb``."""
    return np.clip(np.asarray(rgb, dtype=np.float32) + rng.uniform(-spread, spread, 3), 0, 255).astype(np.float32)


def lit(colour: Colour, change: float) -> Colour:
    """The same colour in more light or less: ``change`` 0.3 makes it 30 % brighter, -0.3 darker."""
    return np.clip(colour * np.float32(1 + change), 0, 255).astype(np.float32)


def distance(colour: Colour, others: list[Colour]) -> float:
    """Euclidean RGB distance to the nearest of ``others``; infinite if there are none."""
    return min((float(np.linalg.norm(colour - other)) for other in others), default=float("inf"))
