"""Makes the pictures of both guides for annotators from the real page, and the one of docs/propagate.md.

Writes docs/images. pytest does not collect it; after a change of the page:

    .venv/bin/python -m pytest tests/e2e/browser/pictures.py tests/e2e/browser/flow.py
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ViewportSize

from core.repository import REPOSITORY
from demo.clicks import box_of, inner_point
from demo.scenes import SceneObject
from tests.e2e.browser.conftest import CONFIG, MakeDesk, without_backend
from tests.e2e.browser.desk import SELECTED, XY, Desk
from tests.e2e.browser.drawn import SIZE, TOO_MUCH, outdoors, served
from tests.e2e.browser.strokes import way_over
from tests.e2e.browser.test_onward import CONFIG as SEQUENCE_CONFIG
from tests.e2e.browser.test_onward import RUN_S, Moving, moving, scene
from tests.e2e.browser.test_onward import SIZE as FRAME_SIZE
from tests.e2e.browser.test_sight import is_preview
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench

__all__ = ["moving", "scene"]  # fixtures

IMAGES = REPOSITORY / "docs" / "images"
LOCALES = {"en": "en-US", "es": "es-ES"}
READY = {"en": ": ready", "es": ": listo"}
VIEW = ViewportSize(width=1440, height=780)
MARGIN = 6
NUDGES = 8
SHOWN_FRAMES = (0, 5, 10, 15, 20)
TILE = (288, 216)
FEW = 96  # colours of the strip of frames
PANEL = "labelrig-panel"


class Person:
    """Somebody at a desk in one language, who keeps pictures of what is seen."""

    def __init__(self, desk: Desk, language: str) -> None:
        self.desk = desk
        self.language = language

    def keep(self, name: str) -> None:
        self.desk.keep(IMAGES / "annotator" / self.language / f"{name}.png")

    def open(self, project: int, task: int, size: tuple[int, int]) -> None:
        self.desk.open(project, task, size)
        self.desk.says(READY[self.language])

    def click(self, xy: XY) -> None:
        with self.desk.asking():
            self.desk.click(xy)

    def accept(self) -> None:
        self.desk.key("Enter")
        self.desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0")
        self.desk.settled()


@pytest.fixture
def things() -> list[SceneObject]:
    """The last object of the scene first, of which a click takes too much, then the one that it takes parts of."""
    return [*reversed(outdoors(TOO_MUCH).objects)]


@pytest.fixture
def address(stage: Stage) -> Iterator[str]:
    with served(stage, Image.fromarray(outdoors(TOO_MUCH).image)) as url:
        yield url


@contextmanager
def person(browser: Browser, stack: Stack, language: str) -> Iterator[Person]:
    """One who has signed in; the sign-in page is kept too."""
    settings = stack.settings
    assert settings.password is not None
    desk = Desk(browser, settings.url, CONFIG, LOCALES[language], view=VIEW)
    try:
        one = Person(desk, language)
        desk.load(f"{desk.url}/user/login/")
        one.keep("sign-in")
        desk.sign_in(settings.username, settings.password.get_secret_value())
        yield one
        assert desk.failures == []
    finally:
        desk.close()


@pytest.mark.parametrize("language", LOCALES)
def test_guide(
    browser: Browser, stack: Stack, bench: Bench, address: str, things: list[SceneObject], language: str
) -> None:
    """Chapters 1 to 7, as they come."""
    with person(browser, stack, language) as one:
        desk, task = one.desk, bench.task(image=address)
        one.open(bench.project_id, task, SIZE)
        one.keep("open")
        first, beside, third, _, fifth, _ = things
        desk.label(first.label)
        outlined(desk, inner_point(first.mask))
        one.keep("before-the-click")
        one.click(inner_point(first.mask))
        one.keep("point")
        desk.key("n")
        one.click(inner_point(beside.mask))
        one.keep("negative")
        one.accept()
        desk.rest((8, 8))
        one.keep("accepted")
        desk.label(third.label)
        desk.key("r")
        left, top, right, bottom = box_of(third.mask)
        with desk.asking():
            desk.drag((left - MARGIN, top - MARGIN), (right + MARGIN, bottom + MARGIN))
        one.keep("box")
        one.accept()
        desk.label(fifth.label)
        desk.key("b")
        with desk.asking():
            desk.drag(*way_over(fifth.mask))
        one.keep("brush")
        one.accept()
        desk.page.locator(PANEL).get_by_role("button").first.click()
        one.keep("classes")
        desk.page.locator(PANEL).get_by_role("button").first.click()
        desk.submit()
        one.open(bench.project_id, task, SIZE)
        one.keep("reopened")
        desk.key("w")
        one.keep("work")
        desk.key("w")
        everything(desk)
        one.keep("everything")


def outlined(desk: Desk, xy: XY) -> None:
    """Rest the mouse where a click would be, until the outline is there: on a busy machine SAM2 may skip one."""
    for beside in range(0, 8 * NUDGES, 8):
        with desk.page.expect_response(is_preview) as got:
            desk.rest((xy[0] + beside, xy[1]))
        if got.value.json()["data"]["preview"]["outline"]:
            return
    pytest.fail("no outline before the click")


def everything(desk: Desk) -> None:
    """All objects of the image, as outlines."""
    desk.key("a")
    desk.page.wait_for_function("() => document.querySelector('canvas[data-labelrig=proposals]')")
    desk.settled()


def test_thermal(make_desk: MakeDesk, stage: Stage, bench: Bench) -> None:
    """A drawn 16-bit picture in false colour, with a mask that waits."""
    drawn = outdoors(TOO_MUCH)
    grey = np.asarray(Image.fromarray(drawn.image).convert("L"), dtype=np.uint16)
    one = max(drawn.objects, key=lambda each: each.mask.sum())
    with served(stage, Image.fromarray(28_000 + 6 * grey), "tif") as url:
        task = bench.task(image=url)
        for language, locale in LOCALES.items():
            each = Person(make_desk(language=locale), language)
            each.open(bench.project_id, task, SIZE)
            desk = each.desk
            desk.page.keyboard.down("g")
            desk.drag((SIZE[0] / 4, SIZE[1] / 2), (SIZE[0] / 2, SIZE[1] / 2))
            desk.page.keyboard.up("g")
            desk.key("f")
            desk.label(one.label)
            each.click(inner_point(one.mask))
            each.keep("thermal-colours")
            desk.key("Escape")


def test_stopped(make_desk: MakeDesk, bench: Bench, stack: Stack, address: str, things: list[SceneObject]) -> None:
    """A click while SAM2 is stopped."""
    people = [Person(make_desk(language=locale), language) for language, locale in LOCALES.items()]
    for each in people:
        each.open(bench.project_id, bench.task(image=address), SIZE)
    with without_backend(stack):
        for each in people:
            each.desk.label(things[0].label)
            each.desk.click(inner_point(things[0].mask))
            each.desk.says("http://sam2:9090")
            each.keep("trouble-stopped")


def test_masks_through_a_sequence(make_desk: MakeDesk, moving: Moving) -> None:
    """The masks of the image before, and what `Shift+M` makes of one image's in the 20 after it."""
    moving.annotate(0)
    for language, locale in LOCALES.items():
        each = Person(make_desk(SEQUENCE_CONFIG, language=locale), language)
        each.open(moving.bench.project_id, moving.tasks[1], FRAME_SIZE)
        each.desk.rest(moving.place(1, 0))
        each.desk.key("m")
        each.desk.page.wait_for_function("() => document.querySelector('canvas[data-labelrig=proposals]')")
        each.desk.settled()
        each.keep("continued")
    desk = make_desk(SEQUENCE_CONFIG)
    desk.open(moving.bench.project_id, moving.tasks[0], FRAME_SIZE)
    desk.says(READY["en"])
    desk.rest(moving.place(0, 0))
    desk.key("Shift+M")
    desk.says("20 images continued", RUN_S)
    tiles = Image.new("RGB", (len(SHOWN_FRAMES) * (TILE[0] + 4) - 4, TILE[1]), "white")
    for number, frame in enumerate(SHOWN_FRAMES):
        desk.open(moving.bench.project_id, moving.tasks[frame], FRAME_SIZE)
        desk.says(READY["en"])
        tiles.paste(canvas(desk).resize(TILE, Image.Resampling.LANCZOS), (number * (TILE[0] + 4), 0))
    tiles.quantize(FEW, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        IMAGES / "sequence.png", optimize=True
    )


def canvas(desk: Desk) -> Image.Image:
    """The image itself with its masks, as the screen has it."""
    desk.page.mouse.move(2, 2)
    desk.page.wait_for_timeout(500)
    clip = desk.page.locator(".konvajs-content canvas").first.bounding_box()
    assert clip is not None
    return Image.open(io.BytesIO(desk.page.screenshot(clip=clip))).convert("RGB")
