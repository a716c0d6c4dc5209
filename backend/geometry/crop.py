"""Small objects in a large image: encode a piece around it instead of the whole.

SAM 2 stretches every image to one square input (1024 pixels, the demo model 192) and answers in cells of four input
pixels. What covers only a few cells of the whole image has no outline in the answer; a piece around it, stretched to
the same input, gives it one. Everything here is geometry: no model, no pixels read but those of the piece.

Frames: *image* is pixels of the upright image, *crop* is pixels of the piece, both with their origin at the top left
corner and no rounding, so that a point moves from one to the other by a subtraction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from backend.segmenter import Prompts

T = TypeVar("T", bound=np.generic)
CELL = 4  # input pixels for each cell of the low-resolution logits, along one axis
# Objects whose longer side covers fewer cells than this are segmented closer up; docs/quality.md has the measurement.
SMALL_CELLS = 8.0
# Side of the piece for an object of side 1: enough around it to tell it from its ground.
CONTEXT = 3.0
# A piece is never enlarged by more than this: beyond, the input holds no more than the image does.
LARGEST_ZOOM = 4.0
# A piece must show the object at least this much larger than the whole image does, or it is not worth an encoding.
SMALLEST_GAIN = 1.5
# Sizes of pieces lie this factor apart, and their corners on a grid of this part of the side: further clicks on the
# same object then find the same piece, and its embedding.
SIZE_STEP = math.sqrt(2)
GRID = 8


@dataclass(frozen=True)
class Crop:
    """A piece of an image.

    Attributes:
        box_xyxy: left, top, right, bottom in whole pixels of the image; right and bottom exclusive.
        image_wh: width and height of that image.
    """

    box_xyxy: tuple[int, int, int, int]
    image_wh: tuple[int, int]

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box_xyxy
        if not (0 <= left < right <= self.image_wh[0] and 0 <= top < bottom <= self.image_wh[1]):
            raise ValueError(f"box_xyxy: expected a box inside {self.image_wh}, got {self.box_xyxy}")

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the piece in pixels."""
        left, top, right, bottom = self.box_xyxy
        return right - left, bottom - top

    @property
    def key(self) -> str:
        """Names the piece among those of one image: part of the key of its embedding and of its logits."""
        left, top, _, _ = self.box_xyxy
        width, height = self.size_wh
        return f"crop-{left}-{top}-{width}x{height}"

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the piece ``(h, w, 3)`` out of ``(H, W, 3)`` uint8; a copy, so the image need not be kept."""
        return np.ascontiguousarray(self.part_of(image))

    def part_of(self, whole: NDArray[T]) -> NDArray[T]:
        """The piece of a picture or mask ``(H, W, ...)``; a view.

        Raises:
            ValueError: it has another size.
        """
        if whole.shape[:2] != (self.image_wh[1], self.image_wh[0]):
            raise ValueError(f"image: expected {self.image_wh}, got {(whole.shape[1], whole.shape[0])}")
        left, top, right, bottom = self.box_xyxy
        return whole[top:bottom, left:right]

    def prompts(self, prompts: Prompts) -> Prompts:
        """Move prompts from the image into the piece.

        Negative points outside the piece are left out: what they exclude is not seen. A box is cut at the piece's
        edge. `mask_logits` is taken for one of the whole image and resampled; logits of this very piece are put in
        afterwards (`dataclasses.replace`).

        Raises:
            ValueError: a positive point lies outside the piece, or the box wholly; `choose_crop` gives no such piece.
        """
        origin = np.asarray(self.box_xyxy[:2], dtype=np.float32)
        limit = np.asarray(self.size_wh, dtype=np.float32)
        points = prompts.points_xy - origin
        inside = ((points >= 0) & (points <= limit)).all(axis=1)
        if (prompts.is_positive & ~inside).any():
            raise ValueError(f"points_xy: a positive point lies outside the piece {self.box_xyxy}")
        box = None
        if prompts.box_xyxy is not None:
            box = np.clip(prompts.box_xyxy - np.tile(origin, 2), 0, np.tile(limit, 2)).astype(np.float32)
            if (box[2:] <= box[:2]).any():
                raise ValueError(f"box_xyxy: {prompts.box_xyxy.tolist()} lies outside the piece {self.box_xyxy}")
        mask = None if prompts.mask_logits is None else self._cut(prompts.mask_logits)
        return Prompts(points[inside].astype(np.float32), prompts.is_positive[inside], box, mask)

    def paste(self, logits: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """Enlarge the piece's logits, cut at 0, and put them where the piece lies.

        Args:
            logits: ``(h, w)`` float32, stretched over the piece as `masks.full_size` takes them.
            size_wh: of the wanted mask; the image's own, or the size that the browser shows.

        Returns:
            ``(H, W)`` bool; outside the piece everything is False.
        """
        if logits.ndim != 2:
            raise ValueError(f"logits: expected shape (h, w), got {logits.shape}")
        scale = np.tile(np.asarray(size_wh) / np.asarray(self.image_wh), 2)
        left, top, right, bottom = (int(edge) for edge in np.rint(np.asarray(self.box_xyxy) * scale))
        mask = np.zeros((size_wh[1], size_wh[0]), dtype=np.bool_)
        if right > left and bottom > top:
            large = cv2.resize(logits, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
            mask[top:bottom, left:right] = large > 0
        return mask

    def cuts(self, logits: NDArray[np.float32]) -> bool:
        """True when the mask reaches an edge of the piece that is not the image's: the object may go on beyond it."""
        left, top, right, bottom = self.box_xyxy
        edges = (
            (left > 0, logits[:, 0]),
            (top > 0, logits[0]),
            (right < self.image_wh[0], logits[:, -1]),
            (bottom < self.image_wh[1], logits[-1]),
        )
        return any(inner and bool((edge > 0).any()) for inner, edge in edges)

    def _cut(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample ``(h, w)`` logits of the whole image at the cells of the piece, bilinear, same shape."""
        height, width = logits.shape
        left, top, right, bottom = self.box_xyxy
        scale_x, scale_y = (right - left) / self.image_wh[0], (bottom - top) / self.image_wh[1]
        shift_x, shift_y = left / self.image_wh[0] * width, top / self.image_wh[1] * height
        # From a cell of the piece to a cell of the whole; both count from the middle of their first cell.
        back = np.asarray(
            [[scale_x, 0, shift_x + (scale_x - 1) / 2], [0, scale_y, shift_y + (scale_y - 1) / 2]], dtype=np.float64
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        piece = cv2.warpAffine(logits, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(piece, dtype=np.float32)


def first_point(prompts: Prompts) -> Prompts:
    """The first positive point alone: the prompt for the whole image before a piece is chosen for points.

    Later clicks do not change it, so they find the same piece.

    Raises:
        ValueError: there is no positive point.
    """
    if not prompts.is_positive.any():
        raise ValueError("prompts: expected a positive point, got none")
    index = int(np.argmax(prompts.is_positive))
    return Prompts(prompts.points_xy[index : index + 1], prompts.is_positive[index : index + 1])


def object_box(
    logits: NDArray[np.float32], size_wh: tuple[int, int], point_xy: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Where the clicked object lies, by a mask of low resolution.

    Args:
        logits: ``(h, w)`` float32, stretched over the image.
        size_wh: the image's width and height in pixels.
        point_xy: ``(2,)`` the click in pixels of the image.

    Returns:
        ``(4,)`` float32 xyxy in pixels: around the connected part under the point, else around the nearest one; the
        point's own cell where nothing is above 0.
    """
    height, width = logits.shape
    cell = np.asarray([size_wh[0] / width, size_wh[1] / height])
    column, row = np.clip((point_xy / cell).astype(int), 0, [width - 1, height - 1])
    _, parts, stats, _ = cv2.connectedComponentsWithStats((logits > 0).astype(np.uint8), connectivity=8)
    rows, columns = np.nonzero(parts)
    left, top, right, bottom = column, row, column + 1, row + 1
    if len(rows):
        nearest = int(np.argmin((rows - row) ** 2 + (columns - column) ** 2))
        left, top, wide, high = stats[parts[rows[nearest], columns[nearest]], : cv2.CC_STAT_AREA]
        right, bottom = left + wide, top + high
    return np.asarray([left, top, right, bottom] * np.tile(cell, 2), dtype=np.float32)


def choose_crop(
    size_wh: tuple[int, int],
    prompts: Prompts,
    found_xyxy: NDArray[np.float32] | None,
    model_side: int,
    small_cells: float = SMALL_CELLS,
) -> Crop | None:
    """The piece to encode, or None where the whole image serves as well.

    Args:
        size_wh: the image's width and height in pixels.
        prompts: in pixels of the image.
        found_xyxy: ``(4,)`` where a mask of the whole image shows the object (`object_box`); not used when the
            prompts hold a box. None without one: the positive points alone then say where it is.
        model_side: side in pixels of the model's square input.
        small_cells: objects whose longer side covers fewer cells of the whole image's logits are small.
    """
    if not prompts.names_an_object:
        return None
    extent = prompts.box_xyxy if prompts.box_xyxy is not None else found_xyxy
    corners = prompts.points_xy[prompts.is_positive]
    if extent is not None:
        corners = np.concatenate([corners, extent.reshape(2, 2)])
    low, high = corners.min(axis=0).astype(np.float64), corners.max(axis=0).astype(np.float64)
    cells = float(((high - low) / size_wh).max()) * model_side / CELL
    if cells >= small_cells:
        return None
    side = _side(float((high - low).max()) * CONTEXT, model_side)
    if max(size_wh) < side * SMALLEST_GAIN:
        return None
    edges = [_edges(float(middle), side, length) for middle, length in zip((low + high) / 2, size_wh, strict=True)]
    return Crop((edges[0][0], edges[1][0], edges[0][1], edges[1][1]), size_wh)


def _side(wanted: float, model_side: int) -> int:
    """The next step of the ladder of sides, upwards, in pixels."""
    smallest = model_side / LARGEST_ZOOM
    steps = max(0, math.ceil(math.log(max(wanted, smallest) / smallest, SIZE_STEP) - 1e-9))
    return round(smallest * SIZE_STEP**steps)


def _edges(middle: float, side: int, length: int) -> tuple[int, int]:
    """Both edges along one axis: on the grid, inside the image; the whole axis where it is shorter."""
    if side >= length:
        return 0, length
    grid = max(1, side // GRID)
    start = round((middle - side / 2) / grid) * grid
    start = min(max(start, 0), length - side)
    return start, start + side
