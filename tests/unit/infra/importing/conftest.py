from __future__ import annotations

import pytest

from labelstudio.models import Project
from tests.unit.infra.export_bench import ExportBench
from tests.unit.infra.importing.scenes import annotated_project


@pytest.fixture
def project(exports: ExportBench) -> Project:
    return annotated_project(exports)
