"""Images for the clicks: one drawn scene per size as JPEG, and any number of copies that a cache takes for others."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.clicks import random_inner_point
from demo.scenes import draw_scene

SIZES = {"2 MP": (1920, 1080), "12 MP": (4000, 3000)}
SEED, QUALITY, POINTS = 11, 90, 64
Point = tuple[float, float]


@dataclass(frozen=True)
class Picture:
    """An image in the backend's folder."""

    task: int  # the number of its task
    path: Path
    url: str  # as a task names it
    size_wh: tuple[int, int]
    points: tuple[Point, ...]  # places on the scene's objects, x, y in percent

    def point(self, number: int) -> Point:
        """Another number is another place, x, y in percent."""
        return self.points[number % len(self.points)]

    def pixel(self, number: int) -> Point:
        """The same in pixels."""
        (x, y), (width, height) = self.point(number), self.size_wh
        return x / 100 * width, y / 100 * height


class Album:
    """Writes pictures into the backend's LOCAL_FILES_DOCUMENT_ROOT, an empty folder."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "bench"
        self._folder.mkdir(parents=True)
        self._count = 0

    def new(self, size: str) -> Picture:
        """A picture that no process has seen: the scene's pixels, and a number after the end of the JPEG."""
        self._count += 1
        jpeg, points = _drawn(SIZES[size])
        path = self._folder / f"{self._count:05d}.jpg"
        path.write_bytes(jpeg + path.name.encode())
        return Picture(self._count, path, f"/data/local-files/?d=bench/{path.name}", SIZES[size], points)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB of an image file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@cache
def _drawn(size_wh: tuple[int, int]) -> tuple[bytes, tuple[Point, ...]]:
    rng = np.random.default_rng(SEED)
    width, height = round(1080 * size_wh[0] / size_wh[1]), 1080
    scene = draw_scene(rng, (width, height), "textured", count=3)
    buffer = io.BytesIO()
    Image.fromarray(scene.image).resize(size_wh, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=QUALITY)
    inner = [random_inner_point(rng, scene.objects[number % len(scene.objects)].mask) for number in range(POINTS)]
    return buffer.getvalue(), tuple(((x + 0.5) / width * 100, (y + 0.5) / height * 100) for x, y in inner)
