"""RGB and thermal side by side: each image has masks of its own, and going to the other one loses none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from core.repository import REPOSITORY
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.clicks import Round, Scene
from tests.e2e.clone import Clone
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

GOOD = 0.75
SHIFT_YX = (-6, 10)  # of the other picture, in pixels
MASKS = "Htx.annotationStore.selected.regions.filter((one) => one.type === 'brushregion' && !one.dynamic).length"


def test_a_click_in_the_other_image_keeps_the_mask_that_waited(
    make_desk: MakeDesk, stage: Stage, scenes: list[Scene], round_: Round
) -> None:
    key, scene = stage.ctx.access.api_key, scenes[0]
    assert key is not None
    config = (REPOSITORY / "labeling_configs" / "rgbt-pair" / "v1.xml").read_text("utf-8")
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, config) as own:
        task = own.task(rgb=scene.task.image, thermal=scene.task.image)
        desk = make_desk(config)
        desk.turn_to("rgb")
        desk.open(own.project_id, task, scene.size_wh)
        desk.says(": ready")
        first, second = scene.objects[:2]
        desk.ask_about(first)
        assert intersection_over_union(desk.suggestion(), first.mask()) >= GOOD

        desk.turn_to("thermal")
        desk.ask_about(second)
        assert desk.masks() == 1
        assert intersection_over_union(desk.suggestion(), second.mask()) >= GOOD
        desk.shot("pair")
        desk.key("Enter")
        desk.page.wait_for_function("() => Htx.annotationStore.selected.suggestions.size === 0")
        assert (desk.masks(), desk.prompts()) == (2, 0)

        stored = clicks.read_back(round_, desk.submit())
    for one, truth in zip(stored, (first, second), strict=True):
        assert one.labels == (truth.label,)
        assert intersection_over_union(one.mask, truth.mask()) >= GOOD
    assert [one.from_name for one in stored] == ["brush-rgb", "brush-thermal"]


def test_the_key_t_takes_a_mask_to_the_other_image(
    make_desk: MakeDesk, stage: Stage, stack: Stack, scenes: list[Scene], round_: Round, tmp_path: Path
) -> None:
    """The last accepted one, once; undo takes it back alone, and it keeps its label and says where it came from."""
    key, scene = stage.ctx.access.api_key, scenes[0]
    assert key is not None
    config = (REPOSITORY / "labeling_configs" / "rgbt-pair" / "v1.xml").read_text("utf-8")
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, config) as own:
        task = own.task(rgb=scene.task.image, thermal=scene.task.image)
        desk = make_desk(config)
        desk.turn_to("rgb")
        desk.open(own.project_id, task, scene.size_wh)
        desk.says(": ready")
        first = scene.objects[0]
        desk.ask_about(first)
        desk.key("Enter")
        desk.page.wait_for_function("() => Htx.annotationStore.selected.suggestions.size === 0")

        desk.key("t")
        desk.says("`./inv pairs.apply` gives it one")
        assert desk.masks() == 1
        apply(stack, stage, own, scene.size_wh, tmp_path)
        desk.key("t")
        desk.page.wait_for_function(f"() => {MASKS} === 2")
        desk.key("t")  # it is there
        desk.page.wait_for_timeout(500)
        assert desk.masks() == 2
        desk.key("Control+z")
        desk.page.wait_for_function(f"() => {MASKS} === 1")
        desk.key("t")
        desk.page.wait_for_function(f"() => {MASKS} === 2")
        desk.shot("pair-taken-over")
        stored = clicks.read_back(round_, desk.submit())
        results = stage.client.call("read", "GET", f"/api/tasks/{task}/annotations/")[0]["result"]
    rgb, thermal = stored
    assert [one.from_name for one in stored] == ["brush-rgb", "brush-thermal"]
    assert rgb.labels == thermal.labels == (first.label,)
    moved = np.roll(rgb.mask, SHIFT_YX, axis=(0, 1))
    assert intersection_over_union(thermal.mask, moved) >= 0.98
    notes = {text for one in results if one["to_name"] == "thermal" for text in one["meta"]["text"]}
    assert notes == {f"from rgb {next(one['id'] for one in results if one['to_name'] == 'rgb')}"}


def apply(stack: Stack, stage: Stage, own: Bench, size_wh: tuple[int, int], folder: Path) -> None:
    """`./inv pairs.apply` on this project, with pictures that lie some pixels apart."""
    size = {"width": size_wh[0], "height": size_wh[1]}
    matrix = [[1, 0, SHIFT_YX[1]], [0, 1, SHIFT_YX[0]], [0, 0, 1]]
    path = folder / "alignment.yaml"
    path.write_text(yaml.safe_dump({"format": 1, "matrix": matrix, "rgb": size, "thermal": size}), encoding="utf-8")
    title = stage.client.project(own.project_id).title
    clone = Clone.make(folder / "clone", stack.environment)
    done = clone.result("pairs.apply", "--project", title, "--alignment", str(path))["apply"]
    assert (done["images"], done["own"], done["refused"]) == (1, 0, [])
