"""`regions.csv`, read by Python's own reader."""

from __future__ import annotations

import csv

from dataset.export.writers.csv_table import COLUMNS
from labelstudio.models import Project
from tests.unit.dataset.export.scenes import CAR, SIZE, annotated_project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, brush, url


def rows_of(exports: ExportBench, project: Project) -> list[dict[str, str]]:
    summary = exports.export(project, "csv")
    with (exports.folder / "out" / "regions.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        assert tuple(reader.fieldnames or ()) == COLUMNS
    assert summary.regions == len(rows)
    return rows


def test_csv_has_one_line_a_region(exports: ExportBench) -> None:
    """Ghosts and prompts are left out, and an image without regions has no line."""
    rows = rows_of(exports, annotated_project(exports))
    numbers = ("class", "left", "top", "width", "height", "area")
    assert [(row["image"], row["label"], *(int(row[name]) for name in numbers)) for row in rows] == [
        ("set/a Ñ.png", "Road", 2, 0, 8, 20, 2, 40),
        ("set/b.png", "Car", 1, 2, 3, 7, 5, 35),
        ("set/b.png", "Road", 2, 0, 8, 20, 2, 40),
    ]
    assert {(row["image_width"], row["image_height"], row["kind"], row["to_name"]) for row in rows} == {
        (str(SIZE[0]), str(SIZE[1]), "brush", "image")
    }


def test_csv_quotes_names(exports: ExportBench) -> None:
    """A comma or a quote in a file's name moves no column."""
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("set/a, %22b%22.png")), brush(CAR, "Car"))
    (row,) = rows_of(exports, project)
    assert (row["image"], row["area"]) == ('set/a, "b".png', "35")
