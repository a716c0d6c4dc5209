"""What stays and what goes when somebody undoes, types, goes to another task, or leaves the page."""

from __future__ import annotations

from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.conftest import CONFIG, MakeDesk
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, point, project, unsaved_stroke

GOOD = 0.75
ONE_MASK = f"() => {SELECTED}.regions.length === 1 && {SELECTED}.regions[0].type === 'brushregion'"


def opened(desk: Desk, bench: Bench, scene: Scene) -> int:
    task = bench.task(image=scene.task.image)
    desk.open(bench.project_id, task, scene.size_wh)
    desk.says(": ready")
    return task


def test_an_accepted_mask_is_undone_and_done_again(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """Undone, the point is there again and its mask waits; done again, the mask is kept and the point gone."""
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    desk.key("Enter")
    desk.page.wait_for_function(ONE_MASK)
    with desk.asking():
        desk.key("Control+z")
    assert intersection_over_union(desk.suggestion(), one.mask()) >= GOOD
    assert (desk.prompts(), desk.masks()) == (1, 0)
    desk.key("Control+Shift+z")
    desk.page.wait_for_function(ONE_MASK)
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0")


def test_a_mask_without_a_label_takes_the_one_that_is_picked(
    desk: Desk, bench: Bench, scenes: list[Scene], round_: Round
) -> None:
    """A mask asked for without a label takes the one that is picked."""
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.says("pick a label")
    with desk.asking():
        desk.click(one.click_xy)
    desk.says("pick a label for the mask")
    desk.label(one.label)
    desk.key("Enter")
    desk.page.wait_for_function(ONE_MASK)
    (stored,) = clicks.read_back(round_, desk.submit())
    assert stored.labels == (one.label,)
    assert intersection_over_union(stored.mask, one.mask()) >= GOOD


def test_another_task_begins_clean_and_the_first_keeps_its_mask(desk: Desk, stage: Stage, scenes: list[Scene]) -> None:
    """The draft that is saved on leaving holds the mask that waited, and no point."""
    key = stage.ctx.access.api_key
    assert key is not None
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, CONFIG) as own:
        first, second = (own.task(image=scene.task.image) for scene in scenes[:2])
        desk.open(own.project_id, first, scenes[0].size_wh)
        desk.says(": ready")
        desk.label(scenes[0].objects[0].label)
        # On leaving, or while the mask waits, where that takes longer.
        with desk.page.expect_response(lambda got: "/drafts" in got.url and got.request.method in ("POST", "PATCH")):
            with desk.asking():
                desk.click(scenes[0].objects[0].click_xy)
            desk.pick_row(1, second)
        desk.says(": ready")
        assert (desk.suggestions, desk.regions()) == (0, [])
        one, desk.size_wh = scenes[1].objects[0], scenes[1].size_wh
        desk.ask_about(one)
        assert intersection_over_union(desk.suggestion(), one.mask()) >= GOOD
        desk.key("Enter")
        desk.page.wait_for_function(ONE_MASK)
        desk.pick_row(0, first)
        desk.page.wait_for_function(ONE_MASK)
        assert [region["label"] for region in desk.regions()] == [scenes[0].objects[0].label]


def test_keys_that_are_typed_as_text_are_text(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """A region's note is written in a text field, while a mask waits."""
    scene = scenes[0]
    opened(desk, bench, scene)
    one = scene.objects[0]
    desk.ask_about(one)
    desk.page.evaluate("""() => {
      const field = document.createElement('textarea');
      field.id = 'note';
      document.body.append(field);
      field.focus();
    }""")
    desk.page.keyboard.type("n")
    desk.key("Enter")
    desk.key("Escape")
    assert desk.page.locator("#note").input_value() == "n\n"
    assert desk.suggestions == 1
    assert "not this" not in desk.said()


def test_the_line_goes_when_the_task_is_left(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    opened(desk, bench, scenes[0])
    desk.page.get_by_role("link", name="Settings").first.click()
    desk.page.wait_for_url("**/settings**")
    desk.chip.wait_for(state="hidden")


def test_an_unknown_version_is_left_as_it_is(make_desk: MakeDesk, bench: Bench, scenes: list[Scene]) -> None:
    desk, scene = make_desk(), scenes[0]
    said: list[str] = []
    desk.page.on("console", lambda line: said.append(line.text))
    desk.page.add_init_script("""
      let settings;
      Object.defineProperty(window, 'APP_SETTINGS', {
        get: () => settings,
        set: (given) => { settings = { ...given, version: { ...given.version, release: '9.9.9' } }; },
      });
    """)
    desk.open(bench.project_id, bench.task(image=scene.task.image), scene.size_wh)
    assert [line for line in said if line.startswith("labelrig:")] != []
    assert all("9.9.9 is not known" in line for line in said if line.startswith("labelrig:"))
    assert desk.chip.count() == 0
    assert desk.page.evaluate("() => Htx.autoAnnotation") is False


def test_our_clicks_are_sent_without_drafts(desk: Desk, bench: Bench, scenes: list[Scene]) -> None:
    """Label Studio sends all masks of a task with every click. Where a point lies on a draft's stroke, one sees it:

    the answer is the stroke's new shape, under the stroke's id.
    """
    scene = scenes[0]
    one, task = scene.objects[0], opened(desk, bench, scene)
    x, y = one.click_xy
    drawn = {**unsaved_stroke([(x - 20, y), (x + 20, y)], 9, scene.size_wh), "from_name": "brush", "type": "brush"}
    bench.draft(task, drawn)
    asked = {**point(one.click_xy, scene.size_wh), "from_name": "point", "type": "keypoint"}
    for prompt in (drawn, asked):
        prompt["value"] = {name: value for name, value in prompt["value"].items() if not name.endswith("labels")}
    click = """async ([backend, task, prompt, headers]) => {
      const answer = await fetch(`/api/ml/${backend}/interactive-annotating`, {
        method: 'POST', headers: { 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify({ task, context: { result: [prompt] } }),
      });
      const given = await answer.json();
      return given.data?.result.map((one) => one.id) ?? given.errors;
    }"""
    stock = desk.page.evaluate(click, [bench.backend_id, task, asked, {}])
    ours = desk.page.evaluate(click, [bench.backend_id, task, asked, {"X-Labelrig-Click": "1"}])
    assert (set(stock), len(set(ours))) == ({drawn["id"]}, 1)
    assert drawn["id"] not in ours
