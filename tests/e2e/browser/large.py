"""Demo scenes as pictures of many megapixels, in the image folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelstudio.truth import TruthObject
from tests.e2e.browser.drawn import served
from tests.e2e.clicks import Scene
from tests.e2e.project_cases import Stage

SIZES = {2: (1728, 1152), 12: (4242, 2828), 24: (6000, 4000)}  # by megapixels


@dataclass(frozen=True)
class Large:
    """A scene that was enlarged: its address for tasks, and where its objects lie."""

    url: str
    size_wh: tuple[int, int]
    scene: Scene

    def at(self, xy: tuple[float, float]) -> tuple[float, float]:
        """A pixel of the scene in this picture."""
        (x, y), (width, height) = xy, self.scene.size_wh
        return (x + 0.5) * self.size_wh[0] / width, (y + 0.5) * self.size_wh[1] / height

    def mask(self, one: TruthObject) -> NDArray[np.bool_]:
        """The mask of an object, ``(H, W)`` of this picture."""
        small = Image.fromarray(one.mask())
        return np.asarray(small.resize(self.size_wh, Image.Resampling.NEAREST))


@contextmanager
def enlarged(stage: Stage, scene: Scene, megapixels: int) -> Iterator[Large]:
    """The scene in one of `SIZES`; the file is removed afterwards."""
    with Image.open(Path(stage.ctx.folder.path) / scene.image) as image:
        large = image.convert("RGB").resize(SIZES[megapixels], Image.Resampling.BILINEAR)
    with served(stage, large, "jpg") as url:
        yield Large(url, SIZES[megapixels], scene)
