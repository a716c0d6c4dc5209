"""The line above the bottom bar: what to do next, in a place of its own, on any screen; and the pill on the picture."""

from __future__ import annotations

import pytest

from tests.e2e.browser.desk import VIEW, Desk
from tests.e2e.browser.test_leaving import opened
from tests.e2e.clicks import Scene
from tests.e2e.workbench import Bench

# What stands in the line's box, beside the line: a part of a picture, a tab of Compare All.
BEHIND = """() => {
  const line = document.querySelector('labelrig-chip').getBoundingClientRect();
  const across = (box) => box.left < line.right && box.right > line.left;
  const meets = (box) => across(box) && box.top < line.bottom && box.bottom > line.top;
  const clip = document.querySelector('.lsf-main-content').getBoundingClientRect();
  return [...document.querySelectorAll('.lsf-main-content canvas, .lsf-bottombar')].filter((one) => {
    const box = one.getBoundingClientRect();
    const isCut = one.tagName === 'CANVAS';
    return meets(isCut ? { ...box.toJSON(), bottom: Math.min(box.bottom, clip.bottom) } : box);
  }).map((one) => one.className || one.tagName);
}"""
COLOURS = """() => {
  const style = getComputedStyle(document.querySelector('labelrig-chip'));
  return [style.color, style.backgroundColor].map((one) => one.match(/[\\d.]+/g).slice(0, 3).map(Number));
}"""
SIZES = {"screen": VIEW, "150 %": {"width": 960, "height": 600}, "portrait": {"width": 800, "height": 1280}}


@pytest.mark.parametrize("size", SIZES)
def test_it_covers_nothing(desk: Desk, bench: Bench, scenes: list[Scene], size: str) -> None:
    desk.page.set_viewport_size(SIZES[size])  # type: ignore[arg-type]
    opened(desk, bench, scenes[0])
    assert desk.page.evaluate(BEHIND) == []
    desk.shot(f"line-{size.removesuffix(' %')}")
    desk.ask_about(scenes[0].objects[0])
    desk.says("Enter accepts")
    assert desk.page.evaluate(BEHIND) == []


def test_it_is_not_there_where_nothing_is_drawn(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """Compare All shows all annotations side by side, with their tabs where the line would be."""
    opened(desk, bench, scenes[0])
    desk.page.evaluate("() => Htx.annotationStore.toggleViewingAllAnnotations()")
    desk.chip.wait_for(state="hidden")
    desk.page.evaluate("() => Htx.annotationStore.toggleViewingAllAnnotations()")
    desk.says(": ready")


def test_it_is_read_aloud_and_follows_the_dark_mode(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    opened(desk, bench, scenes[0])
    assert "pick a label" in (desk.page.get_by_role("status").filter(has_text=": ready").text_content() or "")
    assert "SAM2 demo (cpu)" in (desk.chip.get_attribute("title") or "")
    light = desk.page.evaluate(COLOURS)
    desk.page.evaluate("() => document.documentElement.setAttribute('data-color-scheme', 'dark')")
    dark = desk.page.evaluate(COLOURS)
    assert sum(light[1]) > sum(light[0])
    assert sum(dark[1]) < sum(dark[0])


def test_nothing_found_in_a_box_asks_for_no_box(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """A box on what is no object: the line says what else to do, and offers no other mask of it."""
    scene = scenes[0]
    opened(desk, bench, scene)
    desk.label(scene.objects[0].label)
    desk.key("r")
    desk.says("draw a box around the object")
    desk.page.route(
        "**/interactive-annotating*", lambda route: route.fulfill(json={"data": {"result": [], "candidates": 1}})
    )
    left, top, right, bottom = scene.objects[0].box_xyxy
    desk.drag((left, top), (right, bottom))
    desk.says("no object in that box")
    assert "draw a box" not in desk.said()
    assert "C:" not in desk.said()


def test_the_pill_on_the_picture_has_its_icons(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """Label Studio asks the server for a component in place of an icon."""
    lost: list[str] = []
    desk.page.on("response", lambda got: lost.append(got.url) if got.status == 404 else None)
    opened(desk, bench, scenes[0])
    lost.clear()
    desk.ask_about(scenes[0].objects[0])
    desk.settled()
    icons = desk.page.evaluate("""() => {
      const stage = Htx.annotationStore.selected.names.get('image').stageRef;
      return stage.find('Image').map((one) => one.image()).filter((one) => one?.src?.startsWith('data:image/svg'))
        .map((one) => one.naturalWidth > 0);
    }""")
    assert icons == [True, True]
    assert lost == []
    desk.shot("pill")
