"""Whatever breaks, the page says so in one sentence within five seconds of the click, and no prompt stays behind."""

from __future__ import annotations

import uuid
from pathlib import Path

from infra.roles.project.backend_token import held_token
from infra.roles.stack.backend_secrets import KEY_FILE
from tests.e2e.browser.conftest import without_backend
from tests.e2e.browser.desk import Desk
from tests.e2e.clicks import Scene
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench, project

WITHIN_S = 5.0
WITHOUT_OUTPUT = """<View>
  <Labels name="label" toName="image"><Label value="Sky" hotkey="7"/></Labels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <Image name="image" value="$image"/>
</View>"""


def click_and_read(desk: Desk, label: str, scene: Scene, sentence: str) -> None:
    """Click; the sentence must be there in time, as the only news, and nothing else in the annotation."""
    desk.key("Escape")  # what was said when the task opened
    desk.page.wait_for_function("() => !document.querySelector('labelrig-chip').dataset.mood.includes('error')")
    desk.label(label)
    desk.click(scene.objects[0].click_xy)
    desk.says(sentence, WITHIN_S)
    assert desk.chip.get_attribute("data-mood") == "error"
    assert "\n" not in desk.said()
    assert (desk.prompts(), desk.suggestions) == (0, 0)


def test_an_image_that_cannot_be_read(desk: Desk, bench: Bench, scenes: list[Scene], stage: Stage) -> None:
    """It is an image for the browser, which reads what it can, and not for the backend."""
    name = f"cut-{uuid.uuid4().hex[:6]}.png"
    folder = Path(stage.ctx.folder.path)
    whole = (folder / scenes[0].image).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    (folder / name).chmod(0o644)
    try:
        task = bench.task(image=f"/data/local-files/?d={stage.ctx.folder.name}/{name}")
        desk.open(bench.project_id, task, scenes[0].size_wh)
        desk.says(name)  # said before anybody clicks
        click_and_read(desk, "Sky", scenes[0], name)
        desk.shot("trouble-image")
        assert "request " in desk.said()
    finally:
        (folder / name).unlink()


def test_a_wrong_token(desk: Desk, bench: Bench, scenes: list[Scene], stage: Stage) -> None:
    """An uploaded image is fetched with the backend's token."""
    key = held_token(stage.ctx.exec_in_backend)
    assert key is not None
    file = Path(stage.ctx.folder.path) / scenes[1].image
    stage.ctx.write_secret(KEY_FILE, b"0123456789abcdef0123456789abcdef01234567")
    try:
        task = bench.upload(file)
        desk.open(bench.project_id, task, scenes[1].size_wh)
        click_and_read(desk, "Sky", scenes[1], "token")
    finally:
        stage.ctx.write_secret(KEY_FILE, key.encode())


def test_a_configuration_without_a_tag_for_masks(desk: Desk, bench: Bench, scenes: list[Scene], stage: Stage) -> None:
    """It was changed after the backend was connected, so nobody was told."""
    key = stage.ctx.access.api_key
    assert key is not None
    with project(stage.client, key, stage.ctx.backend_url, stage.ctx.backend_login, bench_config(bench)) as own:
        task = own.task(image=scenes[0].task.image)
        own.client.sdk.projects.update(own.project_id, label_config=WITHOUT_OUTPUT)
        desk.open(own.project_id, task, scenes[0].size_wh)
        desk.says("SAM2 cannot serve this project")
        click_and_read(desk, "Sky", scenes[0], "output tag")


def bench_config(bench: Bench) -> str:
    return str(bench.client.sdk.projects.get(bench.project_id).label_config)


def test_a_stopped_backend_at_the_open_task_and_later(
    desk: Desk, bench: Bench, scenes: list[Scene], stage: Stage, stack: Stack
) -> None:
    scene = scenes[0]
    desk.open(bench.project_id, bench.task(image=scene.task.image), scene.size_wh)
    desk.says(": ready")
    with without_backend(stack):
        click_and_read(desk, "Sky", scene, "SAM2 does not answer at http://sam2:9090")
        thermal = Path(stage.ctx.folder.path) / "stopped.tif"
        thermal.write_bytes(b"II*\x00")  # what browsers do not show needs the backend
        try:
            refused = desk.page.request.get(f"{desk.url}/data/local-files/?d={stage.ctx.folder.name}/{thermal.name}")
        finally:
            thermal.unlink()
        assert refused.status == 502
        words = "SAM2, which makes the picture of this file, is starting or has stopped"
        assert refused.json()["detail"].startswith(words)


def test_a_backend_that_hangs(desk: Desk, bench: Bench, scenes: list[Scene], stack: Stack) -> None:
    """It takes connections and says nothing: Label Studio alone would wait for 100 seconds."""
    scene = scenes[0]
    desk.open(bench.project_id, bench.task(image=scene.task.image), scene.size_wh)
    desk.says(": ready")
    container = stack.running.container("sam2")
    assert container is not None
    container.pause()
    try:
        click_and_read(desk, "Sky", scene, "SAM2 does not answer")
    finally:
        container.unpause()
        stack.running.wait_until_healthy()
