"""Drawn pictures in the image folder, for one test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from demo.scenes import Scene, draw_scene
from tests.e2e.project_cases import Stage

SIZE = (1280, 720)
OUTDOORS = (77, 0, 1)  # six things apart from each other
TOO_MUCH = (78, 12)  # a click on the last of six takes parts of the one before it too


def outdoors(seed: tuple[int, ...]) -> Scene:
    """A drawn scene of search and rescue with six objects."""
    return draw_scene(np.random.default_rng(seed), SIZE, "sar", count=6)


@contextmanager
def served(stage: Stage, picture: Image.Image, ending: str = "png") -> Iterator[str]:
    """The picture as a file of the image folder; its address for tasks. The file is removed afterwards."""
    file = Path(stage.ctx.folder.path) / f"drawn-{uuid.uuid4().hex[:8]}.{ending}"
    picture.save(file, quality=85)
    file.chmod(0o644)
    try:
        yield f"/data/local-files/?d={stage.ctx.folder.name}/{file.name}"
    finally:
        file.unlink()
