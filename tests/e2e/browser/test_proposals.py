"""All objects of an image, the masks of the image before, and work on masks that were accepted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from core.repository import REPOSITORY
from masks.measure import intersection_over_union as iou
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.browser.strokes import nearest_inside
from tests.e2e.browser.test_companion import accepted, opened
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

GOOD = 0.75
CONFIG = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v3.xml").read_text("utf-8")  # brush and polygon
MASKS = f"() => {SELECTED}.regions.filter((one) => /^(brush|polygon)region$/.test(one.type) && !one.dynamic).length"
OUTLINES = "() => document.querySelectorAll('canvas[data-labelrig=proposals]').length"


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk(CONFIG)


@pytest.fixture(scope="module")
def bench(stage: Stage) -> Iterator[Bench]:
    key = stage.ctx.access.api_key
    assert key is not None
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, CONFIG) as one:
        yield one


def has(desk: Desk, count: int) -> None:
    desk.page.wait_for_function(f"(count) => ({MASKS})() === count", arg=count)


def point_at(desk: Desk, xy: tuple[float, float]) -> None:
    desk.page.mouse.move(*desk.place(xy))


def masks(round_: Round, desk: Desk) -> list[NDArray[np.bool_]]:
    return [one.mask for one in clicks.read_back(round_, desk.submit())]


def test_all_objects_are_found_and_taken_by_a_click(
    desk: Desk, bench: Bench, scenes: list[Scene], round_: Round
) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    point_at(desk, scene.objects[0].click_xy)
    desk.key("a")
    desk.says("objects: pick a label")
    assert desk.page.evaluate(OUTLINES) == 1
    desk.shot("proposals")
    first, second = scene.objects[:2]
    desk.label(first.label)
    desk.click(first.click_xy)
    has(desk, 1)
    assert desk.prompts() == 0
    desk.click(second.click_xy)  # the label is still picked
    has(desk, 2)
    desk.key("Control+z")
    has(desk, 1)
    desk.label(first.label)  # undoing unselects it
    desk.click(second.click_xy)  # it is offered again
    has(desk, 2)
    desk.key("Escape")
    desk.page.wait_for_function(f"() => ({OUTLINES})() === 0")
    point_at(desk, first.click_xy)
    desk.key("a")
    desk.says("2 left out: they have masks")
    desk.key("Escape")
    desk.page.wait_for_function(f"() => ({OUTLINES})() === 0")
    stored = clicks.read_back(round_, desk.submit())
    assert {one.labels for one in stored} == {(first.label,)}
    for one, truth in zip(stored, (first, second), strict=True):
        assert iou(one.mask, truth.mask()) >= GOOD


def test_a_click_works_while_all_objects_are_looked_for(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[1]
    opened(desk, bench, scene)
    point_at(desk, scene.objects[0].click_xy)
    desk.key("a")
    desk.says("A: looking for all objects")
    desk.ask_about(scene.objects[0])
    assert iou(desk.suggestion(), scene.objects[0].mask()) >= GOOD
    accepted(desk)
    assert desk.masks() == 1


def test_masks_of_the_image_before_are_taken_over(desk: Desk, bench: Bench, scenes: list[Scene], round_: Round) -> None:
    scene = scenes[0]
    first = bench.task(image=scene.task.image)
    second = bench.task(image=scene.task.image)
    desk.open(bench.project_id, first, scene.size_wh)
    desk.says(": ready")
    for one in scene.objects[:2]:
        desk.ask_about(one)
        accepted(desk)
    before = masks(round_, desk)
    desk.open(bench.project_id, second, scene.size_wh)
    desk.says(": ready")
    point_at(desk, scene.objects[0].click_xy)
    desk.key("j")
    desk.says("2 masks of the image before")
    desk.shot("before")
    desk.click(nearest_inside(before[0], scene.objects[0].click_xy))
    has(desk, 1)
    desk.key("Shift+Enter")
    has(desk, 2)
    desk.key("Control+z")
    has(desk, 1)
    desk.key("Shift+Enter")
    has(desk, 2)
    stored = clicks.read_back(round_, desk.submit())
    assert sorted(one.labels for one in stored) == sorted((one.label,) for one in scene.objects[:2])
    assert all(max(iou(one.mask, old) for old in before) == 1.0 for one in stored)


def test_a_mask_is_added_to_and_taken_from(desk: Desk, bench: Bench, scenes: list[Scene], round_: Round) -> None:
    """Undo brings the old mask back, in one step; the label stays that of the old one."""
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second = scene.objects[:2]
    desk.ask_about(first)
    accepted(desk)
    desk.key("w")
    desk.says("A add, X take away")
    desk.key("a")
    desk.says("the next mask is added")
    with desk.asking():
        desk.click(second.click_xy)
    desk.shot("work-add")
    desk.key("Enter")
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0 && ({MASKS})() === 1")
    assert desk.prompts() == 0
    desk.key("Control+z")
    has(desk, 1)
    desk.key("Control+Shift+z")
    has(desk, 1)
    desk.key("w")
    desk.key("x")
    desk.says("the next mask is taken away")
    with desk.asking():
        desk.click(first.click_xy)  # on the mask itself
    desk.key("Enter")
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0 && ({MASKS})() === 1")
    (one,) = clicks.read_back(round_, desk.submit())
    assert one.labels == (first.label,)
    assert iou(one.mask, second.mask() & ~first.mask()) >= GOOD


def test_a_mask_becomes_a_polygon_and_back(desk: Desk, bench: Bench, scenes: list[Scene], round_: Round) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    accepted(desk)
    desk.key("w")
    desk.key("p")
    desk.says("polygon within 1.5 pixels")
    corners = f"() => {SELECTED}.regions.find((one) => one.type === 'polygonregion')?.points.length ?? 0"
    fine = desk.page.evaluate(corners)
    desk.key("+")
    desk.says("polygon within 2.3 pixels")
    assert 3 <= desk.page.evaluate(corners) < fine
    desk.key("w")
    desk.key("w")
    desk.key("p")
    desk.page.wait_for_function(f"() => {SELECTED}.regions.every((one) => one.type === 'brushregion')")
    (stored,) = clicks.read_back(round_, desk.submit())
    assert stored.labels == (one.label,)
    assert iou(stored.mask, one.mask()) >= GOOD
