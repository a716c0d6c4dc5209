import assert from "node:assert/strict";
import test from "node:test";

import { Hover } from "../../../companion/hover.js";
import { region } from "./fakes.mjs";

const RINGS = [[10, 10, 20, 10, 20, 20]];
const image = { name: "image", currentImageEntity: { naturalWidth: 640, naturalHeight: 480, index: 0 } };
const turn = () => new Promise((resolve) => setTimeout(resolve));
const at = (x, y = 50) => ({ image, x, y, across: 6.4, down: 4.8 });

/** Answers come when the test says so; `now` stands until it is moved. */
function bench() {
  const asked = [];
  const told = { changes: 0, now: 0, wanted: true, awaited: false };
  const api = {
    preview: (backend, task, entry, signal) =>
      new Promise((resolve, reject) => asked.push({ entry, signal, answer: resolve, reject })),
  };
  const around = {
    backend: { id: 3 },
    task: 5,
    isWanted: () => told.wanted,
    get isAwaited() {
      return told.awaited;
    },
    changed: () => (told.changes += 1),
    safely: (work) => work(),
  };
  return { hover: new Hover(api, around, () => told.now), asked, told };
}

/** The mouse came to rest somewhere. */
function rested(hover, place) {
  hover.moved(place);
  hover.rest();
}

async function shown(all, place = at(30)) {
  rested(all.hover, place);
  all.asked.at(-1).answer(RINGS);
  await turn();
}

test("where the mouse rests the mask is asked for and shown", async () => {
  const all = bench();
  await shown(all);
  const { entry } = all.asked[0];
  assert.deepEqual([entry.value.x, entry.value.y, entry.to_name, entry.original_width], [30, 50, "image", 640]);
  assert.deepEqual([all.hover.shown.rings, all.told.changes], [RINGS, 1]);
});

test("the next move cancels the question and takes away what is shown", async () => {
  const all = bench();
  rested(all.hover, at(30));
  all.hover.moved(at(60));
  assert.equal(all.asked[0].signal.aborted, true);
  all.asked[0].answer(RINGS);
  await turn();
  assert.equal(all.hover.shown, null);
  await shown(all, at(60));
  all.hover.moved(at(70));
  assert.equal(all.hover.shown, null);
  all.hover.stop();
});

test("a hand that holds still moves a little, and what is shown stays", async () => {
  const all = bench();
  await shown(all);
  all.hover.moved(at(30.3));
  assert.notEqual(all.hover.shown, null);
  all.hover.look();
  assert.equal(all.asked.length, 1);
});

test("nothing is asked where a click would ask for no new mask", () => {
  const all = bench();
  all.told.wanted = false;
  rested(all.hover, at(30));
  assert.equal(all.asked.length, 0);
  all.told.wanted = true;
  all.hover.look(); // a label was picked meanwhile
  assert.equal(all.asked.length, 1);
});

test("what is shown stays until the click's own mask comes", async () => {
  const all = bench();
  await shown(all);
  Object.assign(all.told, { wanted: false, awaited: true });
  all.hover.look();
  assert.notEqual(all.hover.shown, null);
  all.told.awaited = false;
  all.hover.look();
  assert.equal(all.hover.shown, null);
});

test("a click beside what was shown asks about the shown place", async () => {
  const all = bench();
  await shown(all);
  const point = region({ id: "p", x: 30.2, y: 50.1, negative: false });
  all.hover.drawn(point);
  const sent = { id: "p", value: { x: 30.2, y: 50.1, width: 1 } };
  assert.deepEqual(all.hover.aimed([sent])[0].value, { x: 30, y: 50, width: 1 });
  assert.deepEqual(all.hover.aimed([{ id: "p", value: { x: 40, y: 50.1 } }])[0].value.x, 40); // it was dragged since
  assert.equal(all.hover.aimed([{ id: "q", value: { x: 30.2, y: 50.1 } }])[0].value.x, 30.2);
});

test("a negative, a far and a box prompt take nothing over", async () => {
  const all = bench();
  await shown(all);
  const given = [{ x: 30, y: 50, negative: true }, { x: 50, y: 50 }, { type: "rectangleregion", x: 30, y: 50 }];
  given.forEach((one, number) => all.hover.drawn(region({ id: `r${number}`, ...one })));
  assert.equal(all.hover.taken.size, 0);
});

test("where answers come too late none is asked for, until it is measured anew", async () => {
  const all = bench();
  for (let count = 0; count < 3; count += 1) {
    rested(all.hover, at(10 * count + 10));
    all.told.now += 600;
    all.asked.at(-1).answer([]);
    await turn();
  }
  assert.deepEqual([all.hover.isSlow, all.hover.median], [true, 600]);
  rested(all.hover, at(90));
  assert.equal(all.asked.length, 3);
  all.hover.again();
  rested(all.hover, at(80));
  assert.equal(all.asked.length, 4);
});

test("an error is not asked about again before the next move", async () => {
  const all = bench();
  rested(all.hover, at(30));
  all.asked[0].reject(new Error("cut off"));
  await turn();
  all.hover.look();
  assert.deepEqual([all.asked.length, all.hover.shown], [1, null]);
  rested(all.hover, at(31));
  assert.equal(all.asked.length, 2);
});
