"""Masks that SAM2's memory continues: from the image before with M, into the next ones with Shift and M.

The demo model follows drawn objects well into the next image; how well farther on is `tools.quality`'s to say.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.repository import REPOSITORY
from dataset.importing.target import Shape, results_of
from demo.moving import MovingScene, draw_moving
from labeling.config import read_config
from labeling.tracks import MODEL_VERSION, note_of
from labelstudio.bulk import TaskReader, WholeTask, add_annotation
from labelstudio.masks import masks_in
from masks.measure import box_xywh, intersection_over_union
from tests.e2e.browser.conftest import MakeDesk, without_backend
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.browser.strokes import nearest_inside
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

CONFIG = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v3.xml").read_text("utf-8")
SIZE = (512, 384)
FRAMES = 21
OBJECTS = 3
LEAST_AREA = 0.01  # of the image
GOOD = 0.6
RUN_S = 600.0
PANEL = "() => document.querySelector('labelrig-panel')?.shadowRoot.querySelector('.track')?.textContent ?? ''"


@dataclass(frozen=True)
class Moving:
    """A drawn sequence in the image folder, its tasks in the order of the frames, and what is drawn.

    `served` is the folder's path as tasks name it.
    """

    bench: Bench
    folder: Path
    served: str
    scene: MovingScene
    tasks: list[int]

    def annotate(self, frame: int) -> None:
        """With the drawn masks, as a person would have."""
        results: list[dict[str, Any]] = []
        for item, label in enumerate(self.scene.labels):
            mask = self.scene.mask(frame, item)
            shape = Shape(f"drawn{item}", "brush", (label,), "image", None, SIZE, mask)
            results += results_of(shape, read_config(CONFIG), shape.region_id)
        add_annotation(self.bench.client, self.tasks[frame], {"result": results})

    def whole(self, *frames: int) -> list[WholeTask]:
        reader = TaskReader(self.bench.client, self.bench.project_id, with_predictions=True)
        return list(reader.read([self.tasks[one] for one in frames]))

    def predicted(self, *frames: int) -> list[int]:
        """How many propagated predictions each frame has."""
        return [sum(each.model_version == MODEL_VERSION for each in one.predictions) for one in self.whole(*frames)]

    def place(self, frame: int, item: int) -> tuple[float, float]:
        mask = self.scene.mask(frame, item)
        left, top, width, height = box_xywh(mask) or (0, 0, 0, 0)
        return nearest_inside(mask, (left + width / 2, top + height / 2))


def drawn() -> MovingScene:
    """The first of the drawn scenes with three objects that can be seen on its first frames."""
    for seed in range(1000):
        scene = draw_moving(np.random.default_rng(seed), SIZE, "plain", "motion", FRAMES)
        areas = [scene.mask(frame, item).mean() for frame in range(3) for item in range(len(scene.labels))]
        if len(scene.labels) == OBJECTS and min(areas) >= LEAST_AREA:
            return scene
    raise AssertionError("no scene")


@pytest.fixture(scope="module")
def scene() -> MovingScene:
    return drawn()


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk(CONFIG)


@pytest.fixture
def moving(stage: Stage, scene: MovingScene) -> Iterator[Moving]:
    """Frames of the test's own, in a project of their own."""
    key = stage.ctx.access.api_key
    assert key is not None
    folder = Path(stage.ctx.folder.path) / f"moving-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    folder.chmod(0o755)
    try:
        with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, CONFIG) as bench:
            yield sequence(bench, folder, f"{stage.ctx.folder.name}/{folder.name}", scene)
    finally:
        shutil.rmtree(folder)


def sequence(bench: Bench, folder: Path, served: str, scene: MovingScene) -> Moving:
    tasks = []
    for number, picture in enumerate(scene.images):
        path = folder / f"{number + 1}.png"  # 9 before 10
        Image.fromarray(picture).save(path)
        path.chmod(0o644)
        tasks.append(bench.task(image=f"/data/local-files/?d={served}/{path.name}"))
    return Moving(bench, folder, served, scene, tasks)


def opened(desk: Desk, moving: Moving, frame: int) -> None:
    desk.open(moving.bench.project_id, moving.tasks[frame], SIZE)
    desk.says(": ready")
    desk.rest(moving.place(frame, 0))


def test_masks_of_the_image_before_are_continued(desk: Desk, moving: Moving) -> None:
    moving.annotate(0)
    opened(desk, moving, 1)
    desk.key("m")
    desk.says("3 masks continued from the image before", RUN_S)
    desk.shot("continued")
    desk.click(moving.place(1, 0))
    desk.page.wait_for_function(f"() => {SELECTED}.regions.length === 1")
    desk.key("Shift+Enter")
    desk.page.wait_for_function(f"() => {SELECTED}.regions.length === 3")
    desk.select(moving.place(1, 0))
    desk.page.wait_for_function(
        f"() => /^(⚠ )?track {moving.tasks[0]}[.]drawn. from 1[.]png, score 0/.test(({PANEL})())"
    )
    desk.key("Escape")
    stored = moving.bench.client.sdk.annotations.get(desk.submit()).result or []
    notes = {str(one["id"]): note_of(one) for one in stored}
    assert {note.track for note in notes.values() if note} == {
        f"{moving.tasks[0]}.drawn{item}" for item in range(OBJECTS)
    }
    for one in masks_in(stored):
        note = notes[one.region_id]
        assert note is not None
        item = int(note.track[-1])
        assert one.labels == (moving.scene.labels[item],)
        assert intersection_over_union(one.mask, moving.scene.mask(1, item)) >= GOOD


def test_first_image_of_a_sequence_gets_masks_by_place(desk: Desk, moving: Moving) -> None:
    moving.annotate(FRAMES - 1)
    other = moving.folder / "other"
    other.mkdir(mode=0o755)
    shutil.copy(moving.folder / "1.png", other / "1.png")
    (other / "1.png").chmod(0o644)
    task = moving.bench.task(image=f"/data/local-files/?d={moving.served}/other/1.png")
    desk.open(moving.bench.project_id, task, SIZE)
    desk.says(": ready")
    desk.rest(moving.place(0, 0))
    desk.key("m")
    desk.says("M: this image begins its sequence")
    assert "3 masks of the image before" in desk.said()


def test_images_that_follow_are_filled_while_a_person_works(desk: Desk, moving: Moving) -> None:
    moving.annotate(0)
    moving.annotate(10)
    opened(desk, moving, 0)
    desk.key("Shift+M")
    desk.says("continuing: ")
    desk.pick_row(5, moving.tasks[5])
    desk.label(moving.scene.labels[0])
    desk.rest(moving.place(5, 0))
    with desk.asking():
        desk.click(moving.place(5, 0))
    desk.key("Enter")
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0")
    desk.says("20 images continued", RUN_S)
    desk.shot("onward")
    others = [one for one in range(1, FRAMES) if one != 10]
    assert moving.predicted(0, 10) == [0, 0]
    assert moving.predicted(*others) == [1] * len(others)
    for frame, task in zip(others, moving.whole(*others), strict=True):
        (prediction,) = (one for one in task.predictions if one.model_version == MODEL_VERSION)
        notes = [note_of(one) for one in prediction.results]
        begun = moving.tasks[0 if frame < 10 else 10]
        assert all(note is not None for note in notes)
        tracks = {note.track for note in notes if note}
        assert tracks <= {f"{begun}.drawn{item}" for item in range(OBJECTS)}
        assert {note.track for note in notes if note} or frame > 1
    (second,) = moving.whole(1)
    for one in masks_in(second.predictions[-1].results):
        item = int(one.region_id[-1])
        assert intersection_over_union(one.mask, moving.scene.mask(1, item)) >= GOOD


def test_key_ends_it_and_begins_again(desk: Desk, moving: Moving) -> None:
    moving.annotate(0)
    opened(desk, moving, 0)
    desk.key("Shift+M")
    desk.says("continuing: 1 of 20", RUN_S)
    desk.key("Shift+M")
    desk.says("ended after")
    ended = re.search(r"ended after (\d+) of 20", desk.said())
    assert ended is not None
    desk.page.wait_for_timeout(2000)
    frames = range(1, FRAMES)
    before = moving.predicted(*frames)
    assert set(before) == {0, 1}
    assert int(ended[1]) <= sum(before) <= int(ended[1]) + 1
    desk.key("Shift+M")
    desk.says("20 images continued", RUN_S)
    assert moving.predicted(*frames) == [1] * 20


@pytest.mark.parametrize(
    ("language", "ready", "away", "again"),
    [
        ("en-US", ": ready", "SAM2 does not answer at http://sam2:9090", "not continued: SAM2 does not answer"),
        ("es-ES", ": listo", "SAM2 no responde en http://sam2:9090", "no se ha continuado: SAM2 no responde"),
    ],
)
def test_sam2_away_is_said_and_its_return_too(
    make_desk: MakeDesk, moving: Moving, stack: Stack, language: str, ready: str, away: str, again: str
) -> None:
    """It was reported as done, with no image continued."""
    moving.annotate(0)
    desk = make_desk(CONFIG, language)
    desk.open(moving.bench.project_id, moving.tasks[0], SIZE)
    desk.says(ready)
    desk.rest(moving.place(0, 0))
    with without_backend(stack):
        desk.key("Shift+M")
        desk.says(away)
        assert desk.chip.get_attribute("data-mood") == "error"
        assert "./inv status" in desk.said()
    desk.says(again, 60)
    assert moving.predicted(1, 2) == [0, 0]


def test_project_without_sam2_says_so(desk: Desk, moving: Moving) -> None:
    moving.annotate(0)
    opened(desk, moving, 0)
    moving.bench.client.sdk.ml.delete(moving.bench.backend_id)
    desk.key("Shift+M")
    desk.says("SAM2 is not connected to this project any more: tell whoever runs the server")


def test_image_that_cannot_be_read_is_passed_over(desk: Desk, moving: Moving) -> None:
    """It is named at the end, and has no masks; those after it have theirs."""
    moving.annotate(0)
    (moving.folder / "4.png").unlink()
    opened(desk, moving, 0)
    desk.key("Shift+M")
    desk.says("passed over, as SAM2 cannot read them: 4.png", RUN_S)
    assert f"{FRAMES - 2} images continued" in desk.said()
    assert moving.predicted(*range(1, 6)) == [1, 1, 0, 1, 1]
