"""The switch is off: Label Studio's own pages, and what they can do works with our backend as it always did."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.operation import converge
from core.report import Report
from hosts.local import LocalHost
from infra.config.dotenv import read_env_file
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import DEMO, with_folder
from infra.roles.stack.render import render_stack
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.clicks import Round, Scene
from tests.e2e.conftest import Stack
from tests.e2e.workbench import Bench

GOOD = 0.75


@pytest.fixture(scope="module", autouse=True)
def switched_off(stack: Stack, demo_folder: Path) -> None:
    """Label Studio without our script, from here on: see LAST in conftest.py."""
    values = read_env_file(Path(stack.files.env)) | {"LABELRIG_COMPANION": "off"}
    folders, _ = with_folder([], demo_folder / "images", DEMO)
    files = render_stack(stack.files, values, folders, folders, [], stack.settings.backend)
    converge([FilesWritten(LocalHost(), files), stack.running], Report())


@pytest.fixture
def stock(make_desk: MakeDesk, bench: Bench, scenes: list[Scene]) -> Desk:
    """A task on the screen, as Label Studio alone shows it."""
    desk, scene = make_desk(), scenes[0]
    desk.open(bench.project_id, bench.task(image=scene.task.image), scene.size_wh)
    return desk


def test_nothing_of_ours_is_in_the_page(stock: Desk) -> None:
    assert "/static/labelrig/" not in stock.page.content()
    assert stock.chip.count() == 0
    assert stock.page.evaluate("() => [Htx.autoAnnotation, Htx.autoAcceptSuggestions]") == [False, False]


def test_points_and_boxes_become_masks(stock: Desk, scenes: list[Scene], round_: Round) -> None:
    first, second = scenes[0].objects[:2]
    stock.page.get_by_test_id("bottombar-auto-annotation-toggle").click()
    stock.page.evaluate("() => document.activeElement.blur()")  # the switch would get the keys
    smart = stock.page.locator(".lsf-tool_smart").first
    smart.click()  # Auto-Detect: the smart key point
    stock.ask_about(first)
    assert intersection_over_union(stock.suggestion(), first.mask()) >= GOOD
    with stock.asking():
        stock.click(second.click_xy, "Alt")
    refined = stock.suggestion()
    assert intersection_over_union(refined, first.mask()) >= GOOD
    assert refined[second.mask()].mean() <= 0.1
    accept(stock)

    smart.click()  # and once more: the smart rectangle
    stock.label(second.label)  # with one palette for all tools, the first label was picked until now
    left, top, right, bottom = second.box_xyxy
    with stock.asking():
        stock.drag((left - 4, top - 4), (right + 4, bottom + 4))
    assert intersection_over_union(stock.suggestion(), second.mask()) >= GOOD
    accept(stock)

    stored = clicks.read_back(round_, stock.submit())
    assert [one.labels for one in stored] == [(first.label,), (second.label,)]
    for found, one in zip(stored, (first, second), strict=True):
        assert intersection_over_union(found.mask, one.mask()) >= GOOD


def accept(desk: Desk) -> None:
    """The check mark of the bottom bar."""
    desk.page.get_by_test_id("bottombar-accept-suggestions-button").click()
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0")
    assert desk.prompts() == 0
