"""A trial of masks through a sequence: three objects clicked on the first of 21 frames, and taken on by `M`.

Real mouse and keys, as slow as a hand is; where a mask is wrong it is deleted and clicked anew. Prints what each frame
took. pytest does not collect it:

    .venv/bin/python -m pytest -s tests/e2e/browser/sequence_trial.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import TimeoutError

from demo.clicks import inner_point
from labelstudio.masks import masks_in
from masks.measure import intersection_over_union
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.browser.hand import PARTS, Hand
from tests.e2e.browser.test_onward import CONFIG, FRAMES, SIZE, Moving, moving, scene
from tests.e2e.browser.trial import accept, corrected, shown_key, together
from tests.guides import Keys

__all__ = ["moving", "scene"]  # fixtures

RIGHT = 0.75  # IoU from which on a mask is left as it came
MOST_CORRECTIONS = 5
PRESSES, PATIENCE_S = 4, 8.0
COUNT = f"(count) => {SELECTED}.regions.length === count && !{SELECTED}.suggestions.size"
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Frame:
    """What it took to have all objects of a frame, and which came wrong."""

    seconds: float
    spent: Mapping[str, float]
    wrong: tuple[int, ...]


def test_sequence(make_desk: MakeDesk, moving: Moving) -> None:
    desk, keys = make_desk(CONFIG), Keys("en")
    hand, objects = Hand(desk), len(moving.scene.labels)
    desk.open(moving.bench.project_id, moving.tasks[0], SIZE)
    desk.says(": ready")
    begun, before = time.monotonic(), hand.spent.copy()
    for item in range(objects):
        click_anew(hand, keys, moving, 0, item)
    first = Frame(time.monotonic() - begun, hand.spent_since(before), ())
    frames = [carried_on(hand, keys, moving, frame) for frame in range(1, FRAMES)]
    hand.press(keys["submit"])
    desk.settled()
    scores = [iou for frame in range(FRAMES) for iou in stored(moving, frame)]
    report(first, frames, scores, objects)
    assert len(scores) == FRAMES * objects
    assert sum(len(one.wrong) for one in frames) <= MOST_CORRECTIONS
    assert min(scores) >= RIGHT


def click_anew(hand: Hand, keys: Keys, moving: Moving, frame: int, item: int) -> None:
    """The label's key, a click on the object, points until the mask is right, and accepted."""
    truth, label = moving.scene.mask(frame, item), moving.scene.labels[item]
    hand.press(hand.look(lambda: shown_key(hand.desk, label)))
    hand.press(keys["point"])
    hand.point_at(inner_point(truth), np.sqrt(truth.sum()) / 2)
    with hand.asking():
        hand.click()
    corrected(hand, keys, truth)
    accept(hand, keys)


def carried_on(hand: Hand, keys: Keys, moving: Moving, frame: int) -> Frame:
    """Save, open the next frame, take the masks that are continued into it, and mend what came wrong."""
    desk, objects = hand.desk, len(moving.scene.labels)
    begun, before = time.monotonic(), hand.spent.copy()
    hand.press(keys["next image"])
    with hand.waiting():
        desk.opened(moving.tasks[frame])
    continued(hand, keys)
    hand.press(keys["take all"])
    with hand.waiting():
        desk.page.wait_for_function(f"() => {SELECTED}.regions.length > 0 && !{SELECTED}.suggestions.size")
    desk.settled()
    wrong = hand.look(lambda: wrong_ones(desk, moving, frame))
    for item, place in wrong.items():
        if place is not None:
            hand.point_at(place, 20)
            hand.click()
            hand.press(keys["delete"])
        click_anew(hand, keys, moving, frame, item)
    desk.page.wait_for_function(COUNT, arg=objects)
    return Frame(time.monotonic() - begun, hand.spent_since(before), tuple(wrong))


def continued(hand: Hand, keys: Keys) -> None:
    """Press the key until its masks come, as people do when nothing happens."""
    for _ in range(PRESSES):
        hand.press(keys["continued"])
        with hand.waiting(), suppress(TimeoutError):
            hand.desk.says("continued from the image before", PATIENCE_S)
            return
        print("pressed again")  # noqa: T201
    raise AssertionError(hand.desk.said())


def wrong_ones(desk: Desk, moving: Moving, frame: int) -> dict[int, tuple[float, float] | None]:
    """The objects whose mask came wrong: by number, a place on that mask, or None where there is none."""
    labels = [one["label"] for one in desk.regions()]
    found = {label: desk.mask_of(number) for number, label in enumerate(labels)}
    wrong: dict[int, tuple[float, float] | None] = {}
    for item, label in enumerate(moving.scene.labels):
        mask = found.get(label)
        if mask is None or not mask.any():
            wrong[item] = None
        elif intersection_over_union(mask, moving.scene.mask(frame, item)) < RIGHT:
            wrong[item] = inner_point(mask)
    return wrong


def stored(moving: Moving, frame: int) -> list[float]:
    """The IoU of each object's mask as Label Studio has it, of those that it has."""
    task = moving.bench.client.sdk.tasks.get(str(moving.tasks[frame]))
    (annotation,) = task.annotations or []
    found = {one.labels[0]: one.mask for one in masks_in(annotation["result"])}
    return [
        intersection_over_union(found[label], moving.scene.mask(frame, item))
        for item, label in enumerate(moving.scene.labels)
        if label in found
    ]


def report(first: Frame, frames: list[Frame], scores: list[float], objects: int) -> None:
    count = len(frames)
    seconds = [one.seconds for one in frames]
    parts = together([one.spent for one in frames])
    each = {part: parts[part] / count for part in PARTS} | {"rest": (sum(seconds) - sum(parts.values())) / count}
    wrong = [(number, one.wrong) for number, one in enumerate(frames, 2) if one.wrong]
    lines = [
        f"first frame: {first.seconds:.1f} s for {objects} objects, {first.seconds / objects:.1f} each",
        f"{count} frames after it: {sum(seconds) / count:.2f} s a frame (median {statistics.median(seconds):.2f}, "
        f"worst {max(seconds):.2f}), {sum(seconds) / count / objects:.2f} an object and frame",
        "a frame's mean: " + ", ".join(f"{name} {value:.2f}" for name, value in each.items()),
        f"corrections: {sum(len(one.wrong) for one in frames)}, by frame and object {wrong}",
        f"IoU of {len(scores)} masks: mean {np.mean(scores):.3f}, worst {min(scores):.3f}",
    ]
    print("\n" + "\n".join(lines))  # noqa: T201
