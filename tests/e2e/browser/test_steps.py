"""Clicks, keys and steps back: what is clicked is drawn, what was done is undone, and no label changes by itself."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from playwright.sync_api import CDPSession

from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import CONFIG
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.browser.test_leaving import opened
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

GOOD = 0.75
STROKE = "() => ToolManager.allInstances()[0].findSelectedTool().strokeWidth"


def accepted(desk: Desk, scene: Scene, number: int = 0) -> None:
    """The mask of one object, accepted."""
    desk.ask_about(scene.objects[number])
    desk.key("Enter")
    desk.settled()


def labels(desk: Desk) -> list[str]:
    return [one["label"] for one in desk.regions() if not one["dynamic"]]


def test_a_click_with_a_label_draws_on_a_mask(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """And selects it without one; then a label's key gives it that label, which is said and undone."""
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second = scene.objects[:2]
    accepted(desk, scene)
    desk.label(second.label)
    with desk.asking():
        desk.click(first.click_xy)
    assert desk.page.evaluate(f"() => {SELECTED}.selectedRegions.length") == 0
    assert (desk.prompts(), desk.masks()) == (1, 1)
    desk.key("Escape")
    desk.settled()
    assert labels(desk) == [first.label]

    desk.select(first.click_xy)
    desk.says(f"selected: {first.label}")
    desk.key(desk.keys[second.label])
    desk.says(f"{first.label} is {second.label} now; Ctrl+Z takes it back")
    assert labels(desk) == [second.label]
    desk.undone()
    assert labels(desk) == [first.label]
    assert "Ctrl+Z" not in desk.said()


def test_not_this_ends_with_its_object(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    first, second = scene.objects[:2]
    desk.ask_about(first)
    desk.key("n")
    desk.says("points say “not this”")
    desk.ask_about(second)
    assert "not this" not in desk.said()
    assert desk.page.evaluate(f"() => {SELECTED}.regions.filter((one) => one.negative).length") == 0
    assert intersection_over_union(desk.suggestion(), second.mask()) >= GOOD


def test_a_mask_without_a_label_is_not_accepted(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """Neither by Enter nor by Submit: no export would have it."""
    scene = scenes[0]
    task = opened(desk, bench, scene)
    with desk.asking():
        desk.click(scene.objects[0].click_xy)
    desk.key("Enter")
    desk.says("Not accepted: this mask has no label")
    assert (desk.suggestions, desk.masks()) == (1, 0)
    desk.page.get_by_role("button", name=re.compile("^submit", re.IGNORECASE)).first.click()
    desk.page.wait_for_function("() => !Htx.isSubmitting")
    assert bench.client.call("read", "GET", f"/api/tasks/{task}/annotations/") == []
    desk.label(scene.objects[0].label)
    desk.key("Enter")
    desk.settled()
    assert labels(desk) == [scene.objects[0].label]


def test_two_masks_are_undone_and_done_again(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    seen = [view(desk)]
    for one in scene.objects[:2]:
        desk.ask_about(one)
        desk.settled()
        seen.append(view(desk))
        desk.key("Enter")
        desk.settled()
        seen.append(view(desk))
    for expected in reversed(seen[:-1]):
        desk.undone()
        assert view(desk) == expected
    for expected in seen[1:]:
        desk.undone("Control+Shift+z")
        assert view(desk) == expected


def view(desk: Desk) -> dict[str, Any]:
    """What stands on the screen: masks by their label and size, prompts, how many masks wait."""
    regions = desk.page.evaluate(f"""() => {SELECTED}.regions.map((one) => [
      one.type, one.labelName ?? '', one.dynamic, one.negative === true, one.cleanId,
    ])""")
    return {"regions": sorted(regions), "waiting": desk.suggestions}


LAYOUTS = {  # what the two keys to the right of P type, and what Chromium then tells of them
    "es": ("Dead", "+"),
    "de": ("ü", "+"),
    "fr": ("Dead", "$"),
    "us": ("[", "]"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_brush_has_keys_on_every_keyboard(desk: Desk, bench: Bench, scenes: list[Scene], layout: str) -> None:
    scene = scenes[0]
    opened(desk, bench, scene)
    desk.label(scene.objects[0].label)
    desk.key("b")
    desk.says("thinner, thicker")
    before = desk.page.evaluate(STROKE)
    keys = desk.context.new_cdp_session(desk.page)
    thinner, thicker = LAYOUTS[layout]
    press(keys, thicker, "BracketRight")
    assert desk.page.evaluate(STROKE) == before + 5
    press(keys, thinner, "BracketLeft")
    press(keys, thinner, "BracketLeft")
    assert desk.page.evaluate(STROKE) == before - 5


def press(keys: CDPSession, key: str, code: str) -> None:
    """A key as a keyboard of another layout has it; Playwright's own is that of the United States."""
    for kind in ("rawKeyDown", "keyUp"):
        keys.send("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": code})


ACTIONS = (
    "pick",
    "click",
    "click",
    "click",
    "negative",
    "next",
    "enter",
    "enter",
    "escape",
    "undo",
    "redo",
    "other task",
    "reload",
)


@pytest.mark.parametrize("seed", [*range(1, 4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 51))])
def test_no_sequence_loses_a_mask_or_saves_a_prompt(
    desk: Desk, stage: Stage, scenes: list[Scene], round_: Round, seed: int
) -> None:
    """Ten things that people do, by chance: each mask that was accepted and not undone is submitted, with its label."""
    key, scene = stage.ctx.access.api_key, scenes[0]
    assert key is not None
    desk.page.on("dialog", lambda dialog: dialog.accept())
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, CONFIG) as own:
        tasks = [own.task(image=scene.task.image) for _ in range(2)]
        desk.open(own.project_id, tasks[0], scene.size_wh)
        desk.says(": ready")
        done = play(desk, own, tasks, scene, random.Random(seed))
        expected = sorted(masks(desk).values())
        annotation = desk.submit()
        stored = clicks.read_back(round_, annotation)
        results = [dict(found) for found in round_.client.sdk.annotations.get(annotation).result or []]
    assert sorted(label for found in stored for label in found.labels) == expected, f"seed {seed}: {done}"
    assert {found["type"] for found in results} <= {"brush", "labels"}


def play(desk: Desk, own: Bench, tasks: list[int], scene: Scene, chance: random.Random) -> str:
    """What was done, in words; at the end nothing waits to be accepted."""
    done: list[str] = []
    for _ in range(10):
        before = masks(desk)
        is_selected = desk.page.evaluate(f"() => {SELECTED}.selectedRegions.length > 0")
        action, one = chance.choice(ACTIONS), chance.choice(scene.objects)
        done.append(f"{action} {one.label}")
        if action in ("pick", "click"):
            desk.key(desk.keys[one.label])
        if action == "click":
            desk.click(one.click_xy)
        elif action in KEYS:
            desk.key(KEYS[action])
        elif action == "other task":
            desk.pick_row(1, tasks[1])
            desk.pick_row(0, tasks[0])
        elif action == "reload":
            desk.settled()
            desk.open(own.project_id, tasks[0], scene.size_wh)
        desk.settled()
        after = masks(desk)
        if action not in ("undo", "redo"):
            assert set(before) <= set(after), ", ".join(done)
            # With a mask selected, a label's key gives it that label: the person did.
            changed = {name for name, label in before.items() if after[name] != label}
            assert changed == set() or (is_selected and action in ("pick", "click")), ", ".join(done)
    for _ in range(2):  # what waits, then what is selected
        desk.key("Escape")
    desk.settled()
    return ", ".join(done)


KEYS = {
    "negative": "n",
    "next": "c",
    "enter": "Enter",
    "escape": "Escape",
    "undo": "Control+z",
    "redo": "Control+Shift+z",
}


def masks(desk: Desk) -> dict[str, str]:
    """The label of each mask that was accepted, by the region's id, which a draft keeps."""
    found: dict[str, str] = desk.page.evaluate(f"""() => Object.fromEntries({SELECTED}.regions
      .filter((one) => !one.dynamic).map((one) => [one.cleanId, one.labelName ?? '']))""")
    return found
