"""How long a click takes in the browser until its mask is there, with no mask in the task and with a hundred.

No test: pytest does not collect it, and it fails only when a click gives no mask. To measure:

    .venv/bin/python -m pytest -s tests/e2e/browser/figures.py
"""

from __future__ import annotations

import statistics

from label_studio_sdk.converter.brush import mask2rle

from labelstudio.truth import TruthObject
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.clicks import Round, Scene
from tests.e2e.workbench import Bench

MASKS = 100
TIMES = 25
WATCH = f"""() => {{
  window.maskAfter = new Promise((done) => addEventListener('pointerup', () => {{
    const begun = performance.now();
    const look = () => requestAnimationFrame(() =>
      {SELECTED}.suggestions.size ? done(performance.now() - begun) : look());
    look();
  }}, {{ capture: true, once: true }}));
}}"""


def test_figures(make_desk: MakeDesk, bench: Bench, scenes: list[Scene], round_: Round) -> None:
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
    print(  # noqa: T201
        f"click to mask, medians of {TIMES}: {middle['empty']:.3f} s with no mask, {middle['full']:.3f} s with {MASKS} "
        f"masks, {middle['full'] / middle['empty']:.2f} times as long"
    )


def click_to_mask(desk: Desk, one: TruthObject) -> float:
    """Seconds from the button's release until the frame with the mask; taken back afterwards. By the page's clock:

    moving the mouse there, which the test's own click does before, is not counted.
    """
    desk.label(one.label)
    desk.page.evaluate(WATCH)
    desk.click(one.click_xy, "Control")
    took = float(desk.page.evaluate("() => window.maskAfter"))
    desk.key("Escape")
    return took / 1000


def saved(scene: Scene, one: TruthObject, number: int) -> list[dict[str, object]]:
    """A mask as the editor saves it: its shape and its label, under one id."""
    mask = one.mask()
    rle = mask2rle(mask.astype("uint8") * 255)
    common = {
        "id": f"mask-{number:04d}", "to_name": "image", "image_rotation": 0, "origin": "manual",
        "original_width": scene.size_wh[0], "original_height": scene.size_wh[1],
    }  # fmt: skip
    shape = {"format": "rle", "rle": rle, "labels": [one.label]}
    return [
        {**common, "from_name": "brush", "type": "brush", "value": {"format": "rle", "rle": rle}},
        {**common, "from_name": "label", "type": "labels", "value": shape},
    ]
