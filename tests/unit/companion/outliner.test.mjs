import assert from "node:assert/strict";
import test from "node:test";

import { Outliner } from "../../../companion/outliner.js";
import { region } from "./fakes.mjs";

const IMAGE = { naturalWidth: 40, naturalHeight: 30 };

/** Counts what is drawn; the browser's has no way to look into it. */
class Path {
  corners = 0;
  moveTo() {
    this.corners += 1;
  }
  lineTo() {
    this.corners += 1;
  }
  closePath() {}
}
globalThis.Path2D = Path;

function bench() {
  const told = { more: 0, pauses: 0, now: 0 };
  const outliner = new Outliner(() => (told.more += 1), async () => void (told.pauses += 1), () => told.now++ * 5);
  return { outliner, told };
}

/** A brush with a stroke across, in percent. */
const brush = (id, y = 50) =>
  region({ id, type: "brushregion", dynamic: false, touches: [{ type: "add", relativePoints: [20, y, 80, y], relativeStrokeWidth: 20 }] });
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

test("masks are traced in slices, and it is told when they are there", async () => {
  const { outliner, told } = bench();
  const masks = [brush("a"), brush("b", 20), brush("c", 80)];
  assert.deepEqual(masks.map((one) => outliner.of(one, IMAGE)), [null, null, null]);
  await settled();
  const found = masks.map((one) => outliner.of(one, IMAGE));
  assert.deepEqual(found.map((one) => one.rings.length), [1, 1, 1]);
  assert.ok(told.pauses > 1, String(told.pauses));
  assert.equal(told.more, 1);
  assert.deepEqual(found[0].box, { left: 4, top: 11, right: 36, bottom: 19 });
});

test("a mask that waits is traced at once", () => {
  assert.equal(bench().outliner.of(brush("a"), IMAGE, true).rings.length, 1);
});

test("the same mask is traced once, a changed one again, and until then the old outline stays", async () => {
  const { outliner } = bench();
  const mask = brush("a");
  const before = outliner.of(mask, IMAGE, true);
  assert.equal(outliner.of(mask, IMAGE), before);
  mask.touches = [...mask.touches, { type: "eraser", relativePoints: [50, 50], relativeStrokeWidth: 30 }];
  assert.equal(outliner.of(mask, IMAGE), before);
  await settled();
  const after = outliner.of(mask, IMAGE);
  assert.notEqual(after, before);
  assert.equal(after.rings.length, 2); // the eraser went through
});

test("a path is made once for sizes that look alike, with more corners closer up", () => {
  const { outliner } = bench();
  const outline = outliner.of(brush("a"), IMAGE, true);
  assert.equal(outline.path(0.5), outline.path(0.6));
  assert.ok(outline.path(4).corners > outline.path(0.2).corners);
  assert.equal(outline.path(4), outline.path(40));
});

test("what is gone is forgotten", () => {
  const { outliner } = bench();
  const mask = brush("a");
  outliner.of(mask, IMAGE, true);
  outliner.keep(new Set());
  assert.equal(outliner.of(mask, IMAGE), null);
});

test("a mask that cannot be read has no outline, and the others have theirs", () => {
  const { outliner } = bench();
  const broken = brush("a");
  broken.touches = [{ type: "add", relativePoints: null }];
  const warn = console.warn;
  const said = [];
  console.warn = (...given) => said.push(given[0]);
  try {
    assert.throws(() => broken.touches[0].relativePoints.length);
    Object.defineProperty(broken, "touches", { get: once([{ type: "add", relativePoints: [1, 2], relativeStrokeWidth: 1 }], broken.touches) });
    assert.deepEqual(outliner.of(broken, IMAGE, true).rings, []);
  } finally {
    console.warn = warn;
  }
  assert.equal(said.length, 1);
  assert.equal(outliner.of(brush("b"), IMAGE, true).rings.length, 1);
});

/** The first answer, and then the other. */
function once(first, then) {
  let isFirst = true;
  return () => (isFirst ? ((isFirst = false), first) : then);
}
