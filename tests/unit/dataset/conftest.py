from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.dataset.export_bench import ExportBench
from tests.unit.infra.roles.project.labelstudio_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    one.access.close()


@pytest.fixture
def exports(tmp_path: Path) -> Iterator[ExportBench]:
    one = ExportBench(tmp_path)
    yield one
    one.close()
