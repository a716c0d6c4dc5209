"""Seeded drawn scenes with exact masks: what the demo model is trained on and what the demo images show.

``draw_scene`` is a pure function of the generator's state, the size and the style. Its layout and colours do
not depend on the size in pixels, only on the aspect: one seed gives the same scene at 228x128 and at
1920x1080.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo import palette, shapes, textures
from demo.layout import Placed, place

STYLES = ("plain", "textured", "thermal", "sar", "cluttered")

MIN_SIZE_PX = 16
GRAIN_CELLS = 480


@dataclass(frozen=True)
class SceneObject:
    """One drawn object.

    Attributes:
        mask: ``(H, W)`` bool, the part that can be seen: pixels covered by one half or more and not hidden
            by a later object.
        label: one of ``palette.LABELS``.
        kind: one of ``shapes.KINDS``.
    """

    mask: NDArray[np.bool_]
    label: str
    kind: str


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        image: ``(H, W, 3)`` uint8, RGB.
        objects: in the order of drawing; a later object hides an earlier one. Their masks do not overlap.
        style: one of ``STYLES``.
    """

    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    style: str


def draw_scene(
    rng: np.random.Generator,
    size_wh: tuple[int, int],
    style: str,
    *,
    count: int | None = None,
    shrink: tuple[float, float] | None = None,
) -> Scene:
    """Draw one scene.

    Args:
        rng: source of all randomness.
        size_wh: width and height in pixels, each at least ``MIN_SIZE_PX``.
        style: one of ``STYLES``: ``plain`` (strong colours on a gradient), ``textured``, ``thermal`` (warm
            blobs, three equal channels), ``sar`` (search and rescue outdoors), ``cluttered`` (overlapping
            objects on any ground).
        count: how many objects to try to place; by default 2 to 4. Fewer are drawn where no room is left,
            never none.
        shrink: for scenes of small objects: each object, once placed, is drawn smaller about its middle by a
            factor from this range in ``(0, 1]`` (log-uniform). By default all keep their size.

    Raises:
        ValueError: if the style is unknown, the size or count too small, or the range wrong.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; known: {', '.join(STYLES)}")
    if min(size_wh) < MIN_SIZE_PX:
        raise ValueError(f"size_wh must be at least {MIN_SIZE_PX}x{MIN_SIZE_PX} pixels, got {size_wh[0]}x{size_wh[1]}")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if shrink is not None and not 0 < shrink[0] <= shrink[1] <= 1:
        raise ValueError(f"shrink must be a rising range in (0, 1], got {shrink}")
    wanted = int(rng.integers(2, 5)) if count is None else count
    look_rng, grain_rng = (np.random.default_rng(int(rng.integers(2**63))) for _ in range(2))
    labels = _labels(rng, wanted, style)
    placed = place(rng, [shape_kind(rng, label, style) for label in labels], size_wh, overlap=_overlap(rng, style))
    factors = np.ones(len(placed)) if shrink is None else _factors(rng, shrink, len(placed))
    picture, ground = background(look_rng, size_wh, style)
    used = list(ground)
    masks: list[NDArray[np.bool_]] = []
    for label, item, factor in zip(labels, placed, factors, strict=False):
        colour = colour_beside(look_rng, label, style, used)
        used.append(colour)
        raster = _raster(look_rng, item, size_wh, style, float(factor))
        paint(look_rng, picture, raster, colour, style)
        mask = raster.placed(size_wh)
        masks = [*(earlier & ~mask for earlier in masks), mask]
    image = grained(grain_rng, picture, style)
    objects = zip(masks, labels, placed, strict=False)
    return Scene(image, tuple(SceneObject(mask, label, item.kind) for mask, label, item in objects), style)


def _factors(rng: np.random.Generator, shrink: tuple[float, float], count: int) -> NDArray[np.float64]:
    return np.asarray(np.exp(rng.uniform(np.log(shrink[0]), np.log(shrink[1]), count)))


def _labels(rng: np.random.Generator, wanted: int, style: str) -> list[str]:
    labels = [str(label) for label in rng.permutation(palette.LABELS)]
    if style == "sar":  # one strip at most, and under everything else: it is the ground that things stand on
        strips = [label for label in labels if label in ("Road", "Dirt-Road")][: int(rng.integers(0, 2))]
        labels = strips + [label for label in labels if label not in ("Road", "Dirt-Road")]
    return (labels * (wanted // len(labels) + 1))[:wanted]


def shape_kind(rng: np.random.Generator, label: str, style: str) -> str:
    """One of ``shapes.KINDS`` that fits a label in this style."""
    if style == "sar":
        return str(rng.choice(palette.OUTDOOR[label].kinds))
    if style == "thermal":
        return str(rng.choice(("ellipse", "blob", "blob", "box", "polygon")))
    return str(rng.choice(shapes.KINDS[:6], p=(0.2, 0.2, 0.15, 0.2, 0.05, 0.2)))


def _overlap(rng: np.random.Generator, style: str) -> bool:
    return style == "cluttered" or (style in ("sar", "thermal") and bool(rng.random() < 0.25))


def background(
    rng: np.random.Generator, size_wh: tuple[int, int], style: str
) -> tuple[NDArray[np.float32], list[palette.Colour]]:
    """The ground, ``(H, W, 3)`` float32, and the colours it is made of."""
    if style == "cluttered":
        style = str(rng.choice(("plain", "textured")))
    if style == "thermal":
        cold = float(rng.uniform(25, 90))
        first, second = palette.grey(cold), palette.grey(cold + rng.uniform(8, 30))
    elif style == "sar":
        first, second = (palette.jittered(rng, palette.GROUNDS[i]) for i in rng.choice(len(palette.GROUNDS), 2, False))
    else:
        first = palette.muted(rng)
        second = np.clip(first + rng.uniform(-45, 45, 3), 15, 240).astype(np.float32)
    mix = textures.gradient(size_wh, rng.uniform(0, 2 * np.pi))
    relief = np.zeros_like(mix)
    if style != "plain":
        mix = 0.6 * mix + 0.8 * textures.clouds(rng, size_wh, cells=rng.uniform(2, 5))
        relief = textures.clouds(rng, size_wh, cells=rng.uniform(12, 40)) * np.float32(rng.uniform(3, 10))
    share = (np.clip(mix, -1, 1)[..., None] + 1) / 2
    picture = first + (second - first) * share + relief[..., None]
    return np.ascontiguousarray(picture, dtype=np.float32), [
        first,
        second,
        ((first + second) / 2).astype(np.float32),
    ]


def colour_beside(rng: np.random.Generator, label: str, style: str, used: list[palette.Colour]) -> palette.Colour:
    """A colour for the next object that stands out from the ground and from the objects so far."""
    enough = {"thermal": 85.0, "sar": 100.0}.get(style, 120.0)
    best, best_distance = used[0], -1.0
    for attempt in range(24):
        if style == "thermal":
            candidate = palette.grey(rng.uniform(105, 245))
        elif style == "sar":
            colours = palette.OUTDOOR[label].colours
            base = colours[int(rng.integers(len(colours)))]
            candidate = palette.lit(palette.jittered(rng, base), rng.uniform(-1, 1) * 0.025 * attempt)
        else:
            candidate = palette.vivid(rng)
        distance = palette.distance(candidate, used)
        if distance > best_distance:
            best, best_distance = candidate, distance
        if distance >= enough:
            break
    return best


def _raster(
    rng: np.random.Generator, item: Placed, size_wh: tuple[int, int], style: str, factor: float
) -> shapes.Raster:
    side = (size_wh[0] * size_wh[1]) ** 0.5
    blur_px = rng.uniform(0.002, 0.005) * side * factor if style == "thermal" else 0.0
    points = item.points
    if factor != 1:
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        points = middle + (points - middle) * factor
    return shapes.rasterise(points * side, size_wh, supersample=4 if side < 900 else 3, blur_px=blur_px)


def paint(
    rng: np.random.Generator,
    picture: NDArray[np.float32],
    raster: shapes.Raster,
    colour: palette.Colour,
    style: str,
) -> None:
    """Blend one object into the picture, in place; one seed gives it the same surface wherever it stands."""
    side = (picture.shape[0] * picture.shape[1]) ** 0.5
    (x, y), (h, w) = raster.origin_xy, raster.coverage.shape
    shade = textures.gradient((w, h), rng.uniform(0, 2 * np.pi)) * np.float32(rng.uniform(4, 14))
    patterned = rng.random() < {"textured": 1.0, "sar": 0.4, "cluttered": 0.25}.get(style, 0.0)
    kind, strength = str(rng.choice(textures.PATTERNS)), np.float32(rng.uniform(6, 16))
    if patterned:
        shade = shade + textures.pattern(rng, kind, (w, h), (x, y), side) * strength
    surface = colour[None, None, :] + shade[..., None]
    alpha = raster.coverage[..., None]
    piece = picture[y : y + h, x : x + w]
    piece += (surface - piece) * alpha


def grained(rng: np.random.Generator, picture: NDArray[np.float32], style: str) -> NDArray[np.uint8]:
    """Add grain and round to 8 bits. The grain has a fixed grid, so that large pictures stay small as PNG
    files."""
    height, width = picture.shape[:2]
    grain = textures.clouds(rng, (width, height), cells=min(GRAIN_CELLS, (width * height) ** 0.5))
    strength = rng.uniform(4, 9) if style == "thermal" else rng.uniform(2, 6)
    noisy = picture + grain[..., None] * np.float32(strength)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
