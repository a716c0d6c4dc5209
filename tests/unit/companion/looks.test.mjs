import assert from "node:assert/strict";
import test from "node:test";

import { AS_IT_CAME, COLOURS, dragged, isAsItCame, lookOf, transferOf } from "../../../companion/looks.js";
import { textsFor } from "../../../companion/messages.js";
import { lookWords } from "../../../companion/status.js";
import { Windowing } from "../../../companion/windowing.js";

const shown = (look, grey) => {
  const { slope, intercept } = transferOf(look) ?? { slope: 1, intercept: 0 };
  return Math.min(1, Math.max(0, slope * grey + intercept));
};
const near = (seen, expected) => assert.ok(Math.abs(seen - expected) < 1e-9, `${seen} and not ${expected}`);

test("as it came, nothing is done to a picture", () => {
  assert.equal(transferOf(AS_IT_CAME), null);
  assert.ok(isAsItCame(lookOf(undefined)));
});

test("the window becomes black to white, and what lies outside is one of them", () => {
  const look = { ...AS_IT_CAME, window: 0.25, level: 0.5 };
  near(shown(look, 0.375), 0);
  near(shown(look, 0.5), 0.5);
  near(shown(look, 0.625), 1);
  near(shown(look, 0.2), 0);
  near(shown(look, 0.9), 1);
});

test("inverted, what was black is white, in the same window", () => {
  const look = { window: 0.25, level: 0.3, inverted: false, coloured: false };
  for (const grey of [0, 0.2, 0.3, 0.31, 0.9, 1]) near(shown({ ...look, inverted: true }, grey), 1 - shown(look, grey));
});

test("a drag to the right is more contrast, upwards more brightness, and back again nothing", () => {
  const contrast = dragged(AS_IT_CAME, 0.2, 0);
  near(contrast.window, 0.5);
  assert.ok(isAsItCame(dragged(contrast, -0.2, 0)));
  for (const look of [AS_IT_CAME, { ...AS_IT_CAME, inverted: true }, contrast]) {
    assert.ok(shown(dragged(look, 0, 0.1), 0.5) > shown(look, 0.5));
    assert.ok(shown(dragged(look, 0, -0.1), 0.5) < shown(look, 0.5));
  }
});

test("no drag leads out of what can be seen", () => {
  for (const [right, up] of [[99, 99], [-99, -99], [Infinity, 0], [0, -Infinity]]) {
    const look = dragged(AS_IT_CAME, right, up);
    assert.deepEqual(lookOf(look), look);
    assert.ok(Number.isFinite(transferOf(look)?.slope ?? 1));
  }
});

test("what another program kept under our key is no look", () => {
  for (const kept of [null, 7, "x", { window: 0 }, { window: "1" }, { level: NaN }, { window: -1, inverted: "yes" }]) {
    assert.deepEqual(lookOf(kept), AS_IT_CAME, JSON.stringify(kept));
  }
});

test("the colours become lighter with the value, at each step", () => {
  const [red, green, blue] = ["R", "G", "B"].map((one) => COLOURS[one].split(" ").map(Number));
  assert.deepEqual([red.length, green.length, blue.length], [17, 17, 17]);
  const light = red.map((one, at) => 0.2126 * one ** 2.2 + 0.7152 * green[at] ** 2.2 + 0.0722 * blue[at] ** 2.2);
  for (let at = 1; at < light.length; at += 1) assert.ok(light[at] > light[at - 1], String(at));
});

test("the line says what was changed, and how it is undone", () => {
  const texts = textsFor(["en"]);
  assert.equal(lookWords(AS_IT_CAME, texts), "");
  const look = { window: 0.5, level: 0.4, inverted: false, coloured: true };
  assert.equal(lookWords(look, texts), "contrast ×2, brightness 10 % · false colour · Shift+G: as SAM2 sees it");
  assert.equal(lookWords({ ...AS_IT_CAME, inverted: true }, textsFor(["es"])), "invertida · Mayús+G: como la ve SAM2");
});

/** Two pictures, and what is done to them. */
function desk() {
  const looks = { rgb: AS_IT_CAME, thermal: AS_IT_CAME };
  const canvas = (name) => ({ name, getBoundingClientRect: () => ({ width: 200, height: 100 }) });
  const given = {
    nameAt: (target) => (target === null ? "rgb" : target.name ?? null),
    look: (name) => looks[name],
    change: (name, look) => (looks[name] = look),
  };
  return { windowing: new Windowing(given), looks, rgb: canvas("rgb"), thermal: canvas("thermal") };
}
const press = (key, more = {}) => ({ key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });
const mouse = (type, target, clientX = 0, clientY = 0, button = 0) => ({ type, target, button, clientX, clientY });
const none = new Set();

test("with G held, a drag is about the picture below it, and the editor sees nothing of it", async () => {
  const { windowing, looks, thermal } = desk();
  assert.equal(windowing.moved(mouse("pointerdown", thermal)), false);
  assert.equal(windowing.pressed(press("g"), none), true);
  const seen = [["pointerdown", 10, 10], ["mousedown", 10, 10], ["pointermove", 50, 10], ["mousemove", 50, 10], ["pointerup", 50, 10], ["mouseup", 50, 10], ["click", 50, 10]];
  for (const [type, x, y] of seen) assert.equal(windowing.moved(mouse(type, thermal, x, y)), true, type);
  near(looks.thermal.window, 0.5);
  assert.equal(looks.rgb, AS_IT_CAME);
  windowing.lifted(press("g"));
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(windowing.moved(mouse("pointerdown", thermal)), false);
  assert.equal(windowing.moved(mouse("click", thermal)), false);
});

test("only the left button, and only on a picture", () => {
  const { windowing, thermal } = desk();
  windowing.pressed(press("g"), none);
  assert.equal(windowing.moved(mouse("pointerdown", thermal, 0, 0, 1)), false);
  assert.equal(windowing.moved(mouse("pointerdown", {})), false);
});

test("with G held, the arrow keys do the same", () => {
  const { windowing, looks, thermal } = desk();
  assert.equal(windowing.pressed(press("ArrowRight"), none), false);
  windowing.pressed(press("G"), none);
  windowing.moved(mouse("pointermove", thermal));
  for (let count = 0; count < 4; count += 1) assert.equal(windowing.pressed(press("ArrowRight"), none), true);
  near(looks.thermal.window, 0.5);
  windowing.pressed(press("ArrowUp"), none);
  assert.ok(looks.thermal.level < 0.5);
  windowing.release();
  assert.equal(windowing.pressed(press("ArrowRight"), none), false);
});

test("a label's G stays the label's", () => {
  const { windowing } = desk();
  assert.equal(windowing.pressed(press("g"), new Set(["g"])), false);
  assert.equal(windowing.pressed(press("g", { ctrlKey: true }), none), false);
});

test("keys are about the picture that was pointed at last", () => {
  const { windowing, looks, thermal } = desk();
  windowing.obey("invert");
  assert.equal(looks.rgb.inverted, true);
  windowing.moved(mouse("pointermove", thermal));
  windowing.moved(mouse("pointermove", {}));
  windowing.obey("colour");
  assert.deepEqual(looks.thermal, { ...AS_IT_CAME, coloured: true });
  windowing.obey("reset");
  assert.deepEqual(looks.thermal, AS_IT_CAME);
});
