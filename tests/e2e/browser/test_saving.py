"""What was accepted is saved at once, what is not saved is said, and no prompt is ever saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from playwright.sync_api import Dialog, Page

from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.browser.test_leaving import ONE_MASK, opened
from tests.e2e.clicks import Round, Scene
from tests.e2e.workbench import Bench, point

GOOD = 0.75
AT_ONCE_MS = 4_000  # Label Studio's own clock takes 5 s
CLICK = f"() => {SELECTED}.regions.length === 0"


def drafts(bench: Bench, task: int) -> list[dict[str, Any]]:
    """What Label Studio has of a task that was not submitted, result by result."""
    found = bench.client.call("read", "GET", f"/api/tasks/{task}/")["drafts"]
    return [dict(result) for one in found for result in one["result"]]


@contextmanager
def draft_saved(page: Page, timeout: float = AT_ONCE_MS) -> Iterator[None]:
    """What is done inside saves a draft, in time."""
    with page.expect_response(
        lambda got: re.search(r"/drafts", got.url) is not None and got.request.method in ("POST", "PATCH") and got.ok,
        timeout=timeout,
    ):
        yield


def test_an_accepted_mask_outlives_a_reload_at_once(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    task = opened(desk, bench, scene)
    desk.ask_about(scene.objects[0])
    with draft_saved(desk.page):
        desk.key("Enter")
    asked: list[str] = []

    def go(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    desk.page.on("dialog", go)
    desk.settled()
    desk.open(bench.project_id, task, scene.size_wh)
    assert asked == []
    assert [(one["type"], one["label"]) for one in desk.regions()] == [("brushregion", scene.objects[0].label)]
    assert {one["type"] for one in drafts(bench, task)} == {"brush", "labels"}


def test_the_page_asks_before_what_waits_is_lost(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    desk.ask_about(scene.objects[0])
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    desk.page.on("dialog", stay)
    desk.page.evaluate("() => { location.href = '/projects/' }")
    desk.page.wait_for_timeout(1000)
    assert asked == ["beforeunload"]
    assert desk.suggestions == 1
    desk.page.remove_listener("dialog", stay)


def test_without_a_network_nothing_is_lost(desk: Desk, bench: Bench, scenes: list[Scene], round_: Round) -> None:
    """Submit says so and ends, instead of turning for ever; with the network back the same page submits."""
    scene = scenes[0]
    task = opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    desk.context.set_offline(True)
    desk.key("Enter")
    desk.says("Not saved yet")
    desk.page.get_by_role("button", name=re.compile("^submit", re.IGNORECASE)).first.click()
    desk.page.wait_for_function("() => !Htx.isSubmitting && !Htx.isLoading")
    assert desk.masks() == 1
    assert bench.client.call("read", "GET", f"/api/tasks/{task}/annotations/") == []
    desk.context.set_offline(False)
    desk.says(": ready")
    assert {found["type"] for found in drafts(bench, task)} == {"brush", "labels"}
    (stored,) = clicks.read_back(round_, desk.submit())
    assert intersection_over_union(stored.mask, one.mask()) >= GOOD
    assert drafts(bench, task) == []


def test_no_browser_gets_a_prompt_from_a_draft(
    make_desk: MakeDesk, bench: Bench, scenes: list[Scene], round_: Round
) -> None:
    """Neither from this page, which saves the mask that waits and not its point, nor from one without our script."""
    scene, desk = scenes[0], make_desk()
    task = opened(desk, bench, scene)
    with draft_saved(desk.page, 15_000):  # while it waits
        desk.ask_about(scene.objects[0])
    assert {one["type"] for one in drafts(bench, task)} == {"brush", "labels"}

    stock = bench.task(image=scene.task.image)
    prompt = {**point(scene.objects[0].click_xy, scene.size_wh), "from_name": "point", "type": "keypoint"}
    prompt["value"] = {name: value for name, value in prompt["value"].items() if not name.endswith("labels")}
    bench.draft(stock, prompt)
    other = make_desk()
    other.open(bench.project_id, stock, scene.size_wh)
    other.page.wait_for_function(CLICK)
    annotation = other.submit()
    assert round_.client.sdk.annotations.get(annotation).result == []


def test_leaving_by_any_way_keeps_the_mask_that_waits(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """Another mask of a lone point changes nothing that Label Studio sees: it is kept all the same."""
    scene = scenes[0]
    task = opened(desk, bench, scene)
    with draft_saved(desk.page, 15_000):
        desk.ask_about(scene.objects[0])
    best = desk.suggestion()
    with desk.asking():
        desk.key("c")
    desk.says("this is 2 of 3")
    if not desk.suggestions:
        with desk.asking():
            desk.key("c")
        desk.says("this is 3 of 3")
    chosen = desk.suggestion()
    with draft_saved(desk.page):
        desk.page.get_by_role("link", name="Settings").first.click()
    desk.page.wait_for_url("**/settings**")
    desk.open(bench.project_id, task, scene.size_wh)
    desk.page.wait_for_function(ONE_MASK)
    kept = desk.mask_of(0)
    assert np.array_equal(kept, chosen)
    assert not np.array_equal(kept, best)
