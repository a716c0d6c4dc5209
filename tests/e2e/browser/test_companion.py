"""The pages with our script: points, boxes and the brush become masks, and nothing is left over."""

from __future__ import annotations

import numpy as np
import pytest

from core.repository import REPOSITORY
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import Desk
from tests.e2e.browser.strokes import way_over
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

GOOD = 0.75


def opened(desk: Desk, bench: Bench, scene: Scene) -> int:
    """A task of this test's own on the screen, its image encoded; its id."""
    task = bench.task(image=scene.task.image)
    desk.open(bench.project_id, task, scene.size_wh)
    desk.says(": ready")
    return task


def accepted(desk: Desk) -> None:
    desk.key("Enter")
    desk.page.wait_for_function("() => Htx.annotationStore.selected.suggestions.size === 0")
    assert desk.prompts() == 0


def test_the_first_ten_minutes(desk: Desk, bench: Bench, scenes: list[Scene], round_: Round) -> None:
    """What the guide tells, step by step: a point, one that says "not this", a box, the brush; submit and reopen."""
    scene = scenes[0]
    task = bench.task(image=scene.task.image)
    desk.open(bench.project_id, task, scene.size_wh)
    desk.says(": ready")
    assert "SAM2 DEMO: ready" in desk.said()
    assert "SAM2 demo (cpu)" in (desk.chip.get_attribute("title") or "")
    assert desk.page.evaluate("() => [Htx.autoAnnotation, Htx.autoAcceptSuggestions]") == [True, False]
    desk.shot("open")
    first, second, third = scene.objects[:3]

    desk.ask_about(first)
    assert intersection_over_union(desk.suggestion(), first.mask()) >= GOOD
    desk.says("Enter accepts, Esc rejects")
    desk.shot("point")
    desk.key("n")
    desk.says("points say “not this”")
    with desk.asking():
        desk.click(second.click_xy)  # the label is still picked
    refined = desk.suggestion()
    assert intersection_over_union(refined, first.mask()) >= GOOD
    assert refined[second.mask()].mean() <= 0.1
    assert [one["type"] for one in desk.regions()] == ["keypointregion"] * 2
    desk.shot("negative")
    accepted(desk)
    desk.shot("accepted")

    desk.label(second.label)
    desk.key("r")
    left, top, right, bottom = second.box_xyxy
    with desk.asking():
        desk.drag((left - 4, top - 4), (right + 4, bottom + 4))
    assert intersection_over_union(desk.suggestion(), second.mask()) >= GOOD
    desk.shot("box")
    accepted(desk)

    desk.label(third.label)
    desk.key("b")
    with desk.asking():
        desk.drag(*way_over(third.mask()))
    assert intersection_over_union(desk.suggestion(), third.mask()) >= GOOD
    desk.shot("brush")
    accepted(desk)

    annotation = desk.submit()
    stored = clicks.read_back(round_, annotation)
    assert [one.labels for one in stored] == [(one.label,) for one in (first, second, third)]
    for found, one in zip(stored, (first, second, third), strict=True):
        assert intersection_over_union(found.mask, one.mask()) >= GOOD
    results = round_.client.sdk.annotations.get(annotation).result or []
    assert {dict(one)["type"] for one in results} == {"brush", "labels"}

    desk.open(bench.project_id, task, scene.size_wh)
    assert desk.masks() == 3
    desk.shot("reopened")


@pytest.mark.parametrize("count", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_strokes_of_the_mouse_become_the_objects_masks(
    desk: Desk, bench: Bench, scenes: list[Scene], round_: Round, count: int
) -> None:
    found, truth = [], []
    for scene in scenes[:count]:
        opened(desk, bench, scene)
        for one in scene.objects:
            desk.label(one.label)
            desk.key("b")
            with desk.asking():
                desk.drag(*way_over(one.mask()))
            accepted(desk)
        stored = clicks.read_back(round_, desk.submit())
        assert [one.labels for one in stored] == [(one.label,) for one in scene.objects]
        found += [one.mask for one in stored]
        truth += [one.mask() for one in scene.objects]
    assert len(found) >= 2 * count
    scores = [intersection_over_union(*pair) for pair in zip(found, truth, strict=True)]
    print(f"brush: mean IoU {np.mean(scores):.3f} of {len(scores)} strokes, worst {min(scores):.3f}")  # noqa: T201
    assert np.mean(scores) >= GOOD


def test_more_strokes_refine_and_a_point_joins_them(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.label(one.label)
    desk.key("b")
    way = way_over(one.mask(), share=0.3)
    with desk.asking():
        desk.drag(*way)
    with desk.asking():
        desk.drag(*way_over(one.mask(), share=0.5, bend=-0.15))
    assert [region["type"] for region in desk.regions()] == ["brushregion"]
    desk.key("k")
    with desk.asking():
        desk.click(one.click_xy)
    assert intersection_over_union(desk.suggestion(), one.mask()) >= GOOD
    accepted(desk)
    assert desk.masks() == 1


def test_the_brush_by_hand_asks_nothing(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[1]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.key("Shift+B")
    desk.says("the brush paints by hand")
    asked: list[str] = []
    desk.page.on("request", lambda request: asked.append(request.url) if "interactive" in request.url else None)
    desk.label(one.label)
    desk.key("b")
    desk.drag(*way_over(one.mask()))
    desk.page.wait_for_timeout(1500)
    assert asked == []
    assert desk.masks() == 1
    desk.key("Shift+B")


def test_esc_leaves_nothing_behind(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[1]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    assert desk.suggestions == 1
    desk.key("Escape")
    assert (desk.suggestions, desk.regions()) == (0, [])


def test_c_goes_round_the_models_masks(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """A lone point may mean a part or the whole; what is chosen is kept."""
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    desk.says("this is 1 of 3")
    best, others = desk.suggestion(), []
    for number in (2, 3):
        with desk.asking():
            desk.key("c")
        desk.says(f"this is {number} of 3")
        others += [desk.suggestion()] if desk.suggestions else []
    assert others
    assert not any(np.array_equal(other, best) for other in others)
    with desk.asking():
        desk.key("c")
    desk.says("this is 1 of 3")
    assert np.array_equal(desk.suggestion(), best)
    accepted(desk)
    assert (desk.masks(), desk.prompts()) == (1, 0)


def test_a_deleted_prompt_is_no_longer_asked_with(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """The stock page leaves the old suggestion on the screen."""
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second = scene.objects[:2]
    desk.ask_about(first)
    alone = desk.suggestion()
    with desk.asking():
        desk.click(second.click_xy)
    with desk.asking():
        desk.key("Control+z")
    assert np.array_equal(desk.suggestion(), alone)
    desk.page.evaluate("() => Htx.annotationStore.selected.regions.forEach((one) => one.deleteRegion())")
    desk.page.wait_for_function("() => Htx.annotationStore.selected.suggestions.size === 0")


def test_another_label_keeps_the_mask_that_waited(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    for one in scene.objects[:2]:
        desk.ask_about(one)
    accepted(desk)
    assert [one["label"] for one in desk.regions()] == [one.label for one in scene.objects[:2]]


def test_submitting_takes_the_mask_that_waits_and_no_point(
    desk: Desk, bench: Bench, scenes: list[Scene], round_: Round
) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    (stored,) = clicks.read_back(round_, desk.submit())
    assert intersection_over_union(stored.mask, one.mask()) >= GOOD


def test_the_check_mark_on_the_image_leaves_no_points(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """It is drawn on the canvas; what it does is called here."""
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    selected = "Htx.annotationStore.selected"
    desk.page.evaluate(f"() => {selected}.acceptSuggestion({selected}.suggestions.keys().next().value)")
    desk.page.wait_for_function(f"() => {selected}.regions.length === 1")
    assert (desk.masks(), desk.prompts()) == (1, 0)


def test_the_guides_own_template_leaves_no_second_result(
    make_desk: MakeDesk, stage: Stage, scenes: list[Scene], round_: Round
) -> None:
    """A palette per tool, and labels that stay picked: the stock page glues the point's label to the accepted mask."""
    key, scene = stage.ctx.access.api_key, scenes[0]
    assert key is not None
    config = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v1.xml").read_text("utf-8")
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, config) as own:
        desk = make_desk(config)
        opened(desk, own, scene)
        desk.page.evaluate("() => Htx.settings.continuousLabeling || Htx.settings.toggleContinuousLabeling()")
        for one in scene.objects[:2]:
            desk.page.locator(".column").nth(1).get_by_text(one.label, exact=True).click()
            with desk.asking():
                desk.click(one.click_xy)
            accepted(desk)
        annotation = desk.submit()
        results = [dict(one) for one in round_.client.sdk.annotations.get(annotation).result or []]
        assert [(one["type"], one["value"]["brushlabels"]) for one in results] == [
            ("brushlabels", [one.label]) for one in scene.objects[:2]
        ]


def test_what_somebody_switched_stays_so_in_the_project(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[2]
    task = opened(desk, bench, scene)
    desk.page.get_by_test_id("bottombar-auto-annotation-toggle").click()
    desk.says("switch Auto-Annotation on")
    desk.open(bench.project_id, task, scene.size_wh)
    desk.says("switch Auto-Annotation on")


@pytest.mark.parametrize(("language", "ready"), [("es-ES", "DEMO: listo · elige una etiqueta: pulsa su tecla")])
def test_it_speaks_spanish(make_desk: MakeDesk, bench: Bench, scenes: list[Scene], language: str, ready: str) -> None:
    desk = make_desk(language=language)
    task = bench.task(image=scenes[0].task.image)
    desk.open(bench.project_id, task, scenes[0].size_wh)
    desk.says(ready)
    assert "DEMOSTRACIÓN, solo para figuras dibujadas" in (desk.chip.get_attribute("title") or "")
    desk.shot("es-open")
