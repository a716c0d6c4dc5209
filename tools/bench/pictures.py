"""Images for the clicks: one drawn scene in two sizes, as JPEG, and any number of copies with contents of their own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.clicks import random_inner_point
from demo.scenes import draw_scene
from tools.bench.clicks import Picture

SIZES = {"2 MP": (1920, 1080), "12 MP": (4000, 3000)}
SEED = 11
QUALITY = 90
POINTS = 64
START_OF_IMAGE, COMMENT = b"\xff\xd8", b"\xff\xfe"


class Album:
    """Writes pictures into the backend's image folder.

    A copy differs from its original in a JPEG comment alone: the same pixels at the cost of a file copy, and to a
    cache that goes by content another image.
    """

    def __init__(self, root: Path) -> None:
        """
        Args:
            root: the backend's LOCAL_FILES_DOCUMENT_ROOT.
        """
        self._folder = root / "bench"
        self._folder.mkdir(parents=True)
        self._originals: dict[str, bytes] = {}
        self._points: dict[str, list[tuple[float, float]]] = {}
        self._count = 0

    def new(self, size: str) -> Picture:
        """A picture that no process has seen."""
        if size not in self._originals:
            self._draw(size)
        self._count += 1
        name = f"{self._count:05d}.jpg"
        (self._folder / name).write_bytes(with_comment(self._originals[size], name.encode()))
        return Picture(self._count, f"{self._folder.name}/{name}", SIZES[size])

    def path(self, picture: Picture) -> str:
        """Where the file lies."""
        return str(self._folder.parent / picture.name)

    def point(self, size: str, number: int) -> tuple[float, float]:
        """A place on one of the scene's objects, x, y in percent; another number is another place."""
        if size not in self._points:
            self._draw(size)
        points = self._points[size]
        return points[number % len(points)]

    def _draw(self, size: str) -> None:
        width, height = SIZES[size]
        rng = np.random.default_rng(SEED)
        drawn_wh = (round(1080 * width / height), 1080)
        scene = draw_scene(rng, drawn_wh, "textured", count=3)
        self._originals[size] = _jpeg(scene.image, (width, height))
        self._points[size] = [
            ((x + 0.5) / drawn_wh[0] * 100, (y + 0.5) / drawn_wh[1] * 100)
            for number in range(POINTS)
            for x, y in [random_inner_point(rng, scene.objects[number % len(scene.objects)].mask)]
        ]


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """Put a comment segment first (JPEG, ITU-T T.81, B.2.4.5).

    Raises:
        ValueError: no JPEG, or a comment of more than a segment holds.
    """
    if not jpeg.startswith(START_OF_IMAGE):
        raise ValueError(f"jpeg: expected a start-of-image marker, got {jpeg[:2]!r}")
    length = len(comment) + 2
    if length > 0xFFFF:
        raise ValueError(f"comment: expected at most 65533 bytes, got {len(comment)}")
    return START_OF_IMAGE + COMMENT + length.to_bytes(2, "big") + comment + jpeg[2:]


def in_pixels(points: list[tuple[float, float]], size_wh: tuple[int, int]) -> list[tuple[float, float]]:
    """Percent to pixels."""
    return [(x / 100 * size_wh[0], y / 100 * size_wh[1]) for x, y in points]


def _jpeg(pixels: NDArray[np.uint8], size_wh: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size_wh, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
