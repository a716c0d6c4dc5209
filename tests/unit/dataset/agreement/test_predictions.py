"""The predictions of a project as a side: the newest of each task, of one model version that people know."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.errors import SettingsError
from dataset.agreement.tasks_side import TasksSide, side_of_project
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import FUSED, Result, brush, rectangle_mask, url

CAR, ROAD = rectangle_mask((20, 10), 2, 3, 9, 8), rectangle_mask((20, 10), 0, 6, 20, 10)


@pytest.fixture
def project(exports: ExportBench) -> Project:
    return exports.server.project(FUSED)


def predict(exports: ExportBench, task: int, results: Sequence[Result], version: str, key: int) -> None:
    """Label Studio gives predictions in no certain order; here the newest comes first."""
    one = {"id": key, "task": task, "result": list(results), "model_version": version}
    exports.server.predictions[task].insert(0, one)


def labels(side: TasksSide) -> dict[str, list[str]]:
    found = {image: [one.label for one in side.read(image).drawn] for image in side.images}
    side.close()
    return found


def test_the_newest_prediction_of_a_task_counts(exports: ExportBench, project: Project) -> None:
    task = exports.server.task(project, image=url("a.png"))
    predict(exports, task, brush(CAR, "Car"), "sam2", 7)
    predict(exports, task, brush(ROAD, "Road"), "sam2", 9)
    side = side_of_project(exports.client, project, "predictions", exports.report)
    assert side.notes.lines == ["its predictions are of the model version 'sam2' (1 tasks)"]
    assert labels(side) == {"a.png": ["Road"]}


def test_several_model_versions_are_told_apart(exports: ExportBench, project: Project) -> None:
    """What `pairs.transfer` stores is what a person drew: as the model's it would agree wholly."""
    for number, name in enumerate(("a.png", "b.png")):
        task = exports.server.task(project, image=url(name))
        predict(exports, task, brush(CAR, "Car"), "sam2", 2 * number + 1)
        predict(exports, task, brush(ROAD, "Road"), "transfer", 2 * number + 2)
    with pytest.raises(SettingsError) as error:
        side_of_project(exports.client, project, "predictions", exports.report)
    assert str(error.value) == (
        "Scenes:predictions: its predictions are of several model versions: 'sam2' (2 tasks), 'transfer' (2 tasks); "
        "say which, as in Scenes:predictions=sam2"
    )
    named = side_of_project(exports.client, project, "predictions=sam2", exports.report)
    assert labels(named) == {"a.png": ["Car"], "b.png": ["Car"]}
    with pytest.raises(SettingsError, match=r"has no such prediction; there are those of 'sam2' \(2 tasks\), 'trans"):
        side_of_project(exports.client, project, "predictions=other", exports.report)
