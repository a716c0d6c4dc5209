"""Drawn scenes that move, with exact masks of every frame: what the demo model's memory is trained and measured on.

``draw_moving`` is a pure function of the generator's state, as ``demo.scenes.draw_scene`` is. Objects keep their
outline, colour and surface; they move, turn and grow. Five kinds take turns:

- ``motion``: objects move and turn
- ``scale``: they come nearer or go farther away too
- ``occlusion``: they pass behind a post, which is no object, and wholly so for some frames
- ``leaving``: one leaves the picture and comes back
- ``alike``: two of one outline and one colour cross each other's way
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from demo import palette, scenes, shapes

KINDS = ("motion", "scale", "occlusion", "leaving", "alike")
STYLES = ("plain", "textured", "thermal", "sar")
RADIUS = (0.09, 0.17)
SPEED = (0.008, 0.03)  # of the picture's side, a frame
TURN = 0.06  # radians a frame, at most
SWING = 0.35  # of the logarithm of the size, at most
POST = (0.12, 0.2)
GONE = (4, 9)  # frames outside, with those on the way
EDGE_FRAMES = 3  # from inside to outside


@dataclass(frozen=True)
class MovingScene:
    """Frames and what is in them.

    Attributes:
        images: ``(T, H, W, 3)`` uint8, RGB.
        owners: ``(T, H, W)`` uint8: 0 for the ground and for the post, ``i + 1`` for the part of object ``i`` that can
            be seen.
        labels: of the objects, in the order of drawing; later ones lie above.
        kind: one of ``KINDS``.
        style: one of ``STYLES``.
    """

    images: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    labels: tuple[str, ...]
    kind: str
    style: str

    def mask(self, frame: int, item: int) -> NDArray[np.bool_]:
        """``(H, W)`` bool, the part of object ``item`` that can be seen on a frame."""
        return np.asarray(self.owners[frame] == item + 1)


@dataclass(frozen=True)
class _Mover:
    """One object. Lengths are in units of the picture's side ``sqrt(W * H)``, times in frames."""

    outline: shapes.Points
    colour: palette.Colour
    surface: int  # seed
    label: str
    radius: float
    start: NDArray[np.float64]
    step: NDArray[np.float64]
    turn: float
    swing: float
    period: float
    away: tuple[int, int] | None = None

    def points(self, frame: int, extent: NDArray[np.float64]) -> shapes.Points:
        """The outline on a frame."""
        size = self.radius * np.exp(self.swing * np.sin(2 * np.pi * frame / self.period))
        angle = self.turn * frame
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = _bounced(self.start + self.step * frame, self.radius * 0.7, extent)
        if self.away is not None:
            centre = centre + self._outward(centre, extent, float(size)) * self._gone(frame)
        return np.asarray(self.outline @ rotation * size + centre)

    def _gone(self, frame: int) -> float:
        """0 inside, 1 outside, and what lies between on the way."""
        begins, ends = self.away or (0, 0)
        out, back = (frame - begins) / EDGE_FRAMES, (ends - frame) / EDGE_FRAMES
        return float(np.clip(min(out, back), 0, 1))

    def _outward(self, centre: NDArray[np.float64], extent: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        """Over the nearer of the edges on the left and on the right, until nothing is seen."""
        left = centre[0] < extent[0] / 2
        far = -(centre[0] + 1.1 * size) if left else extent[0] - centre[0] + 1.1 * size
        return np.array([far, 0.0])


def draw_moving(rng: np.random.Generator, size_wh: tuple[int, int], style: str, kind: str, frames: int) -> MovingScene:
    """Draw a moving scene.

    Args:
        rng: source of all randomness.
        size_wh: width and height in pixels.
        style: one of ``STYLES``.
        kind: one of ``KINDS``.
        frames: how many.

    Raises:
        ValueError: the style or the kind is unknown, or there are no frames.
    """
    if style not in STYLES or kind not in KINDS:
        raise ValueError(f"unknown style {style!r} or kind {kind!r}; known: {', '.join((*STYLES, *KINDS))}")
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    side = (size_wh[0] * size_wh[1]) ** 0.5
    extent = np.array(size_wh) / side
    ground, used = scenes.background(rng, size_wh, style)
    movers = _movers(rng, kind, style, extent, used, frames)
    post = _post(rng, extent) if kind == "occlusion" else None
    post_colour = palette.grey(float(rng.uniform(10, 60))) if style == "thermal" else palette.muted(rng)
    grain = int(rng.integers(2**63))
    images = np.empty((frames, size_wh[1], size_wh[0], 3), dtype=np.uint8)
    owners = np.zeros((frames, size_wh[1], size_wh[0]), dtype=np.uint8)
    for frame in range(frames):
        picture = ground.copy()
        for number, mover in enumerate(movers, 1):
            raster = shapes.rasterise(mover.points(frame, extent) * side, size_wh, supersample=3)
            if raster.coverage.size:
                scenes.paint(np.random.default_rng(mover.surface), picture, raster, mover.colour, style)
                owners[frame][raster.placed(size_wh)] = number
        if post is not None:
            raster = shapes.rasterise(post * side, size_wh, supersample=3)
            scenes.paint(np.random.default_rng(grain), picture, raster, post_colour, style)
            owners[frame][raster.placed(size_wh)] = 0
        images[frame] = scenes.grained(np.random.default_rng((grain, frame)), picture, style)
    return MovingScene(images, owners, tuple(mover.label for mover in movers), kind, style)


def _movers(
    rng: np.random.Generator,
    kind: str,
    style: str,
    extent: NDArray[np.float64],
    used: list[palette.Colour],
    frames: int,
) -> list[_Mover]:
    count = 2 if kind == "alike" else int(rng.integers(1, 5))
    labels = [str(label) for label in rng.permutation([one for one in palette.LABELS if "Road" not in one])[:count]]
    movers = [_mover(rng, label, kind, style, extent, used) for label in labels]
    if kind == "alike":
        first, second = movers
        movers = [first, replace(second, outline=first.outline, colour=first.colour, surface=first.surface,
                                 radius=first.radius, label=first.label)]  # fmt: skip
    if kind == "leaving" and frames > GONE[0] + 2:
        gone = int(rng.integers(GONE[0], min(GONE[1], frames - 2) + 1))
        begins = int(rng.integers(2, max(3, frames - gone - EDGE_FRAMES)))  # so that it is back before the end
        movers[0] = replace(movers[0], away=(begins, begins + gone + EDGE_FRAMES))
    return movers


def _mover(
    rng: np.random.Generator,
    label: str,
    kind: str,
    style: str,
    extent: NDArray[np.float64],
    used: list[palette.Colour],
) -> _Mover:
    colour = scenes.colour_beside(rng, label, style, used)
    used.append(colour)
    shape = scenes.shape_kind(rng, label, style)
    heading = rng.uniform(0, 2 * np.pi)
    if kind == "occlusion":  # across the post
        heading = rng.choice([0.0, np.pi]) + rng.uniform(-0.3, 0.3)
    step = rng.uniform(*SPEED) * np.array([np.cos(heading), np.sin(heading)])
    radius = float(rng.uniform(*RADIUS))
    return _Mover(
        outline=shapes.outline(rng, "box" if shape == "strip" else shape),
        colour=colour,
        surface=int(rng.integers(2**63)),
        label=label,
        radius=radius,
        start=rng.uniform(0.7 * radius, 1, 2) * (extent - 0.7 * radius),
        step=step,
        turn=float(rng.uniform(-TURN, TURN)),
        swing=float(rng.uniform(0.1, SWING)) if kind == "scale" else 0.0,
        period=float(rng.uniform(16, 40)),
    )


def _post(rng: np.random.Generator, extent: NDArray[np.float64]) -> shapes.Points:
    left = float(rng.uniform(0.25, 0.6)) * extent[0]
    right = left + float(rng.uniform(*POST)) * 1.6
    return np.array([[left, -0.1], [right, -0.1], [right, extent[1] + 0.1], [left, extent[1] + 0.1]])


def _bounced(place: NDArray[np.float64], margin: float, extent: NDArray[np.float64]) -> NDArray[np.float64]:
    """A place that goes straight on, sent back at the edges."""
    room = np.maximum(extent - 2 * margin, 1e-6)
    way = np.mod(place - margin, 2 * room)
    return np.asarray(margin + np.where(way > room, 2 * room - way, way))
