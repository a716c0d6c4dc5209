"""Pictures of 24 megapixels: no step of a click handles a canvas of their size, and the mask is the right one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masks.measure import intersection_over_union
from tests.e2e.browser.desk import SELECTED, Desk
from tests.e2e.browser.large import Large, enlarged
from tests.e2e.clicks import Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import Bench

GOOD = 0.75
MOST_PIXELS = 4_000_000  # companion/maskpicture.js
# From then on, how many pixels the page makes, reads, writes and packs at a time.
HANDLED = """() => {
  window.handled = [];
  const watch = (prototype, name, sizeOf) => {
    const stock = prototype[name];
    prototype[name] = function (...given) {
      const [width, height] = sizeOf(this, given);
      window.handled.push(width * height);
      return stock.apply(this, given);
    };
  };
  for (const { prototype } of [CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D]) {
    const asked = (_, [one, two]) => (two === undefined ? [one.width, one.height] : [one, two]);
    watch(prototype, 'createImageData', asked);
    watch(prototype, 'getImageData', (_, [, , width, height]) => [width, height]);
    watch(prototype, 'putImageData', (_, [data]) => [data.width, data.height]);
  }
  const own = (canvas) => [canvas.width, canvas.height];
  watch(HTMLCanvasElement.prototype, 'toDataURL', own);
  watch(HTMLCanvasElement.prototype, 'toBlob', own);
  watch(OffscreenCanvas.prototype, 'convertToBlob', own);
}"""
# Opacity of the layer of the first mask at a place of the picture, in percent; of those that wait, or of the regions.
SEEN = f"""([which, x, y]) => {{
  const [one] = {SELECTED}[which].values(), image = one.object, layer = one.layerRef;
  if (!layer) return 0;
  const canvas = layer.getNativeCanvasElement(), stage = layer.getStage(), ratio = canvas.width / stage.width();
  const [across, down] = [x / 100 * image.stageWidth, y / 100 * image.stageHeight];
  const at = stage.getAbsoluteTransform().point({{ x: across, y: down }});
  return canvas.getContext('2d').getImageData(Math.round(at.x * ratio), Math.round(at.y * ratio), 1, 1).data[3];
}}"""


@pytest.fixture
def large(stage: Stage, scenes: list[Scene]) -> Iterator[Large]:
    with enlarged(stage, scenes[0], 24) as one:
        yield one


def test_a_click_handles_no_canvas_in_the_pictures_size(desk: Desk, bench: Bench, large: Large) -> None:
    desk.open(bench.project_id, bench.task(image=large.url), large.size_wh)
    desk.says(": ready")
    desk.page.evaluate(HANDLED)
    one = large.scene.objects[0]
    desk.label(one.label)
    place = large.at(one.click_xy)
    with desk.asking():
        desk.click(place)
    inside = [100 * value / size for value, size in zip(place, large.size_wh, strict=True)]
    desk.page.wait_for_function(f"(given) => ({SEEN})(given) > 0", arg=["suggestions", *inside])
    assert intersection_over_union(desk.suggestion(), large.mask(one)) >= GOOD
    desk.key("Enter")
    desk.page.wait_for_function(f"() => {SELECTED}.suggestions.size === 0 && {SELECTED}.regions.length === 1")
    desk.page.wait_for_function(f"(given) => ({SEEN})(given) > 0", arg=["regions", *inside])
    handled = desk.page.evaluate("() => window.handled")
    assert MOST_PIXELS / 4 < max(handled) <= MOST_PIXELS  # the pictures of both masks are among them
    assert intersection_over_union(desk.mask_of(0), large.mask(one)) >= GOOD
