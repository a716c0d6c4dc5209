import assert from "node:assert/strict";
import test from "node:test";

import { textsFor } from "../../../companion/messages.js";
import { Tools } from "../../../companion/tools.js";
import { region } from "./fakes.mjs";

const texts = textsFor(["en"]);
const turn = () => new Promise((resolve) => setTimeout(resolve));
const press = (key, more = {}) => ({ key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...more });
const proposals = [{ rings: [[0, 0, 9, 0, 9, 9]], area: 0.1 }, { rings: [[50, 50, 59, 50, 59, 59]], area: 0.1 }];

function bench(given = {}) {
  const image = { name: "image", type: "image", imageIsLoaded: true, currentImageEntity: { naturalWidth: 64, naturalHeight: 48, index: 0 } };
  const mask = region({ id: "m", type: "brushregion", dynamic: false });
  const annotation = { names: new Map([["image", image]]), regions: [mask], selectedRegions: [], suggestions: new Map(), isReadOnly: () => false, unselectAll: () => {} };
  const asked = [];
  const told = [];
  const drawing = { isPending: false, isBusy: false, accepted: 0, accept() { this.accepted += 1; } };
  const desk = {
    page: { requestAnimationFrame: () => 1, cancelAnimationFrame: () => {} },
    manager: { projectId: 7 },
    api: { query: (_backend, _task, context) => new Promise((resolve, reject) => asked.push({ ...context, resolve, reject })), read: async () => ({ total: 1, tasks: [{ id: 5 }] }) },
    store: { annotationStore: { selected: annotation } },
    backend: { id: 3 },
    task: 5,
    drawing,
    texts,
    windowing: { name: "image" },
    sight: { outliner: { of: () => null } },
    tick: () => {},
    asked: () => {},
    answered: () => {},
    refused: (error) => told.push(error.message),
    ...given,
  };
  const tools = new Tools(desk);
  tools.proposals.veil.show = () => {};
  return { annotation, asked, told, drawing, desk, tools };
}

const none = new Set();

test("a key that a label has, or with Ctrl, is not ours", () => {
  const { tools, asked } = bench();
  for (const key of ["a", "j", "w"]) {
    assert.equal(tools.pressed(press(key), new Set([key])), false);
    assert.equal(tools.pressed(press(key, { ctrlKey: true }), none), false);
    assert.equal(tools.pressed(press(key, { shiftKey: true }), none), false);
  }
  assert.equal(tools.pressed(press("x"), none), false); // only once masks are worked on
  assert.deepEqual([asked.length, tools.work.isOpen], [0, false]);
});

test("all objects are looked for, shown, and put away", async () => {
  const { tools, asked } = bench();
  assert.equal(tools.pressed(press("a"), none), true);
  await turn();
  assert.deepEqual(tools.hints, [texts.finding(0)]);
  assert.equal(tools.isBusy, false); // people go on meanwhile
  assert.equal(tools.pressed(press("a", { repeat: true }), none), true); // held down
  asked[0].resolve({ everything: { proposals } });
  await turn();
  assert.deepEqual(tools.hints, [texts.offered(2)]);
  assert.equal(tools.pressed(press("Escape"), none), true);
  assert.deepEqual([tools.hints, tools.proposals.isOpen], [[], false]);
  assert.equal(tools.pressed(press("Escape"), none), false);
});

test("what was asked for on an annotation that Label Studio makes anew is asked again, on another task not", async () => {
  for (const [task, count] of [[5, 2], [6, 1]]) {
    const { tools, asked, desk, annotation } = bench();
    tools.pressed(press("a"), none);
    await turn();
    const anew = { ...annotation, regions: [] };
    desk.store.annotationStore.selected = anew;
    desk.task = task;
    tools.turn();
    tools.look(anew);
    await turn();
    assert.equal(asked.length, count);
    asked.at(-1).resolve({ everything: { proposals } });
    await turn();
    assert.deepEqual([tools.proposals.isOpen, tools.wanted], [count === 2, null]);
    tools.look({ ...anew }); // it was answered: no more
    await turn();
    assert.equal(asked.length, count);
  }
});

test("the line says how many objects are left out because they have a mask", async () => {
  const box = (left) => [left, 10, left + 10, 10, left + 10, 20, left, 20];
  const outline = { number: 1, rings: [box(10).map((value, at) => value * (at % 2 ? 0.48 : 0.64))] };
  const { tools, asked, annotation } = bench({ sight: { outliner: { of: () => outline } } });
  annotation.regions[0].object = { name: "image" };
  tools.pressed(press("a"), none);
  await turn();
  asked[0].resolve({ everything: { proposals: [{ rings: [box(10)], area: 0.01 }, { rings: [box(60)], area: 0.01 }] } });
  await turn();
  assert.deepEqual(tools.hints, [texts.offered(1), texts.leftOut(1)]);
});

test("Esc ends the search, once nothing waits to be accepted", async () => {
  const { tools, drawing } = bench();
  tools.pressed(press("a"), none);
  await turn();
  drawing.isPending = true;
  assert.equal(tools.pressed(press("Escape"), none), false);
  drawing.isPending = false;
  assert.equal(tools.pressed(press("Escape"), none), true);
  assert.deepEqual(tools.hints, []);
});

test("all at once need a label, and what is not found is said", async () => {
  const { tools, asked, told } = bench();
  tools.pressed(press("a"), none);
  await turn();
  asked[0].resolve({ everything: { proposals } });
  await turn();
  assert.equal(tools.pressed(press("Enter", { shiftKey: true }), none), true);
  assert.deepEqual(tools.hints, [texts.offered(2), texts.label]);
  tools.pressed(press("a"), none); // puts them away
  tools.pressed(press("a"), none);
  await turn();
  asked[1].resolve({ everything: { proposals: [] } });
  await turn();
  assert.deepEqual(tools.hints, [texts.noneFound]);
  tools.pressed(press("a"), none);
  await turn();
  asked[2].reject(new Error("the image is not in the folder"));
  await turn();
  assert.deepEqual(told, ["the image is not in the folder"]);
});

test("the first image of the list has none before it", async () => {
  const { tools } = bench();
  tools.pressed(press("j"), none);
  assert.equal(tools.isBusy, true);
  await turn();
  await turn();
  assert.deepEqual([tools.hints, tools.isBusy], [[texts.noTaskBefore], false]);
});

test("Enter accepts as ever, unless a mask is worked on", () => {
  const { tools, drawing } = bench();
  tools.accept();
  assert.equal(drawing.accepted, 1);
  tools.pressed(press("w"), none);
  assert.deepEqual(tools.hints, [texts.workKeys]);
  tools.pressed(press("a"), none);
  assert.ok(tools.isOverMasks);
  tools.accept();
  assert.equal(drawing.accepted, 1);
});

test("another annotation on the screen ends all of it", async () => {
  const { tools, asked } = bench();
  tools.pressed(press("w"), none);
  tools.pressed(press("a"), none);
  tools.stop();
  assert.deepEqual([tools.isOverMasks, tools.hints], [false, []]);
  tools.pressed(press("a"), none);
  await turn();
  tools.stop();
  asked[0].resolve({ everything: { proposals } });
  await turn();
  assert.equal(tools.proposals.isOpen, false);
});
