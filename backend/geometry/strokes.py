"""Brush strokes as arrays: drawn into a mask, measured, and sampled into points for the model.

A rough stroke is far from the object's mask, and SAM 2 takes a mask input for nearly right: on the demo scenes points
along the stroke did better than the stroke as a mask, alone or with points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 5
POOLED_SIDE = 512
DRAWN_SIDE = 1024
MAX_MIDDLE_PIXELS = 4096
SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Touch:
    """One movement of the brush or the eraser, as the editor keeps it until the annotation is saved.

    Attributes:
        points: ``(N, 2)`` float64, columns ``x, y`` in percent of the image, N at least 1.
        width: of the line, in percent of the image's *width*.
    """

    points: NDArray[np.float64]
    width: float
    erases: bool


@dataclass(frozen=True)
class StrokeMask:
    """A stroke as pixels of a part of its image.

    Attributes:
        mask: ``(h, w)`` bool.
        origin_xy: where the part begins, in pixels of the image.
        scale: pixels of the mask per pixel of the image, at most 1.
        size_wh: of the image in pixels.
    """

    mask: NDArray[np.bool_]
    origin_xy: tuple[float, float]
    scale: float
    size_wh: tuple[int, int]

    @property
    def covers(self) -> float:
        """How much of the image the stroke covers, 0 to 1."""
        return float(np.count_nonzero(self.mask)) / self.scale**2 / (self.size_wh[0] * self.size_wh[1])

    def distance(self, xy: NDArray[np.float64], limit: float) -> float | None:
        """From a point ``(2,)`` in pixels of the image to the stroke, in the same pixels; None beyond the limit."""
        column, row = (xy - self.origin_xy) * self.scale - 0.5
        reach = limit * self.scale + 1
        top, left = max(0, int(row - reach)), max(0, int(column - reach))
        bottom, right = max(0, int(row + reach) + 2), max(0, int(column + reach) + 2)
        rows, columns = np.nonzero(self.mask[top:bottom, left:right])
        if len(rows) == 0:
            return None
        # A point that lies in a pixel is on the stroke, so half a pixel does not count.
        away = np.hypot(
            np.maximum(0, np.abs(columns + left - column) - 0.5), np.maximum(0, np.abs(rows + top - row) - 0.5)
        )
        distance = float(away.min()) / self.scale
        return distance if distance <= limit else None

    def points(self, gap: float) -> NDArray[np.float64]:
        """Points on the stroke for the model, ``(N, 2)`` x, y in percent of the image; see `sample`.

        Args:
            gap: about the least distance between two of them, in pixels of the image.
        """
        found = sample(self.mask, gap * self.scale)
        return (found / self.scale + self.origin_xy) / self.size_wh * 100


def of_mask(mask: NDArray[np.bool_], touches: Sequence[Touch] = ()) -> StrokeMask:
    """A stroke from a mask in the image's full size, and what was brushed and erased since."""
    size_wh = (mask.shape[1], mask.shape[0])
    if touches:
        canvas = mask.astype(np.uint8)
        _draw(canvas, touches, size_wh, np.zeros(2), 1.0)
        mask = canvas.astype(np.bool_)
    return StrokeMask(mask, (0.0, 0.0), 1.0, size_wh)


def of_touches(touches: Sequence[Touch], size_wh: tuple[int, int]) -> StrokeMask:
    """A stroke from the brush's movements, drawn as the editor draws them (libs/editor, utils/canvas.js, exportRLE).

    Only the brushed part of the image is drawn, at most 1024 pixels long.
    """
    box = bounds(touches, size_wh)
    origin = np.floor(np.clip(box[:2], 0, size_wh))
    extent = np.maximum(1, np.ceil(np.clip(box[2:], 0, size_wh)) - origin)
    scale = min(1.0, DRAWN_SIDE / float(extent.max()))
    width, height = np.maximum(1, np.ceil(extent * scale)).astype(int)
    canvas = np.zeros((height, width), dtype=np.uint8)
    _draw(canvas, touches, size_wh, origin, scale)
    return StrokeMask(canvas.astype(np.bool_), (float(origin[0]), float(origin[1])), scale, size_wh)


def bounds(touches: Sequence[Touch], size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """The upright box around what was brushed, ``(4,)`` xyxy in pixels of the image; empty when nothing was."""
    boxes = []
    for touch in touches:
        if not touch.erases:
            points, half = touch.points / 100 * size_wh, touch.width / 200 * size_wh[0] + 1
            boxes.append(np.concatenate([points.min(axis=0) - half, points.max(axis=0) + half]))
    if not boxes:
        return np.zeros(4)
    return np.concatenate([np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]])


def _draw(
    canvas: NDArray[np.uint8],
    touches: Sequence[Touch],
    size_wh: tuple[int, int],
    origin: NDArray[np.float64],
    scale: float,
) -> None:
    for touch in touches:
        pixels = (touch.points / 100 * size_wh - origin) * scale - 0.5
        fixed = np.rint(pixels * 2**SUBPIXEL_BITS).astype(np.int32)
        thickness = int(np.clip(round(touch.width / 100 * size_wh[0] * scale), 1, 2000))
        colour = 0 if touch.erases else 1
        cv2.polylines(canvas, [fixed], False, colour, thickness, cv2.LINE_8, SUBPIXEL_BITS)
        x, y = (int(value) for value in fixed[0])
        cv2.circle(canvas, (x, y), (thickness << SUBPIXEL_BITS) // 2, colour, -1, cv2.LINE_8, SUBPIXEL_BITS)


def sample(mask: NDArray[np.bool_], gap: float = 1.0, limit: int = MAX_POINTS) -> NDArray[np.float64]:
    """A few well spread points on a stroke, along its middle and never on its rim where that can be helped.

    The pixels far from the rim are divided into as many parts as there may be points (the farthest pixel starts the
    next part, then k-means), and each part gives the pixel nearest to its mean. So a line gets points at even
    distances, a ring gets them around, a blob inside, and each of several lines its share. The same mask always gives
    the same points.

    Args:
        mask: ``(H, W)`` bool.
        gap: no further part is begun where it would be nearer than this to another, in pixels of the mask.

    Returns:
        ``(N, 2)`` float64, columns ``x, y`` in pixels of the mask, the centre of a pixel (0.5 for the first), on the
        stroke, ``N <= limit``, ordered by y and x; none for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return np.zeros((0, 2))
    top, left = int(rows[0]), int(columns[0])
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    block = -(-max(part.shape) // POOLED_SIDE)
    middle = _middle(_pool(part, block))
    chosen = _spread(middle, limit, gap / block)
    exact = [_pixel_in(part, int(x) * block, int(y) * block, block) for x, y in chosen]
    found = np.asarray(sorted(exact, key=lambda xy: (xy[1], xy[0])), dtype=np.float64)
    return np.asarray(found + np.asarray([left + 0.5, top + 0.5]))


def _pool(mask: NDArray[np.bool_], block: int) -> NDArray[np.bool_]:
    """Make a mask smaller; a block is on the stroke when any of its pixels is, so thin lines stay."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % block), (0, -width % block)))
    shape = (padded.shape[0] // block, block, padded.shape[1] // block, block)
    return np.asarray(padded.reshape(shape).any(axis=(1, 3)))


def _middle(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The pixels far from the rim, ``(N, 2)`` x, y: of each separate part those at half its depth or more.

    Parts under a fiftieth of the whole are what an eraser left.
    """
    framed = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared it is a whole number: OpenCV's last bits depend on where in memory the mask lies.
    depth_squared = np.rint(np.square(distance)).astype(np.int64)
    count, part_of, stats, _ = cv2.connectedComponentsWithStats(framed, connectivity=8)
    deepest = np.zeros(count, dtype=np.int64)
    np.maximum.at(deepest, part_of.astype(np.intp).ravel(), depth_squared.ravel())
    left_out = stats[:, cv2.CC_STAT_AREA] * 50 < mask.sum()
    left_out[0] = True
    rows, columns = np.nonzero((depth_squared * 4 >= deepest[part_of]) & ~left_out[part_of])
    step = -(-len(rows) // MAX_MIDDLE_PIXELS)
    return np.stack([columns, rows], axis=1)[::step].astype(np.float64) - 1


def _spread(points: NDArray[np.float64], limit: int, gap: float) -> NDArray[np.float64]:
    """At most `limit` of the points, spread over all of them."""
    seeds = [int(np.argmax(_squares(points, points.mean(axis=0))))]
    nearest = _squares(points, points[seeds[0]])
    while len(seeds) < limit and nearest.max() >= max(gap, 1) ** 2:
        seeds.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, _squares(points, points[seeds[-1]]))
    centres = points[seeds]
    for _ in range(10):
        owner = np.argmin(np.stack([_squares(points, centre) for centre in centres]), axis=0)
        centres = np.stack(
            [points[owner == index].mean(axis=0) if (owner == index).any() else centres[index]
             for index in range(len(centres))]
        )  # fmt: skip
    nearest_to = [int(np.argmin(_squares(points, centre))) for centre in centres]
    return points[sorted(set(nearest_to))]


def _squares(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(((points - centre) ** 2).sum(axis=1))


def _pixel_in(mask: NDArray[np.bool_], left: int, top: int, block: int) -> tuple[int, int]:
    """The stroke's pixel of a block that is nearest to the block's middle: x, y."""
    rows, columns = np.nonzero(mask[top : top + block, left : left + block])
    middle = (block - 1) / 2
    best = int(np.argmin((rows - middle) ** 2 + (columns - middle) ** 2))
    return left + int(columns[best]), top + int(rows[best])
