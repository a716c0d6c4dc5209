"""The project that most tests of the export work on."""

from __future__ import annotations

from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, brush, ghost, rectangle_mask, url

SIZE = (20, 10)
CAR, ROAD = rectangle_mask(SIZE, 2, 3, 9, 8), rectangle_mask(SIZE, 0, 8, 20, 10)


def annotated_project(exports: ExportBench) -> Project:
    """Three annotated images and one that nobody has looked at, in no good order."""
    server = exports.server
    project = server.project(FUSED)
    server.annotate(server.task(project, image=url("set/b.png")), [*brush(CAR, "Car"), *brush(ROAD, "Road", "b")])
    server.annotate(server.task(project, image=url("set/a%20%C3%91.png")), [*brush(ROAD, "Road"), ghost(ROAD, "Car")])
    server.task(project, image=url("set/d.png"))
    server.annotate(server.task(project, image=url("set/c.png")), brush(CAR & ~CAR, "Car"), completed_by=2)
    return project
