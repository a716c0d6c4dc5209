"""How long a click takes in the browser until its mask is there: with no mask in the task and with a hundred, on large
pictures by stages, and with eight browsers at once.

No test: pytest does not collect it, and it fails only when a click gives no mask. To measure:

    .venv/bin/python -m pytest -s tests/e2e/browser/figures.py
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress

from label_studio_sdk.converter.brush import mask2rle
from playwright.sync_api import TimeoutError

from labelstudio.truth import TruthObject
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.browser.large import SIZES, enlarged
from tests.e2e.browser.test_sight import rests
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench

MASKS = 100
LARGE_TIMES = 9
PATIENCE_MS = 3_000
PEOPLE = 8
STAGES = ("until the request", "request to answer", "answer to mask", "in all", "main thread")
# The mask is there when the editor has its picture, and a frame was drawn since.
WATCH_STAGES = f"""() => {{
  window.stagesAfter = new Promise((done) => addEventListener('pointerup', () => {{
    const begun = performance.now();
    const drawn = () => [...{SELECTED}.suggestions.values()].some((one) =>
      one.layerRef?.find('Image').some((node) => node.image() && node.name() !== 'highlight'));
    const look = () => requestAnimationFrame(() => {{
      if (!drawn()) return look();
      const entries = performance.getEntriesByType('resource').filter((one) => one.name.includes('interactive'));
      const last = entries[entries.length - 1];
      done([last.startTime - begun, last.responseEnd - begun, performance.now() - begun]);
    }});
    look();
  }}, {{ capture: true, once: true }}));
}}"""
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
    coded = [(one, mask2rle(one.mask().astype("uint8") * 255)) for one in scene.objects]
    masks = [saved(scene, *coded[number % len(coded)], number) for number in range(MASKS)]
    round_.client.sdk.annotations.create(full, result=[result for one in masks for result in one])
    people = {"empty": make_desk(), "full": make_desk()}
    for name, task in (("empty", empty), ("full", full)):
        people[name].open(bench.project_id, task, scene.size_wh)
        people[name].says(": ready")
    assert people["full"].masks() == MASKS
    took: dict[str, list[tuple[float, ...]]] = {"empty": [], "full": []}
    for _ in range(TIMES):  # by turns, so that both have the machine as it is then
        for name, desk in people.items():
            desk.label(scene.objects[0].label)
            took[name].append(staged(desk, scene.objects[0].click_xy))
            desk.key("Escape")
            desk.settled()
    for name, rows in took.items():
        print(f"{MASKS if name == 'full' else 0} masks in the task, medians of {TIMES}: {stages(rows)}")  # noqa: T201


def test_figures_of_large_pictures(make_desk: MakeDesk, bench: Bench, scenes: list[Scene], stage: Stage) -> None:
    """Medians, in milliseconds: until the request, until its answer, until the mask; and the main thread's own time."""
    for megapixels in SIZES:
        desk = make_desk()
        with enlarged(stage, scenes[0], megapixels) as large:
            desk.open(bench.project_id, bench.task(image=large.url), large.size_wh)
            desk.says(": ready")
            rows, hovers = list[tuple[float, ...]](), list[float]()
            for number in range(LARGE_TIMES):
                one = large.scene.objects[number % len(large.scene.objects)]
                desk.label(one.label)
                if len(hovers) == number:
                    with suppress(TimeoutError):  # the page asks no more where answers come too late to be of use
                        hovers.append(1000 * rests(desk, large.at(one.click_xy), PATIENCE_MS)[1])
                rows.append(staged(desk, large.at(one.click_xy)))
                desk.key("Escape")
                desk.settled()
            outline = f"{statistics.median(hovers):.0f}, {len(hovers)} times" if hovers else "none came"
            print(f"{megapixels} MP: {stages(rows)}; move to outline {outline}")  # noqa: T201


def test_figures_of_eight_browsers(make_desk: MakeDesk, bench: Bench, scenes: list[Scene]) -> None:
    scene = scenes[0]
    people = [make_desk() for _ in range(PEOPLE)]
    for desk in people:
        desk.open(bench.project_id, bench.task(image=scene.task.image), scene.size_wh)
        desk.says(": ready")
    took: list[float] = []
    for number in range(LARGE_TIMES):
        one = scene.objects[number % len(scene.objects)]
        for desk in people:
            desk.label(one.label)
            desk.page.evaluate(WATCH)
        for desk in people:  # each is asked while those before it wait
            desk.click(one.click_xy, "Control")
        took += [float(desk.page.evaluate("() => window.maskAfter")) for desk in people]
        for desk in people:
            desk.key("Escape")
            desk.settled()
    highest = statistics.quantiles(took, n=20)[-1]
    print(f"{PEOPLE} browsers: click to mask {statistics.median(took):.0f} ms, 95th percentile {highest:.0f}")  # noqa: T201


def stages(rows: Sequence[tuple[float, ...]]) -> str:
    """The medians of `STAGES`, in milliseconds."""
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    return ", ".join(f"{name} {value:.0f}" for name, value in zip(STAGES, middle, strict=True))


def staged(desk: Desk, xy: tuple[float, float]) -> tuple[float, ...]:
    """One click, in `STAGES`, by the page's clock; the mask's picture is drawn then."""
    session = desk.context.new_cdp_session(desk.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return 1000 * next(float(one["value"]) for one in found if one["name"] == "TaskDuration")

    desk.page.evaluate(WATCH_STAGES)
    before = busy()
    desk.click(xy, "Control")
    asked, answered, shown = desk.page.evaluate("() => window.stagesAfter")
    used = busy() - before
    session.detach()
    return asked, answered - asked, shown - answered, shown, used


def saved(scene: Scene, one: TruthObject, rle: list[int], number: int) -> list[dict[str, object]]:
    """A mask as the editor saves it: its shape and its label, under one id."""
    common = {
        "id": f"mask-{number:04d}", "to_name": "image", "image_rotation": 0, "origin": "manual",
        "original_width": scene.size_wh[0], "original_height": scene.size_wh[1],
    }  # fmt: skip
    shape = {"format": "rle", "rle": rle, "labels": [one.label]}
    return [
        {**common, "from_name": "brush", "type": "brush", "value": {"format": "rle", "rle": rle}},
        {**common, "from_name": "label", "type": "labels", "value": shape},
    ]
