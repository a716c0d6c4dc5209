import assert from "node:assert/strict";
import test from "node:test";

import { Proposals } from "../../../companion/proposals.js";
import { viewOf } from "../../../companion/overlay.js";

const square = (left, top, side) => [left, top, left + side, top, left + side, top + side, left, top + side];
const canvas = { tagName: "CANVAS" };

/** A picture of 200x100 pixels on the screen at 10, 20; twice as large, moved by 30, 40. */
function picture() {
  return {
    name: "image",
    currentImageEntity: { naturalWidth: 800, naturalHeight: 400 },
    stageWidth: 200,
    stageHeight: 100,
    stageRef: {
      width: () => 640,
      height: () => 480,
      getAbsoluteTransform: () => ({ getMatrix: () => [2, 0, 0, 2, 30, 40] }),
      content: { contains: (one) => one === canvas, getBoundingClientRect: () => ({ left: 10, top: 20 }) },
    },
  };
}

function bench(take = async (chosen) => chosen.map((one) => [one.name])) {
  const annotation = { regions: [] };
  const failures = [];
  const proposals = new Proposals((work) => work(), (error) => failures.push(error.message));
  proposals.veil.show = (image, figures) => {
    proposals.figures = figures;
    const stage = image.stageRef; // no canvas here: the browser's tests see what is drawn
    proposals.veil.overlay = { image, stage, view: () => viewOf(image, stage), remove: () => {} };
  };
  const large = { name: "large", rings: [square(10, 10, 60)], area: 0.36 };
  const small = { name: "small", rings: [square(20, 20, 10)], area: 0.01 };
  const apart = { name: "apart", rings: [square(80, 80, 10)], area: 0.01 };
  proposals.open({ image: picture(), annotation, proposals: [large, small, apart], take });
  return { proposals, annotation, failures, large, small, apart };
}

/** An event over a place in percent. */
const at = (type, x, y, more = {}) => ({ type, button: 0, target: canvas, clientX: 10 + 30 + 4 * x, clientY: 20 + 40 + 2 * y, ...more });
const turn = () => new Promise((resolve) => setTimeout(resolve));

test("a place of the screen is one of the picture, wherever the editor has moved it", () => {
  const { veil } = bench().proposals;
  assert.deepEqual(veil.percentAt(40, 60), [0, 0]);
  assert.deepEqual(veil.percentAt(440, 260), [100, 100]);
  veil.overlay.image.currentImageEntity = undefined;
  assert.equal(veil.percentAt(0, 0), null);
});

test("the smallest one under the mouse is marked, and the editor sees the move", () => {
  const { proposals, large, small } = bench();
  assert.equal(proposals.moved(at("pointermove", 25, 25)), false);
  assert.equal(proposals.marked, small);
  assert.deepEqual(proposals.figures.map((one) => one.isMarked), [false, true, false]);
  proposals.moved(at("pointermove", 50, 50));
  assert.equal(proposals.marked, large);
  proposals.moved(at("pointermove", 5, 5));
  assert.equal(proposals.marked, null);
});

test("a click takes it, and the editor sees nothing of the click", async () => {
  const { proposals, annotation, small } = bench();
  const seen = ["pointerdown", "mousedown", "pointerup", "mouseup", "click"].map((type) => proposals.moved(at(type, 25, 25)));
  assert.deepEqual(seen, [true, true, true, true, true]);
  annotation.regions.push({ cleanId: "small" });
  await turn();
  await turn();
  assert.deepEqual(proposals.left.map((one) => one.name), ["large", "apart"]);
  assert.equal(proposals.moved(at("click", 25, 25)), false);
  annotation.regions.pop(); // undone: it is offered again
  assert.ok(proposals.left.includes(small));
});

test("a click beside all of them, or with a key held, is the editor's", () => {
  const { proposals } = bench();
  for (const [x, y, more] of [[5, 5, {}], [25, 25, { ctrlKey: true }], [25, 25, { button: 2 }], [25, 25, { target: {} }]]) {
    assert.equal(proposals.moved(at("pointerdown", x, y, more)), false);
    assert.equal(proposals.moved(at("pointerup", x, y, more)), false);
  }
});

test("a button that is let go elsewhere takes nothing", async () => {
  const taken = [];
  const { proposals } = bench(async (chosen) => taken.push(chosen) && null);
  proposals.moved(at("pointerdown", 25, 25));
  proposals.moved(at("pointerup", 85, 85));
  await turn();
  assert.deepEqual(taken, []);
});

test("all that are left are taken at once; what is refused is offered again", async () => {
  let refuses = true;
  const { proposals, failures, annotation } = bench(async (chosen) => {
    if (refuses) throw new Error("no tag takes the label");
    return chosen.map((one) => [one.name]);
  });
  proposals.takeAll();
  assert.equal(proposals.isBusy, true);
  await turn();
  assert.deepEqual(failures, ["no tag takes the label"]);
  assert.equal(proposals.left.length, 3);
  refuses = false;
  proposals.takeAll();
  await turn();
  annotation.regions.push(...["large", "small", "apart"].map((cleanId) => ({ cleanId })));
  assert.deepEqual(proposals.left, []);
});

test("an answer for proposals that are no longer shown is dropped", async () => {
  const { proposals } = bench();
  proposals.takeAll();
  proposals.close();
  await turn();
  assert.equal(proposals.made.size, 0);
  assert.equal(proposals.isOpen, false);
  assert.equal(proposals.moved(at("pointerdown", 25, 25)), false);
});
