"""The engine of the unit tests holds what real engines hold."""

from __future__ import annotations

import pytest

from tests.engine_contract import EngineContract
from tests.unit.backend.fakes import FakeSegmenter


@pytest.fixture
def segmenter() -> FakeSegmenter:
    return FakeSegmenter()


class TestFakeEngine(EngineContract):
    pass
