"""A newcomer's trial: who knows the guide alone signs in, finds the image, and annotates six objects of three labels.

With real mouse and keys, as slow as a hand is, once in the English page and once in the Spanish one; keys are those
that the guide's card and the labels on the page show. Prints what the seconds went to. pytest does not collect it:

    .venv/bin/python -m pytest -s tests/e2e/browser/trial.py
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser

from demo.clicks import box_of, inner_point
from demo.scenes import Scene
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import CONFIG
from tests.e2e.browser.desk import SELECTED, XY, Desk
from tests.e2e.browser.drawn import OUTDOORS, SIZE, outdoors, served
from tests.e2e.browser.hand import PARTS, Hand
from tests.e2e.browser.strokes import way_over
from tests.e2e.clicks import Round
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench
from tests.guides import Keys

LANGUAGES = {"en": ("en-US", ": ready"), "es": ("es-ES", ": listo")}
LABELS = ("Civilian", "Civilian-Car", "Debris")
WAYS = ("point", "point", "point", "point", "box", "brush")  # as the guide's chapters come
CONTENT = 0.9  # IoU from which on a person accepts a mask
GOOD = 0.75
CORRECTIONS = 4
BOX_MARGIN = 6
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Annotated:
    """One object: which way, how long it took, what of it were the person's own seconds, and how it came out."""

    way: str
    seconds: float
    spent: Mapping[str, float]
    corrections: int
    iou: float

    @property
    def row(self) -> str:
        parts = " ".join(f"{self.spent[part]:8.2f}" for part in PARTS)
        rest = self.seconds - sum(self.spent.values())
        return f"{self.way:<12} {self.seconds:8.2f} {parts} {rest:8.2f} {self.corrections:12d} {self.iou:6.3f}"


HEAD = f"{'way':<12} {'seconds':>8} {' '.join(f'{part:>8}' for part in PARTS)} {'rest':>8}  corrections    IoU"


@pytest.mark.parametrize("language", LANGUAGES)
def test_newcomer(browser: Browser, stack: Stack, stage: Stage, bench: Bench, round_: Round, language: str) -> None:
    locale, ready = LANGUAGES[language]
    scene = outdoors(OUTDOORS)
    title = bench.client.sdk.projects.get(bench.project_id).title
    assert title is not None
    desk = Desk(browser, stack.settings.url, CONFIG, locale)
    hand, keys = Hand(desk), Keys(language)
    try:
        with served(stage, Image.fromarray(scene.image)) as url:
            task = bench.task(image=url)
            begun = time.monotonic()
            find_image(desk, stack, title, task, ready)
            print(f"\n{language}: from the link to the image that is ready {time.monotonic() - begun:.1f} s\n{HEAD}")  # noqa: T201
            done = [annotate(hand, keys, scene, number, way) for number, way in enumerate(WAYS)]
            for one in done:
                print(one.row)  # noqa: T201
            print(summary(done))  # noqa: T201
            before = time.monotonic()
            with desk.page.expect_response(lambda got: f"/api/tasks/{task}/annotations" in got.url) as sent:
                hand.press(keys["submit"])
            print(f"submitted in {time.monotonic() - before:.2f} s")  # noqa: T201
            stored = clicks.read_back(round_, int(sent.value.json()["id"]))
    finally:
        desk.close()
    assert desk.failures == []
    assert [one.labels for one in stored] == [(LABELS[number // 2],) for number in range(len(WAYS))]
    assert (
        min(intersection_over_union(one.mask, of.mask) for one, of in zip(stored, scene.objects, strict=True)) >= GOOD
    )


def find_image(desk: Desk, stack: Stack, title: str, task: int, ready: str) -> None:
    """Chapter 1 of the guide: sign in, open the project, click on a row, wait until SAM2 is ready."""
    assert stack.settings.password is not None
    desk.sign_in(stack.settings.username, stack.settings.password.get_secret_value())
    desk.page.get_by_text(title).first.click()
    desk.page.locator(".lsf-table-row").last.click()
    desk.opened(task)
    desk.size_wh = SIZE
    desk.says(ready)


def annotate(hand: Hand, keys: Keys, scene: Scene, number: int, way: str) -> Annotated:
    """Chapters 2 to 4: the label's key, the prompt, corrections until the mask is right, and accepted."""
    truth = scene.objects[number].mask
    before, begun = hand.spent.copy(), time.monotonic()
    label = LABELS[number // 2]
    key = hand.look(lambda: shown_key(hand.desk, label))
    hand.press(key)
    prompt(hand, keys, way, truth)
    corrections, score = corrected(hand, keys, truth)
    accept(hand, keys)
    return Annotated(way, time.monotonic() - begun, hand.spent_since(before), corrections, score)


def shown_key(desk: Desk, label: str) -> str:
    """The key that the page shows on a label."""
    shown = [text.split() for text in desk.page.locator(".lsf-label").all_inner_texts()]
    return next(words[-1] for words in shown if words[:-1] == [label])


def prompt(hand: Hand, keys: Keys, way: str, truth: Mask) -> None:
    left, top, right, bottom = box_of(truth)
    if way == "point":
        hand.point_at(inner_point(truth), min(right - left, bottom - top) / 2)
        with hand.asking():
            hand.click()
        return
    hand.press(keys[way])
    (width, height), beside = SIZE, BOX_MARGIN
    corners: list[XY] = [
        (max(1, left - beside), max(1, top - beside)),
        (min(width - 2, right + beside), min(height - 2, bottom + beside)),
    ]
    with hand.asking():
        hand.drag(list(way_over(truth)) if way == "brush" else corners, 4 * BOX_MARGIN)


def corrected(hand: Hand, keys: Keys, truth: Mask) -> tuple[int, float]:
    """Look at the mask and add points until it is right; how many points, and the mask's IoU."""
    is_negative = False
    for number in range(CORRECTIONS + 1):
        found = hand.look(hand.desk.suggestion)
        score = intersection_over_union(found, truth)
        if score >= CONTENT or number == CORRECTIONS:
            return number, score
        missing, excess = truth & ~found, found & ~truth
        wants_negative = int(excess.sum()) > int(missing.sum())
        if number == 0:
            hand.press(keys["point"])
        if wants_negative != is_negative:
            hand.press(keys["not this"])
            is_negative = wants_negative
        wrong = excess if wants_negative else missing
        left, top, right, bottom = box_of(wrong)
        hand.point_at(inner_point(wrong), min(right - left, bottom - top) / 2)
        with hand.asking():
            hand.click()
    raise AssertionError("unreachable")


def accept(hand: Hand, keys: Keys) -> None:
    hand.press(keys["accept"])
    with hand.waiting():
        hand.desk.page.wait_for_function(
            f"() => {SELECTED}.suggestions.size === 0 && !{SELECTED}.regions.some((one) => one.dynamic)"
        )


def together(all_spent: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {part: sum(one[part] for one in all_spent) for part in PARTS}


def summary(done: list[Annotated]) -> str:
    """Means an object. The rest is what page and test take beside: reading the mask, finding the place."""
    total, parts = sum(one.seconds for one in done), together([one.spent for one in done])
    seconds = {
        "in all": total,
        "moving and pressing": parts["moving"] + parts["pressing"],
        "looking": parts["looking"],
        "waiting for SAM2": parts["waiting"],
        "rest": total - sum(parts.values()),
    }
    words = ", ".join(f"{name} {value / len(done):.2f}" for name, value in seconds.items())
    scores = np.mean([one.iou for one in done])
    return f"seconds an object: {words}; {sum(one.corrections for one in done)} corrections, mean IoU {scores:.3f}"
