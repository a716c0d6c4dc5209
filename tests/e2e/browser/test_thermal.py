"""Radiometric files in the page: seen as SAM2 sees them, clicked, looked at otherwise; and when they do not load."""

from __future__ import annotations

import base64
import io
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from backend.images import images
from backend.sources.source_file import SourceFile
from masks.measure import intersection_over_union
from tests.e2e import clicks
from tests.e2e.browser.desk import Desk
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench

DRAWN_SECONDS = 30.0
GOOD = 0.6  # a drawn scene in grey, with a model that knows it in colour
KELVIN, COUNTS = 28_000, 6  # per grey value: a band of 1500 of 65 536
CONTENT = """async () => {
  const image = Htx.annotationStore.selected.names.get('image');
  const bytes = new Uint8Array(await (await fetch(image.currentImageEntity.currentSrc)).arrayBuffer());
  return btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(''));
}"""


@dataclass(frozen=True)
class Thermal:
    """A scene as a radiometric camera has it, in the image folder."""

    path: Path
    content: bytes
    url: str
    scene: Scene


@pytest.fixture
def thermal(request: pytest.FixtureRequest, stage: Stage, scenes: list[Scene]) -> Iterator[Thermal]:
    folder, name = Path(stage.ctx.folder.path), f"thermal ñ {uuid.uuid4().hex[:6]}.{request.param}"
    with Image.open(folder / scenes[0].image) as image:
        grey = np.asarray(image.convert("L"), dtype=np.uint16)
    Image.fromarray(KELVIN + COUNTS * grey).save(folder / name)
    (folder / name).chmod(0o644)
    content = (folder / name).read_bytes()
    yield Thermal(folder / name, content, f"/data/local-files/?d={stage.ctx.folder.name}/{name}", scenes[0])
    (folder / name).unlink()


def seen(desk: Desk) -> NDArray[np.uint8]:
    """The pixels on the middle of the picture, as the screen has them; the mouse is elsewhere."""
    desk.page.mouse.move(2, 2)
    desk.page.wait_for_timeout(300)
    box = desk.page.locator("canvas").first.bounding_box()
    assert box is not None
    clip = {"x": box["x"] + box["width"] / 4, "y": box["y"] + 60, "width": 200, "height": 120}
    return np.asarray(Image.open(io.BytesIO(desk.page.screenshot(clip=clip))).convert("RGB"))  # type: ignore[arg-type]


def seen_when(desk: Desk, reached: Callable[[NDArray[np.uint8]], bool]) -> NDArray[np.uint8]:
    """The same, once they are as wanted: Label Studio shows the picture before, half white, until the next is there."""
    ends = time.monotonic() + DRAWN_SECONDS
    while not reached(pixels := seen(desk)):
        assert time.monotonic() < ends, spread(pixels)
    return pixels


def spread(pixels: NDArray[np.uint8]) -> float:
    return float(pixels.astype(float).std())


def opened(desk: Desk, bench: Bench, thermal: Thermal) -> int:
    """Open the file as a task: what is on the screen is what SAM2 gets, byte for byte."""
    task = bench.task(image=thermal.url)
    desk.open(bench.project_id, task, thermal.scene.size_wh)
    desk.says(": ready")
    shown = Image.open(io.BytesIO(base64.b64decode(desk.page.evaluate(CONTENT))))
    assert (shown.mode, shown.size) == ("L", thermal.scene.size_wh)
    expected = images.read(SourceFile(thermal.path, "thermal", "1"), 10**8)
    np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), expected)
    return task


def submitted(desk: Desk, thermal: Thermal, round_: Round, task: int) -> None:
    """Accept and submit the mask that waits: it is the object's, the task names the file, and the file is as it was."""
    desk.key("Enter")
    desk.page.wait_for_function("() => Htx.annotationStore.selected.suggestions.size === 0")
    (stored,) = clicks.read_back(round_, desk.submit())
    assert intersection_over_union(stored.mask, thermal.scene.objects[0].mask()) >= GOOD
    assert round_.client.sdk.tasks.get(str(task)).data == {"image": thermal.url}
    assert thermal.path.read_bytes() == thermal.content


@pytest.mark.parametrize("thermal", ["png"], indirect=True)
def test_a_16_bit_png_is_seen_clicked_and_submitted(desk: Desk, bench: Bench, thermal: Thermal, round_: Round) -> None:
    task = opened(desk, bench, thermal)
    desk.ask_about(thermal.scene.objects[0])
    submitted(desk, thermal, round_, task)


@pytest.mark.parametrize("thermal", ["tif"], indirect=True)
def test_a_look_changes_the_screen_and_no_mask(desk: Desk, bench: Bench, thermal: Thermal, round_: Round) -> None:
    """A TIFF, with real keys and a real drag: kept for the project, taken back by one key, one mask in any look."""
    task = opened(desk, bench, thermal)
    one, (width, height) = thermal.scene.objects[0], thermal.scene.size_wh
    desk.ask_about(one)
    desk.shot("thermal")
    mask = desk.suggestion()
    desk.key("Escape")
    as_it_came = seen(desk)

    desk.page.keyboard.down("g")
    desk.drag((width / 4, height / 2), (width / 2, height / 2))
    desk.page.keyboard.up("g")
    desk.says("contrast ×")
    assert desk.regions() == []
    seen_when(desk, lambda pixels: spread(pixels) > 1.2 * spread(as_it_came))
    desk.key("f")
    desk.says("false colour · Shift+G: as SAM2 sees it")
    coloured = seen(desk)
    assert float(np.ptp(coloured.astype(int), axis=2).mean()) > 20
    assert float(np.ptp(as_it_came.astype(int), axis=2).mean()) < 2

    desk.open(bench.project_id, task, thermal.scene.size_wh)
    desk.says("false colour")
    np.testing.assert_array_equal(seen(desk), coloured)
    desk.ask_about(one)
    assert np.array_equal(desk.suggestion(), mask)
    desk.shot("thermal-colours")
    desk.key("f")
    desk.key("Shift+G")
    desk.key("i")
    desk.says("inverted")
    desk.key("Escape")
    inverted = seen(desk)
    assert np.abs(255 - inverted.astype(int) - as_it_came).max() <= 1
    desk.key("i")
    np.testing.assert_array_equal(seen(desk), as_it_came)
    assert "Shift+G" not in desk.said()
    desk.ask_about(one)
    submitted(desk, thermal, round_, task)


def test_a_broken_file_is_a_sentence_and_never_ready(desk: Desk, bench: Bench, stage: Stage) -> None:
    """Label Studio itself waits for ever. Mended, the picture comes without loading the page anew."""
    # Thrown for an image that the editor has dropped, with our calls guarded: whose it is was not traced.
    desk.expects = "Failed to find the parent of ImageEntity"
    name = f"cut-{uuid.uuid4().hex[:6]}.tif"
    path = Path(stage.ctx.folder.path) / name
    whole = io.BytesIO()
    Image.fromarray(np.arange(480 * 640, dtype=np.uint16).reshape(480, 640)).save(whole, format="TIFF")
    path.write_bytes(whole.getvalue()[:5000])
    path.chmod(0o644)
    try:
        task = bench.task(image=f"/data/local-files/?d={stage.ctx.folder.name}/{name}")
        desk.load(f"{desk.url}/projects/{bench.project_id}/data?task={task}")
        begun, said = time.monotonic(), set()
        while "The picture does not load" not in desk.said() and time.monotonic() - begun < 20:
            said.add(desk.said())
            desk.page.wait_for_timeout(100)
        assert f"The picture does not load: the image '{stage.ctx.folder.name}/{name}' cannot be read" in desk.said()
        assert desk.chip.get_attribute("data-mood") == "error"
        assert not [one for one in said if one.endswith(": ready")]
        desk.shot("trouble-picture")
        path.write_bytes(whole.getvalue())
        desk.says(": ready", within_s=60)
        desk.page.wait_for_function("() => Htx.annotationStore.selected.names.get('image').imageIsLoaded")
    finally:
        path.unlink()
