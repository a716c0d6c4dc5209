"""Makes the film of the README: the whole flow, some 40 seconds, from the real page.

Writes docs/images/flow.gif. pytest does not collect it: see pictures.py.
"""

from __future__ import annotations

import re

from demo.clicks import box_of, inner_point
from demo.scenes import SceneObject
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import SELECTED
from tests.e2e.browser.drawn import SIZE
from tests.e2e.browser.film import Film
from tests.e2e.browser.pictures import IMAGES, MARGIN, READY, VIEW, address, everything, outlined, things
from tests.e2e.workbench import Bench

__all__ = ["address", "things"]  # fixtures

MESSAGE_MS = 5_000  # as long as Label Studio says that it was saved


def test_film(make_desk: MakeDesk, bench: Bench, address: str, things: list[SceneObject]) -> None:
    """A label, the outline, a click, "not this", a box, all objects, submitted."""
    desk = make_desk(view=VIEW)
    task = bench.task(image=address)
    desk.open(bench.project_id, task, SIZE)
    desk.says(READY["en"])
    first, beside, third, _, fifth, sixth = things
    film = Film(desk)
    film.say("An image is open, and SAM2 is ready")
    film.hold(2)

    film.say("Pick a label: its key")
    pressed(film, desk.keys[first.label], 1.5)
    film.say("Rest the mouse: what a click would take")
    film.glide(inner_point(first.mask), lambda xy: outlined(desk, xy))
    shown(film, 2.5)
    film.say("Click: SAM2's mask")
    clicked(film, 2)
    film.say("Something is too much: N, then a click on it")
    pressed(film, "n", 1)
    film.glide(inner_point(beside.mask))
    clicked(film, 2)
    film.say("Enter accepts, and saves a draft")
    pressed(film, "Enter", 1.8)

    film.say("The next object: its label, and R for a box")
    pressed(film, desk.keys[third.label], 1)
    pressed(film, "r", 1)
    left, top, right, bottom = box_of(third.mask)
    film.glide((left - MARGIN, top - MARGIN))
    film.say("Drag it around the object")
    film.click()
    desk.page.mouse.down()
    film.glide((right + MARGIN, bottom + MARGIN))
    with desk.asking():
        desk.page.mouse.up()
    shown(film, 1.8)
    film.say("Accept it")
    pressed(film, "Enter", 1.5)

    film.say("A: all other objects of the image")
    film.key = "A"
    film.hold(0.5)
    everything(desk)
    shown(film, 2)
    film.say("A label, then a click on an outline")
    for one in (fifth, sixth):
        pressed(film, desk.keys[one.label], 1.2)
        film.glide(inner_point(one.mask))
        taken(film, 1.8)
    film.say("Esc puts the others away")
    pressed(film, "Escape", 1.5)
    film.say("Submit saves all masks")
    film.key = "Ctrl+Enter"
    film.hold(1)
    with desk.page.expect_response(lambda got: re.search(r"/api/tasks/\d+/annotations", got.url) is not None):
        desk.key("Control+Enter")
    desk.opened(task)
    desk.page.wait_for_timeout(MESSAGE_MS)
    shown(film, 4)
    print(f"{film.seconds:.1f} s")  # noqa: T201
    film.save(IMAGES / "flow.gif")


def shown(film: Film, seconds: float) -> None:
    film.desk.settled()
    film.look()
    film.hold(seconds)


def pressed(film: Film, key: str, seconds: float) -> None:
    film.press(key, {"Escape": "Esc"}.get(key, key if len(key) > 1 else ""))
    shown(film, seconds)


def clicked(film: Film, seconds: float) -> None:
    film.click()
    with film.desk.asking():
        film.desk.page.mouse.down()
        film.desk.page.mouse.up()
    shown(film, seconds)


def taken(film: Film, seconds: float) -> None:
    """A click that takes an outline: SAM2 is not asked for a mask of a point."""
    before = film.desk.masks()
    film.click()
    film.desk.page.mouse.down()
    film.desk.page.mouse.up()
    film.desk.page.wait_for_function(f"(count) => {SELECTED}.regions.length > count", arg=before)
    shown(film, seconds)
