import assert from "node:assert/strict";
import test from "node:test";

import { Api } from "../../../companion/api.js";
import { wishOf } from "../../../companion/keys.js";
import { textsFor } from "../../../companion/messages.js";
import { Trouble } from "../../../companion/trouble.js";
import { Twin } from "../../../companion/twin.js";
import { region, result } from "./fakes.mjs";

const mask = (id, more = {}) => region({ id, type: "brushregion", dynamic: false, results: [result("brush"), result("labels")], ...more });

/** An annotation and an Api as far as the key looks; answers come when the test says so. */
function bench(...regions) {
  const steps = [];
  const annotation = {
    id: "a1",
    regions,
    selectedRegions: [],
    history: { freeze: () => steps.push("freeze"), unfreeze: () => steps.push("unfreeze") },
    unselectAll: () => (annotation.selectedRegions = []),
    appendResults: (results) => {
      steps.push("append");
      const made = results.map((one, number) => mask(`new${annotation.regions.length + number}`, { meta: one.meta }));
      annotation.regions.push(...made);
      return made;
    },
  };
  const store = { annotationStore: { selected: annotation } };
  const asked = [];
  const api = {
    serving: async () => ({ id: 3 }),
    twin: (backend, task, entries, requestId, signal) =>
      new Promise((resolve, reject) => asked.push({ task, ids: entries.map((one) => one.id), answer: resolve, reject, signal })),
  };
  const told = [];
  const around = {
    store,
    backend: { id: 3 },
    task: 5,
    asked: () => told.push("asked"),
    answered: () => told.push("answered"),
    refused: (error) => told.push(error.message),
  };
  return { annotation, store, asked, told, steps, twin: new Twin(api, 7, around) };
}

const carried = { id: "x", meta: { text: ["from rgb a"] } };
const turn = () => new Promise((resolve) => setTimeout(resolve));

test("the mask that is selected is taken over, else the last one that did not come from there", () => {
  const [first, second, came] = [mask("a"), mask("b"), mask("c", { meta: { text: ["from rgb a"] } })];
  const { annotation, twin } = bench(first, second, came, region({ id: "p" }), mask("d", { isDrawing: true }));
  assert.equal(twin.subject(annotation), second);
  annotation.selectedRegions = [first];
  assert.equal(twin.subject(annotation), first);
  annotation.selectedRegions = [came];
  assert.equal(twin.subject(annotation), came);
  annotation.selectedRegions = [];
  annotation.regions = [came, region({ id: "q" })];
  assert.equal(twin.subject(annotation), null);
});

test("what came is one step of the history, and the key makes it once", async () => {
  const { annotation, asked, told, steps, twin } = bench(mask("a"));
  const taking = twin.take(annotation);
  assert.ok(twin.isBusy);
  void twin.take(annotation); // while the first is asked about
  await turn();
  assert.equal(asked.length, 1);
  asked[0].answer([carried]);
  await taking;
  assert.deepEqual(steps, ["freeze", "append", "unfreeze"]);
  assert.deepEqual(told, ["asked", "answered"]);
  assert.equal(annotation.regions.length, 2);
  await twin.take(annotation);
  assert.equal(asked.length, 1);
  annotation.regions.pop(); // undone: the key makes it again
  void twin.take(annotation);
  await turn();
  assert.equal(asked.length, 2);
});

test("a refusal is said, and leaves the annotation as it was", async () => {
  const { annotation, asked, told, twin } = bench(mask("a"));
  const taking = twin.take(annotation);
  await turn();
  asked[0].reject(new Trouble("this project has no alignment of its pairs", "1234"));
  await taking;
  assert.deepEqual(told, ["asked", "this project has no alignment of its pairs", "answered"]);
  assert.equal(annotation.regions.length, 1);
  assert.equal(twin.isBusy, false);
});

test("an answer for a task that was left is dropped", async () => {
  for (const leave of [({ twin }) => twin.stop(), ({ store }) => (store.annotationStore.selected = {})]) {
    const one = bench(mask("a"));
    const taking = one.twin.take(one.annotation);
    await turn();
    leave(one);
    one.asked[0].answer([carried]);
    await taking;
    assert.equal(one.annotation.regions.length, 1);
  }
});

test("the question has the region, and what is asked for", async () => {
  const sent = [];
  const ask = async (path, init) => {
    sent.push([path, JSON.parse(init.body)]);
    return { ok: true, status: 200, json: async () => ({ data: { result: [carried] } }) };
  };
  const api = new Api(textsFor(["en"]), "", ask);
  const entry = { id: "a", type: "brush", from_name: "brush-rgb", to_name: "rgb", value: {} };
  const found = await api.twin({ id: 3 }, 5, [entry], "12ab", new AbortController().signal);
  assert.deepEqual(found, [carried]);
  const context = { result: [entry], ask: "twin", request_id: "12ab" };
  assert.deepEqual(sent, [["/api/ml/3/interactive-annotating", { task: 5, context }]]);
});

test("the key is T, and a label's own key stays the label's", () => {
  const press = { key: "t", shiftKey: false, ctrlKey: false, metaKey: false, altKey: false };
  assert.equal(wishOf(press, new Set()), "twin");
  assert.equal(wishOf({ ...press, shiftKey: true }, new Set()), null);
  assert.equal(wishOf(press, new Set(["t"])), null);
});
