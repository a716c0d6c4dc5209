"""Every other shipped configuration, applied by `./inv`, answers a click with the output that it promises."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dataset.stats.shapes import shapes_in
from infra.roles.project.project import get_project
from labelstudio.image_files import path_in
from labelstudio.truth import truth_of
from masks.measure import intersection_over_union
from tests.e2e.clone import Clone
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import IMAGE, region

# The output tag of each configuration, which is also the type of its results.
OUTPUTS = {"polygon": "polygon", "minimal": "brush", "boxes-to-masks": "brush"}
GOOD = 0.7


@pytest.fixture(scope="module")
def titles(stack: Stack, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The projects, applied with one command."""
    clone = Clone.make(tmp_path_factory.mktemp("clone"), stack.environment)
    found = {name: f"{name} {secrets.token_hex(3)}" for name in OUTPUTS}
    images = {"folder": stage.ctx.folder.name, "filter": r"scene-0[1-3]\.png"}
    clone.projects(
        **{name: {"title": title, "config": name, "version": 1, "images": images} for name, title in found.items()}
    )
    named = [word for name in OUTPUTS for word in ("--project", name)]
    try:
        assert clone.result("project.apply", *named)["changed"] == 4 * len(OUTPUTS)
        assert clone.result("project.plan", *named)["changed"] == 0
        yield found
    finally:
        for title in found.values():
            for project in stage.client.projects(title):
                stage.client.sdk.projects.delete(project.id)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_click_is_answered_as_the_configuration_says(titles: dict[str, str], stage: Stage, name: str) -> None:
    """A click is answered with the output of the configuration."""
    project = get_project(stage.client, titles[name])
    (backend,) = stage.client.backends(project.id)
    tasks = list(stage.client.tasks(project.id, IMAGE))
    assert len(tasks) == 3
    path = path_in(stage.ctx.folder.name, tasks[0].image)
    assert path is not None
    assert stage.ctx.truth is not None
    one = truth_of(stage.ctx.truth, Path(path).name)[0]
    truth = one.mask()
    label = "Object" if name == "minimal" else one.label
    size_wh = (truth.shape[1], truth.shape[0])
    value = {"x": 100 * one.click_xy[0] / size_wh[0], "y": 100 * one.click_xy[1] / size_wh[1], "width": 0.2}
    asked = [
        region("keypoint", "point", size_wh, value, is_positive=True, id="aPoint"),
        region("labels", "label", size_wh, value | {"labels": [label]}, is_positive=True, id="aPoint"),
    ]

    answer = stage.client.click(backend.id, tasks[0].id, asked)

    assert answer.errors == ()
    assert answer.data is not None
    results = answer.data["result"]
    assert isinstance(results, list)
    assert {(one["type"], one["from_name"]) for one in results} == {
        (OUTPUTS[name], OUTPUTS[name]),
        ("labels", "label"),
    }
    shapes, unreadable = shapes_in(results)
    assert (unreadable, {shape.label for shape in shapes}) == (0, {label})
    assert intersection_over_union(np.logical_or.reduce([shape.mask for shape in shapes]), truth) >= GOOD
