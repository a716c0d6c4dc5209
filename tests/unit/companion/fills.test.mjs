import assert from "node:assert/strict";
import test from "node:test";

import { classesOf } from "../../../companion/classes.js";
import { Fills, STEPS, nextFill } from "../../../companion/fills.js";
import { region } from "./fakes.mjs";

/** A shape of Konva's, as far as it is used. */
function node() {
  const one = { opacityNow: 1, isVisible: true, calls: 0 };
  one.opacity = (value) => ((one.calls += 1), (one.opacityNow = value));
  one.visible = (value) => ((one.calls += 1), (one.isVisible = value));
  return one;
}

/** A layer of Konva's with its canvas. */
function layer() {
  const canvas = { style: { filter: "", visibility: "", opacity: "0.6" } };
  const one = { canvas, listens: true, calls: 0, getNativeCanvasElement: () => canvas };
  one.listening = (value) => ((one.calls += 1), (one.listens = value));
  return one;
}

/** An accepted mask of a brush, which has a layer of its own. */
function mask(label) {
  const layerRef = layer();
  return { one: region({ type: "brushregion", dynamic: false, label, layerRef }), layer: layerRef };
}

test("the key goes round the steps", () => {
  assert.deepEqual(STEPS.map(nextFill), [...STEPS.slice(1), STEPS[0]]);
  assert.equal(nextFill(0.77), STEPS[0]);
});

test("masks get paler, their own opacity stays, and what is no mask keeps its own", () => {
  const [sky, shape, picture] = [mask("Sky"), node(), node()];
  const box = region({ type: "rectangleregion", dynamic: false, shapeRef: shape });
  const bitmask = region({ type: "bitmaskregion", dynamic: false, imageRef: picture });
  new Fills().show([sky.one, box, bitmask], 0.4, () => true);
  assert.deepEqual(sky.layer.canvas.style, { filter: "opacity(0.4)", visibility: "", opacity: "0.6" });
  assert.deepEqual([shape.calls, picture.opacityNow], [0, 0.4]);
});

test("a class is hidden, gets no clicks, and is shown again; nothing is set twice", () => {
  const [sky, road, shape] = [mask("Sky"), mask("Road"), node()];
  const box = region({ type: "rectangleregion", dynamic: false, label: "Sky", shapeRef: shape });
  const fills = new Fills();
  for (let look = 0; look < 3; look += 1) fills.show([sky.one, road.one, box], 1, (one) => one.labelName !== "Sky");
  assert.deepEqual([sky.layer.canvas.style.visibility, sky.layer.listens, shape.isVisible], ["hidden", false, false]);
  assert.deepEqual([sky.layer.calls, road.layer.calls, shape.calls], [1, 0, 1]);
  fills.show([sky.one, road.one, box], 1, () => true);
  assert.deepEqual([sky.layer.canvas.style.visibility, sky.layer.listens, shape.isVisible], ["", true, true]);
});

test("afterwards everything is as the editor has it", () => {
  const sky = mask("Sky");
  const fills = new Fills();
  fills.show([sky.one], 0, () => false);
  fills.clear();
  assert.deepEqual([sky.layer.canvas.style.filter, sky.layer.canvas.style.visibility, sky.layer.listens], ["", "", true]);
});

test("a region that is drawn anew gets what was set before", () => {
  const sky = mask("Sky");
  const fills = new Fills();
  fills.show([sky.one], 0.4, () => true);
  sky.one.layerRef = layer();
  fills.show([sky.one], 0.4, () => true);
  assert.equal(sky.one.layerRef.canvas.style.filter, "opacity(0.4)");
});

test("classes are those of all palettes, once, with what is drawn", () => {
  const palette = (...names) => ({ type: "labels", children: names.map((value) => ({ value, background: "#123456" })) });
  const controls = [palette("Sky", "Road"), { type: "brush" }, palette("Sky", "Car")];
  const regions = [
    region({ type: "brushregion", dynamic: false, label: "Sky" }),
    region({ type: "brushregion", dynamic: false, label: "Sky" }),
    region({ label: "Road" }), // a prompt
    region({ type: "brushregion", dynamic: false, label: null }),
  ];
  const counts = classesOf(controls, regions).map(({ name, count }) => [name, count]);
  assert.deepEqual(counts, [["Sky", 2], ["Road", 0], ["Car", 0], ["", 1]]);
});
