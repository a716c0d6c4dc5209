from __future__ import annotations

import pytest

from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.importing.scenes import annotated_project


@pytest.fixture
def project(exports: ExportBench) -> Project:
    return annotated_project(exports)
