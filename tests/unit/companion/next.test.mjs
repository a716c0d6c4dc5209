import assert from "node:assert/strict";
import test from "node:test";

import { Next } from "../../../companion/next.js";

/** A data manager with three tasks, and an editor that saves as it is told to. */
function bench({ status = 201, list = [1, 2, 3], later = [], stream = false } = {}) {
  const told = { opened: [], said: [], saved: [], heard: new Map() };
  const save = (event) => () => {
    told.saved.push(event);
    told.heard.get(event)?.(null, {}, { $meta: { status } });
  };
  const store = {
    task: { id: 2 },
    annotationStore: { selected: {} },
    submitAnnotation: save("submitAnnotation"),
    updateAnnotation: save("updateAnnotation"),
  };
  const dataStore = {
    list: list.map((id) => ({ id })),
    hasNextPage: later.length > 0,
    fetch: async () => dataStore.list.push(...later.splice(0).map((id) => ({ id }))),
  };
  const manager = {
    store: { isLabelStreamMode: stream, dataStore, startLabeling: (task) => told.opened.push(task.id) },
    on: (event, callback) => told.heard.set(event, callback),
    off: (event) => told.heard.delete(event),
  };
  let now = 0;
  const around = { manager, store, said: (what) => told.said.push(what) };
  const next = new Next(around, async (ms) => (now += ms), () => now);
  return { next, told, store };
}

const annotation = (given = {}) => ({ history: { hasChanges: false }, draftId: 0, userGenerate: true, ...given });

test("an unchanged task is not saved, and the next one opens", async () => {
  const { next, told } = bench();
  await next.go(annotation());
  assert.deepEqual([told.saved, told.opened], [[], [3]]);
});

for (const [how, given, event] of [
  ["a new annotation is submitted", { history: { hasChanges: true } }, "submitAnnotation"],
  ["a draft is submitted", { draftId: 8 }, "submitAnnotation"],
  ["a submitted one is updated", { history: { hasChanges: true }, sentUserGenerate: true }, "updateAnnotation"],
  ["one that came from the server is updated", { history: { hasChanges: true }, userGenerate: false }, "updateAnnotation"],
]) {
  test(`${how} before the next task opens`, async () => {
    const { next, told } = bench();
    await next.go(annotation(given));
    assert.deepEqual([told.saved, told.opened, told.heard.size], [[event], [3], 0]);
  });
}

test("what could not be saved stays open", async () => {
  const { next, told } = bench({ status: 500 });
  await next.go(annotation({ history: { hasChanges: true } }));
  assert.deepEqual([told.opened, told.said, next.isBusy], [[], ["unsaved"], false]);
});

test("the last task says so", async () => {
  const { next, told } = bench({ list: [1, 2] });
  await next.go(annotation());
  assert.deepEqual([told.opened, told.said], [[], ["last"]]);
});

test("tasks that were not scrolled to are fetched", async () => {
  const { next, told } = bench({ list: [1, 2], later: [7] });
  await next.go(annotation());
  assert.deepEqual(told.opened, [7]);
});

test("a stream of tasks goes on by itself", async () => {
  const { next, told } = bench({ stream: true });
  assert.equal(next.isPossible, false);
  await next.go(annotation());
  assert.deepEqual(told.opened, []);
});
