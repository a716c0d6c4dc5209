from __future__ import annotations

import pytest

from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.propagate.propagate_bench import Bench


@pytest.fixture
def bench(exports: ExportBench) -> Bench:
    return Bench(exports)
