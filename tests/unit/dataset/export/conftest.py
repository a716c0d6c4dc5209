from __future__ import annotations

import pytest

from labelstudio.models import Project
from tests.unit.dataset.export.scenes import annotated_project
from tests.unit.dataset.export_bench import ExportBench


@pytest.fixture
def project(exports: ExportBench) -> Project:
    return annotated_project(exports)
