"""RGB and thermal side by side: each image has masks of its own, and going to the other one loses none."""

from __future__ import annotations

from core.repository import REPOSITORY
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import MakeDesk
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import project

GOOD = 0.75


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
