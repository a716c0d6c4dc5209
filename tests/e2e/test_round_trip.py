"""Login, project, sync, clicks on every drawn object, and an annotation that is saved and read back."""

from __future__ import annotations

import numpy as np
import pytest

from labelstudio.prompts import click_regions
from labelstudio.truth import TruthObject
from tests.e2e import clicks
from tests.e2e.clicks import Round, Scene

MEAN_IOU = 0.75
LEFT_OF_NEIGHBOUR = 0.1


@pytest.fixture(scope="module")
def scenes(round_: Round) -> list[Scene]:
    found = clicks.scenes(round_)
    assert len(found) == 12
    return found


def test_a_click_on_each_drawn_object_comes_back_as_its_mask(round_: Round, scenes: list[Scene]) -> None:
    replies = [clicks.click(round_, scene, one) for scene in scenes for one in scene.objects]
    assert len(replies) >= 24
    assert np.mean([reply.iou for reply in replies]) >= MEAN_IOU


def test_a_box_around_each_drawn_object_comes_back_as_its_mask(round_: Round, scenes: list[Scene]) -> None:
    replies = [clicks.draw_box(round_, scene, one) for scene in scenes for one in scene.objects]
    assert np.mean([reply.iou for reply in replies]) >= MEAN_IOU


def test_a_negative_click_removes_its_region(round_: Round, scenes: list[Scene]) -> None:
    """Two positive clicks take in two neighbours; with the second one negative, the neighbour is out again."""
    removed = []
    for scene in scenes:
        for one in scene.objects:
            neighbour = neighbour_of(scene, one)
            if neighbour is None:
                continue
            labeling = round_.spec.labeling
            points = [
                region
                for xy in (one.click_xy, neighbour.click_xy)
                for region in click_regions(labeling, one.label, xy, scene.size_wh)
            ]
            both = clicks.ask(round_, scene, one, points)
            without = clicks.click(round_, scene, one, negative=True)
            if both.mask[neighbour.mask()].mean() > 0.5:
                removed.append(without.mask[neighbour.mask()].mean() <= LEFT_OF_NEIGHBOUR)
    assert len(removed) >= 5
    assert np.mean(removed) >= 0.9


def neighbour_of(scene: Scene, one: TruthObject) -> TruthObject | None:
    if one.negative_xy is None:
        return None
    x, y = one.negative_xy
    return next(other for other in scene.objects if other.mask()[y, x])


def test_an_annotation_is_saved_and_read_back(round_: Round, scenes: list[Scene]) -> None:
    scene = scenes[0]
    replies = [clicks.click(round_, scene, one) for one in scene.objects]
    annotation = clicks.save(round_, scene, replies)
    stored = clicks.read_back(round_, annotation)
    assert [found.labels for found in stored] == [(one.label,) for one in scene.objects]
    for reply, found in zip(replies, stored, strict=True):
        assert np.array_equal(reply.mask, found.mask)
    assert len({found.region_id for found in stored}) == len(stored)


def test_every_image_is_a_task_exactly_once(round_: Round) -> None:
    images = [task.image for task in round_.client.tasks(round_.project_id, round_.spec.labeling.images[0])]
    assert len(images) == len(set(images)) == 12
    assert all(image.startswith("/data/local-files/?d=demo/scene-") for image in images)
