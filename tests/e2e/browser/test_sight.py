"""What our script draws over the picture: signs for prompts, outlines, the mask before the click; and its keys."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Request, Response

from core.repository import REPOSITORY
from labelstudio.truth import TruthObject
from masks.measure import intersection_over_union
from masks.raster import filled
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import ANSWER_MS, SELECTED, Desk
from tests.e2e.browser.strokes import way_over
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

GOOD = 0.75
SAME = 0.98  # an outline has whole pixels' edges, and its corners are rounded to thousandths of a percent
# The strongest colour of our canvas near points of the image, in percent: red, green, blue, alpha.
COLOURS = f"""([name, points]) => {{
  const image = {SELECTED}.names.get(name), stage = image.stageRef;
  const canvas = stage.content.querySelector('.labelrig-overlay'), context = canvas.getContext('2d');
  const ratio = canvas.width / canvas.clientWidth, place = stage.getAbsoluteTransform();
  return points.map(([x, y]) => {{
    const at = place.point({{ x: x / 100 * image.stageWidth, y: y / 100 * image.stageHeight }});
    const near = context.getImageData(Math.round(at.x * ratio) - 2, Math.round(at.y * ratio) - 2, 5, 5).data;
    let best = 0;
    for (let one = 0; one < near.length; one += 4) if (near[one + 3] > near[best + 3]) best = one;
    return [...near.slice(best, best + 4)];
  }});
}}"""
DRAWN = """(name) => {
  const stage = Htx.annotationStore.selected.names.get(name).stageRef;
  const canvas = stage.content.querySelector('.labelrig-overlay');
  return canvas !== null && canvas.style.transform === '';
}"""
# Whether a point of the image, in percent, is on the screen.
INSIDE = f"""([x, y]) => {{
  const image = {SELECTED}.names.get('image'), stage = image.stageRef;
  const at = stage.getAbsoluteTransform().point({{ x: x / 100 * image.stageWidth, y: y / 100 * image.stageHeight }});
  return at.x > 8 && at.y > 8 && at.x < stage.width() - 8 && at.y < stage.height() - 8;
}}"""
ANSWERED = """() => {
  const entries = performance.getEntriesByType('resource').filter((one) => one.name.includes('interactive'));
  return entries[entries.length - 1].responseEnd - window.movedAt;
}"""
Mask = NDArray[np.bool_]


def opened(desk: Desk, bench: Bench, scene: Scene) -> int:
    """A task of this test's own on the screen, its image encoded; its id."""
    task = bench.task(image=scene.task.image)
    desk.open(bench.project_id, task, scene.size_wh)
    desk.says(": ready")
    return task


def colours(desk: Desk, places_xy: list[tuple[float, float]]) -> NDArray[np.int64]:
    """``(N, 4)``: what our canvas shows at pixels of the image, once it was drawn for how the image lies now."""
    desk.page.wait_for_timeout(300)
    desk.page.wait_for_function(DRAWN, arg=desk.image)
    return np.asarray(desk.page.evaluate(COLOURS, [desk.image, [percent(desk, xy) for xy in places_xy]]))


def percent(desk: Desk, xy: tuple[float, float]) -> list[float]:
    return [100 * value / size for value, size in zip(xy, desk.size_wh, strict=True)]


def edge(mask: Mask, count: int = 60) -> list[tuple[float, float]]:
    """Places on a mask's edge, spread over it."""
    rows, columns = np.nonzero(mask & ~np.roll(mask, 1, axis=1))
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)
    return [(float(columns[one]), float(rows[one]) + 0.5) for one in chosen]


def outlined(desk: Desk, mask: Mask) -> float:
    """Which share of a mask's edge has a line of ours."""
    return float((colours(desk, edge(mask))[:, 3] > 60).mean())


def overlay(desk: Desk) -> NDArray[np.uint8]:
    """Our canvas, ``(H, W, 4)``, once it was drawn for how the image lies now."""
    colours(desk, [])
    url = desk.page.evaluate("() => document.querySelector('.labelrig-overlay').toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGBA"))


def pieces(canvas: NDArray[np.uint8], rgb: tuple[int, ...]) -> int:
    """How many separate pieces a colour has."""
    near = (np.abs(canvas[..., :3].astype(int) - rgb).max(axis=2) <= 24) & (canvas[..., 3] >= 230)
    return int(cv2.connectedComponents(cv2.dilate(near.astype(np.uint8), np.ones((3, 3), np.uint8)))[0]) - 1


def accept(desk: Desk) -> None:
    desk.key("Enter")
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0")


def boxed(desk: Desk, one: TruthObject) -> None:
    desk.label(one.label)
    desk.key("r")
    left, top, right, bottom = one.box_xyxy
    with desk.asking():
        desk.drag((left - 6, top - 6), (right + 6, bottom + 6))


def test_points_are_signs_and_a_click_removes_them(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second = scene.objects[:2]
    desk.ask_about(first)
    alone = desk.suggestion()
    here, elsewhere = colours(desk, [first.click_xy, second.click_xy])[:, 3]
    assert here > 200
    assert elsewhere == 0
    desk.key("n")
    with desk.asking():
        desk.click(second.click_xy)
    assert colours(desk, [second.click_xy])[0][3] > 200
    desk.shot("signs")
    x, y = second.click_xy
    scale = desk.page.evaluate(f"() => {SELECTED}.names.get('image').stageWidth") / scene.size_wh[0]
    with desk.asking():
        desk.click((x + 4 / scale, y + 3 / scale))  # beside the middle, on the sign
    assert (desk.prompts(), [one["type"] for one in desk.regions()]) == (1, ["keypointregion"])
    assert np.array_equal(desk.suggestion(), alone)
    desk.click(first.click_xy)  # the last one: its mask goes too
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0")
    assert desk.regions() == []


def test_boxes_and_strokes_are_removed_at_their_signs(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second = scene.objects[:2]
    boxed(desk, first)
    left, top, _, bottom = first.box_xyxy
    assert (colours(desk, [(left - 6, (top + bottom) / 2), (left - 6, top - 6)])[:, 3] > 100).all()
    desk.click((left - 6, top - 6))
    desk.page.wait_for_function(f"() => {SELECTED}.regions.length === 0")
    desk.label(second.label)
    desk.key("b")
    way = way_over(second.mask())
    with desk.asking():
        desk.drag(*way)
    desk.click(way[0])
    desk.page.wait_for_function(f"() => {SELECTED}.regions.length === 0")


def test_what_begins_on_a_sign_and_goes_on_is_the_editors(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """A box whose drag begins on a point is drawn, and the point stays; undo takes the last one."""
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    desk.key("r")
    x, y = one.click_xy
    with desk.asking():
        desk.drag((x + 7, y + 7), (x + 90, y + 70))  # on the sign, beside the editor's own dot
    assert sorted(region["type"] for region in desk.regions()) == ["keypointregion", "rectangleregion"]
    with desk.asking():
        desk.key("Control+z")
    assert [region["type"] for region in desk.regions()] == ["keypointregion"]


def test_masks_have_outlines_dashed_while_they_wait(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    mask = desk.suggestion()
    assert outlined(desk, mask) >= 0.95
    waits = overlay(desk)
    assert pieces(waits, (255, 255, 255)) >= 10  # dashes
    accept(desk)
    assert outlined(desk, mask) >= 0.95
    assert pieces(overlay(desk), (255, 255, 255)) == 0
    colour = desk.page.evaluate(f"() => {SELECTED}.regions[0].strokeColor")
    rgb = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    assert 1 <= pieces(overlay(desk), rgb) < 10  # a line
    rows, columns = np.nonzero(mask)
    middle = (float(columns.mean()), float(rows.mean()))
    assert (colours(desk, [middle, (2.0, 2.0)])[:, 3] == 0).all()  # only there
    for look in ("i", "f"):
        desk.key(look)
    assert outlined(desk, mask) >= 0.95
    desk.key("Shift+G")
    desk.page.evaluate(f"() => {SELECTED}.names.get('image').setZoom(2)")
    desk.page.evaluate(f"() => {SELECTED}.names.get('image').setZoomPosition(-120, -90)")
    inside = [xy for xy in edge(mask, 400) if desk.page.evaluate(INSIDE, percent(desk, xy))]
    assert inside
    assert (colours(desk, inside)[:, 3] > 60).mean() >= 0.95
    desk.shot("outline-zoomed")


def test_nothing_of_it_is_saved_or_undone(desk: Desk, bench: Bench, scenes: list[Scene], round_: Round) -> None:
    """Outlines, hidden classes and paler masks: the annotation is as without them, and undo has one step for a mask."""
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    mask = desk.suggestion()
    accept(desk)
    steps = f"() => {SELECTED}.history.undoIdx"
    before = desk.page.evaluate(steps)
    desk.key("o")
    desk.says("masks filled 40 %")
    desk.page.locator("labelrig-panel").get_by_role("button", name=re.compile("1 region")).click()
    desk.page.locator("labelrig-panel").get_by_role("button", name=re.compile(f"^{one.label}")).click()
    assert outlined(desk, mask) == 0
    assert desk.page.evaluate(steps) == before
    annotation = desk.submit()
    results = round_.client.sdk.annotations.get(annotation).result or []
    assert not any(dict(result).get("hidden") for result in results)
    (stored,) = clicks.read_back(round_, annotation)
    assert np.array_equal(stored.mask, mask)
    desk.key("o")
    desk.key("o")


def rests(desk: Desk, xy: tuple[float, float], within_ms: float = ANSWER_MS) -> tuple[Mask, float]:
    """Rest the mouse on a pixel; the mask that is outlined then, and seconds until its answer, by the page's clock."""
    desk.page.evaluate("() => addEventListener('pointermove', () => (window.movedAt = performance.now()), true)")
    with desk.page.expect_response(is_preview, timeout=within_ms) as got:
        desk.rest(xy)
    answer = got.value.json()["data"]["preview"]["outline"]
    took = desk.page.evaluate(ANSWERED)
    mask = np.zeros(desk.size_wh[::-1], dtype=np.bool_)
    for ring in answer:
        mask ^= filled(np.asarray(ring).reshape(-1, 2) / 100 * desk.size_wh, desk.size_wh)
    return mask, took / 1000


def is_preview(answer: Response) -> bool:
    return '"ask":"preview"' in (answer.request.post_data or "")


def test_the_mask_is_outlined_before_the_click_and_taken(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    took = []
    for one in scene.objects[:3]:
        desk.label(one.label)
        shown, seconds = rests(desk, one.click_xy)
        took.append(seconds)
        assert intersection_over_union(shown, one.mask()) >= GOOD
        assert outlined(desk, shown) >= 0.9
        desk.shot("before-the-click")
        x, y = one.click_xy
        with desk.page.expect_request(is_click_request) as asked, desk.asking():
            desk.click((x + 1, y + 1))  # a hand that holds still
        sent = json.loads(asked.value.post_data or "")["context"]["result"][0]["value"]
        assert [sent["x"], sent["y"]] == pytest.approx(percent(desk, (x + 0.5, y + 0.5)), abs=0.01)
        assert intersection_over_union(desk.suggestion(), shown) >= SAME
        accept(desk)
    print(f"rest to outline: {', '.join(f'{one:.3f}' for one in took)} s")  # noqa: T201


def is_click_request(request: Request) -> bool:
    return "/interactive-annotating" in request.url and '"ask"' not in (request.post_data or "")


def test_no_mask_is_asked_for_where_none_is_wanted(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """Without a label, while a mask waits, with the brush, switched off; on a mask it is, as a click draws there."""
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second = scene.objects[:2]
    asked: list[Any] = []
    desk.page.on("request", lambda one: asked.append(one) if '"ask":"preview"' in (one.post_data or "") else None)

    def rest(xy: tuple[float, float]) -> int:
        asked.clear()
        desk.rest(xy)
        desk.page.wait_for_timeout(800)
        return len(asked)

    assert rest(first.click_xy) == 0
    desk.ask_about(first)
    assert rest(second.click_xy) == 0
    accept(desk)
    assert rest(first.click_xy) == 0  # a click selects the mask
    desk.label(second.label)
    assert rest(second.click_xy) >= 1
    assert rest(first.click_xy) >= 1
    with desk.asking():
        desk.click(first.click_xy)
    assert (desk.suggestions, desk.prompts()) == (1, 1)
    desk.key("Escape")
    desk.label(second.label)
    desk.key("b")
    assert rest(second.click_xy) == 0
    desk.key("k")
    desk.page.locator("labelrig-panel").get_by_role("button", name=re.compile("region")).click()
    desk.page.locator("labelrig-panel").get_by_role("button", name="outline before the click").click()
    assert rest(second.click_xy) == 0


def test_the_label_is_kept_for_the_next_object(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second, third = scene.objects[:3]
    desk.key("l")
    desk.says("the label stays")
    desk.ask_about(first)
    accept(desk)
    assert desk.page.evaluate(f"() => {SELECTED}.names.get('label').selectedValues()") == [first.label]
    desk.key(desk.keys[first.label])  # out of habit: it stays picked
    with desk.asking():
        desk.click(second.click_xy)
    accept(desk)
    assert [one["label"] for one in desk.regions()] == [first.label] * 2
    assert {result for one in desk.regions() for result in one["results"]} == {"brush", "labels"}
    desk.key("l")
    desk.ask_about(third)
    accept(desk)
    assert desk.page.evaluate(f"() => {SELECTED}.names.get('label').selectedValues()") == []


def test_tab_saves_and_opens_the_next_task(
    make_desk: MakeDesk, stage: Stage, scenes: list[Scene], round_: Round
) -> None:
    key, scene = stage.ctx.access.api_key, scenes[0]
    assert key is not None
    config = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v2.xml").read_text("utf-8")
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, config) as own:
        tasks = [own.task(image=one.task.image) for one in scenes[:3]]
        desk = make_desk()
        desk.open(own.project_id, tasks[0], scene.size_wh)
        desk.says(": ready")
        one = scene.objects[0]
        desk.ask_about(one)
        desk.key("Tab")
        desk.says("Enter or Esc first")
        accept(desk)
        desk.key("Tab")
        desk.opened(tasks[1])
        annotations = round_.client.sdk.annotations.list(tasks[0])
        assert [len(annotation.result or []) for annotation in annotations] == [2]
        desk.key("Tab")  # nothing was drawn: nothing is saved
        desk.opened(tasks[2])
        assert round_.client.sdk.annotations.list(tasks[1]) == []
        desk.key("Tab")
        desk.says("the last task of the list")


def test_a_pair_has_outlines_and_signs_on_both_images(make_desk: MakeDesk, stage: Stage, scenes: list[Scene]) -> None:
    key, scene = stage.ctx.access.api_key, scenes[0]
    assert key is not None
    config = (REPOSITORY / "labeling_configs" / "rgbt-pair" / "v1.xml").read_text("utf-8")
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, config) as own:
        task = own.task(rgb=scene.task.image, thermal=scene.task.image)
        desk = make_desk(config)
        masks: dict[str, Mask] = {}
        for side, one in zip(("rgb", "thermal"), scene.objects, strict=False):
            desk.turn_to(side)
            if side == "rgb":
                desk.open(own.project_id, task, scene.size_wh)
                desk.says(": ready")
            desk.label(one.label)
            before, _ = rests(desk, one.click_xy)
            with desk.asking():
                desk.click(one.click_xy)
            masks[side] = desk.suggestion()
            assert intersection_over_union(masks[side], before) >= SAME
            assert outlined(desk, masks[side]) >= 0.95
            accept(desk)
        desk.turn_to("rgb")
        assert outlined(desk, masks["rgb"]) >= 0.95
        assert outlined(desk, masks["thermal"]) <= 0.2
