"""The project that most tests of the import work on, and what they ask of it."""

from __future__ import annotations

from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, brush, ghost, key_point, rectangle_mask, url

SIZE = (20, 10)
CAR, ROAD = rectangle_mask(SIZE, 2, 3, 9, 8), rectangle_mask(SIZE, 0, 8, 20, 10)
CAR[5, 4] = False
FILES = {"coco": "annotations.json", "rle-json": "masks.jsonl", "label-studio": "tasks.json"}


def fill(exports: ExportBench, config: str, images: tuple[str, ...] = ("a", "b", "c")) -> Project:
    project = exports.server.project(config)
    for name in images:
        exports.server.task(project, image=url(f"set/{name}.png"))
    return project


def task_of(exports: ExportBench, project: Project, name: str) -> int:
    rows = exports.server.tasks.items()
    return next(
        key for key, one in rows if one["project"] == project.id and one["data"].get("image") == url(f"set/{name}.png")
    )


def annotated_project(exports: ExportBench) -> Project:
    """Masks, ghosts and a prompt on two of three images."""
    project = fill(exports, FUSED)
    exports.server.annotate(
        task_of(exports, project, "a"),
        [*brush(CAR, "Car"), ghost(CAR, "Road"), *brush(ROAD, "Road", "b"), key_point("Car")],
    )
    exports.server.annotate(task_of(exports, project, "b"), brush(ROAD, "Road", "x"), completed_by=2)
    return project


def payload(exports: ExportBench, name: str, format_name: str) -> bytes:
    return (exports.folder / name / FILES[format_name]).read_bytes()
