"""Reading an image file for a test: the pixels, or the one sentence that says why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.errors import ImageError
from backend.images import images
from backend.sources import SourceFile

LIMIT = 10_000


def file_of(path: Path) -> SourceFile:
    return SourceFile(path, path.name, "1")


def load(root: Path, name: str = "a.png") -> Any:
    pixels = images.read(file_of(root / name), LIMIT)
    assert images.size_of(file_of(root / name), LIMIT) == (pixels.shape[1], pixels.shape[0])
    return pixels


def outcome(path: Path) -> tuple[int, ...] | str:
    """The shape of an image that can be read, else what the one sentence says; anything else fails."""
    said = None
    try:
        pixels = images.read(file_of(path), LIMIT)
    except ImageError as error:
        said = str(error)
    if said is not None:
        sentence = re.fullmatch(rf"the image '{path.name}' (?:(cannot be read): .+|has .+ pixels.*)", said)
        assert sentence is not None, said
        assert str(path.parent) not in said
        return sentence[1] or "too large"
    assert images.size_of(file_of(path), LIMIT) == (pixels.shape[1], pixels.shape[0])
    return pixels.shape


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def corners() -> Image.Image:
    """3 wide, 2 high, all pixels different."""
    return Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10)
