"""A person's hand at the mouse and the keyboard, as slow as one is, that counts what the seconds go to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tests.e2e.browser.desk import XY, Desk

BITS_A_SECOND = 4.5  # of a mouse: 3.7 to 4.9 in the studies that Soukoreff and MacKenzie (2004) compare
# Operators of the keystroke-level model (Card, Moran and Newell, 1980).
KEY_S = 0.28  # K, of who types neither slowly nor fast; a chord has as many as keys
BUTTON_S = 0.1  # B
LOOK_S = 1.35  # M: to see what is there, and to know what comes next
STEP_S = 0.02
MOVING, PRESSING, LOOKING, WAITING = "moving", "pressing", "looking", "waiting"
PARTS = (MOVING, PRESSING, LOOKING, WAITING)
START: XY = (720.0, 500.0)
T = TypeVar("T")


def fitts_seconds(distance: float, width: float) -> float:
    """How long a hand needs to a target: Fitts's law in Shannon's form.

    Args:
        distance: from where the pointer is to the target's middle, in pixels.
        width: of the target along that way, in pixels.
    """
    return math.log2(distance / max(width, 1.0) + 1) / BITS_A_SECOND


def eased(share: float) -> float:
    """Where a hand is after a share of its time, as a share of its way (minimum jerk: Flash and Hogan, 1985)."""
    return share**3 * (10 - 15 * share + 6 * share**2)


class Hand:
    """One person at a desk. `spent` has seconds by `PARTS`; what a trial took beyond them is the test's own."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.at = START
        self.spent = dict.fromkeys(PARTS, 0.0)

    def spent_since(self, before: Mapping[str, float]) -> dict[str, float]:
        """What a copy of `spent` lacks."""
        return {part: seconds - before[part] for part, seconds in self.spent.items()}

    def move(self, place: XY, width: float) -> None:
        """Move the mouse to a place of the page whose target is so many pixels wide."""
        (x, y), (to_x, to_y) = self.at, place
        seconds = fitts_seconds(math.dist(self.at, place), width)
        begun = time.monotonic()
        while (share := (time.monotonic() - begun) / seconds if seconds else 1.0) < 1:
            done = eased(share)
            self.desk.page.mouse.move(x + (to_x - x) * done, y + (to_y - y) * done)
            self.desk.page.wait_for_timeout(1000 * STEP_S)
        self.desk.page.mouse.move(to_x, to_y)
        self.at = place
        self.spent[MOVING] += seconds

    def point_at(self, xy: XY, width: float) -> None:
        """Move to a pixel of the image; the target's width is in its pixels too."""
        wide = self.desk.size_wh[0] - 1
        place, left, right = (self.desk.place(one) for one in (xy, (0, xy[1]), (wide, xy[1])))
        self.move(place, width * (right[0] - left[0]) / wide)

    def click(self) -> None:
        self.desk.page.mouse.down()
        self.desk.page.wait_for_timeout(1000 * BUTTON_S)
        self.desk.page.mouse.up()
        self.spent[PRESSING] += BUTTON_S

    def drag(self, way: Sequence[XY], width: float) -> None:
        """From one pixel of the image over others to the last, each within `width` of its pixels."""
        self.point_at(way[0], width)
        self.desk.page.mouse.down()
        for xy in way[1:]:
            self.point_at(xy, width)
        self.desk.page.mouse.up()
        self.spent[PRESSING] += BUTTON_S

    def press(self, key: str) -> None:
        """Press a key, or a chord such as `Shift+Enter`."""
        seconds = KEY_S * len(key.split("+"))
        self.desk.page.wait_for_timeout(1000 * seconds)
        self.desk.key(key)
        self.spent[PRESSING] += seconds

    def look(self, at: Callable[[], T]) -> T:
        """See something, and know what comes next."""
        begun = time.monotonic()
        seen = at()
        self.desk.page.wait_for_timeout(1000 * max(0.0, LOOK_S - (time.monotonic() - begun)))
        self.spent[LOOKING] += LOOK_S
        return seen

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done inside is waiting for the machine."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spent[WAITING] += time.monotonic() - begun

    @contextmanager
    def asking(self) -> Iterator[None]:
        """What is done inside asks SAM2; from then on until its answer is on the screen it is waiting."""
        with self.desk.asking():
            yield
            begun = time.monotonic()
        self.spent[WAITING] += time.monotonic() - begun
