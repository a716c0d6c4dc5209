"""Many clicks: two people at once, and a task that holds a hundred masks already."""

from __future__ import annotations

import statistics
import time

from label_studio_sdk.converter.brush import mask2rle

from infra.labelstudio.masks import intersection_over_union
from infra.labelstudio.truth import TruthObject
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import Desk
from tests.e2e.clicks import Round, Scene
from tests.e2e.workbench import Bench

GOOD = 0.75
CLICKS = 50
KEPT = 5
MASKS = 100
TIMES = 7


def test_two_people_on_two_tasks_keep_their_own_masks(
    make_desk: MakeDesk, bench: Bench, scenes: list[Scene], round_: Round
) -> None:
    """Both click before either has an answer, fifty times. Each looks at each mask, and keeps every fifth."""
    chosen = (scenes[0], scenes[1])
    people = [(make_desk(), scene, bench.task(image=scene.task.image)) for scene in chosen]
    for desk, scene, task in people:
        desk.open(bench.project_id, task, scene.size_wh)
        desk.says(": ready")
    kept: list[list[TruthObject]] = [[], []]
    for number in range(CLICKS):
        for desk, scene, _ in people:
            one = scene.objects[number % len(scene.objects)]
            desk.label(one.label)
            desk.click(one.click_xy, "Control")  # Control: also where a mask lies already
        for (desk, scene, _), done in zip(people, kept, strict=True):
            one = scene.objects[number % len(scene.objects)]
            assert intersection_over_union(desk.suggestion(), one.mask()) >= GOOD, f"click {number} of {scene.image}"
            is_kept = number % KEPT == KEPT - 1
            desk.key("Enter" if is_kept else "Escape")
            if is_kept:
                done.append(one)
    for (desk, _, _), done in zip(people, kept, strict=True):
        stored = clicks.read_back(round_, desk.submit())
        assert len(stored) == CLICKS // KEPT
        assert [one.labels for one in stored] == [(one.label,) for one in done]
        scores = [intersection_over_union(found.mask, one.mask()) for found, one in zip(stored, done, strict=True)]
        assert min(scores) >= GOOD


def test_a_hundred_masks_do_not_double_the_time_of_a_click(
    make_desk: MakeDesk, bench: Bench, scenes: list[Scene], round_: Round
) -> None:
    scene = scenes[0]
    empty, full = (bench.task(image=scene.task.image) for _ in range(2))
    masks = [saved(scene, scene.objects[number % len(scene.objects)], number) for number in range(MASKS)]
    round_.client.sdk.annotations.create(full, result=[result for one in masks for result in one])
    people = {"empty": make_desk(), "full": make_desk()}
    for name, task in (("empty", empty), ("full", full)):
        people[name].open(bench.project_id, task, scene.size_wh)
        people[name].says(": ready")
    assert people["full"].masks() == MASKS
    took: dict[str, list[float]] = {"empty": [], "full": []}
    for _ in range(TIMES):  # by turns, so that both have the machine as it is then
        for name, desk in people.items():
            took[name].append(click_to_mask(desk, scene.objects[0]))
    middle = {name: statistics.median(values) for name, values in took.items()}
    print(f"click to mask: {middle['empty']:.2f} s with no mask, {middle['full']:.2f} s with {MASKS}")  # noqa: T201
    assert middle["full"] < 2 * middle["empty"]


def click_to_mask(desk: Desk, one: TruthObject) -> float:
    """Seconds from the button's release until the suggestion is there; taken back afterwards."""
    desk.label(one.label)
    begun = time.monotonic()
    desk.click(one.click_xy, "Control")
    desk.page.wait_for_function("() => Htx.annotationStore.selected.suggestions.size > 0")
    took = time.monotonic() - begun
    desk.key("Escape")
    return took


def saved(scene: Scene, one: TruthObject, number: int) -> list[dict[str, object]]:
    """A mask as the editor saves it: its shape and its label, under one id."""
    mask = one.mask()
    rle = mask2rle(mask.astype("uint8") * 255)  # type: ignore[no-untyped-call]
    common = {
        "id": f"mask-{number:04d}", "to_name": "image", "image_rotation": 0, "origin": "manual",
        "original_width": scene.size_wh[0], "original_height": scene.size_wh[1],
    }  # fmt: skip
    shape = {"format": "rle", "rle": rle, "labels": [one.label]}
    return [
        {**common, "from_name": "brush", "type": "brush", "value": {"format": "rle", "rle": rle}},
        {**common, "from_name": "label", "type": "labels", "value": shape},
    ]
