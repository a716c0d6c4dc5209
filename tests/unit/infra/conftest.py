from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.infra.roles.project.labelstudio_bench import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    one.access.close()
