from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.settings import Settings
from backend.web.app import create_app
from tests.unit.backend.fakes import MODEL, FakeSegmenter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A document root with one 64x48 image, set/a.png."""
    folder = tmp_path / "files"
    (folder / "set").mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "set" / "a.png")
    return folder


@pytest.fixture
def settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return Settings(local_files_document_root=root, image_pixel_limit=1_000_000, model_wait_seconds=30)


@pytest.fixture
def segmenter() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def client(settings: Settings, segmenter: FakeSegmenter) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: segmenter, settings, MODEL)) as client:
        yield client
