import assert from "node:assert/strict";
import test from "node:test";

import { textsFor } from "../../../companion/messages.js";
import { dressed } from "../../../companion/results.js";
import { Work } from "../../../companion/work.js";
import { region } from "./fakes.mjs";

const texts = textsFor(["en"]);
const turn = () => new Promise((resolve) => setTimeout(resolve));

function mask(id, more = {}) {
  const label = { selected: false, setSelected(on) { this.selected = on; } };
  const entry = (type, value) => ({ type, selectedLabels: type === "labels" ? [label] : [], serialize: () => ({ id, type, from_name: type, to_name: "image", value }) });
  return region({
    id,
    type: "brushregion",
    dynamic: false,
    results: [entry("brush", { format: "rle", rle: [1] }), entry("labels", { format: "rle", rle: [1], labels: ["Boat", "Sail"] })],
    label,
    ...more,
  });
}

function bench(...regions) {
  const steps = [];
  const annotation = {
    regions,
    selectedRegions: [],
    suggestions: new Map(),
    history: { freeze: () => steps.push("freeze"), unfreeze: () => steps.push("unfreeze") },
    unselectAll: () => (annotation.selectedRegions = []),
    appendResults: (results) => {
      steps.push(["append", structuredClone(results)]);
      const made = [...new Set(results.map((one) => one.id))].map((id) => own(mask(`new-${id}`)));
      annotation.regions.push(...made);
      return made;
    },
  };
  const own = (one) => {
    one.deleteRegion = () => {
      steps.push(["delete", one.cleanId]);
      annotation.regions.splice(annotation.regions.indexOf(one), 1);
    };
    return one;
  };
  regions.forEach(own);
  const asked = [];
  const told = [];
  const drawing = { isPending: false, isBusy: false, reject: () => (steps.push("reject"), annotation.suggestions.clear()) };
  const desk = {
    store: { annotationStore: { selected: annotation } },
    backend: { id: 3, extra_params: { polygon_tolerance_pixels: 2 } },
    task: 5,
    drawing,
    texts,
    asked: () => {},
    answered: () => {},
    refused: (error) => told.push(error.message),
  };
  const api = { query: (_backend, _task, context) => new Promise((resolve, reject) => asked.push({ ...context, resolve, reject })) };
  return { annotation, steps, asked, told, drawing, desk, work: new Work(api, 7, desk) };
}

const answer = (...ids) => ({ result: ids.flatMap((id) => [{ id, type: "brush", value: { format: "rle", rle: [2] } }, { id, type: "labels", value: { labels: ["Boat"] } }]) });

test("a key changes the mask that is selected, else the last one, as one step", async () => {
  const { annotation, steps, asked, work } = bench(mask("a"), mask("b"), region({ id: "p" }));
  work.toggle(annotation);
  assert.deepEqual(work.hints, [texts.workKeys]);
  assert.ok(work.pressed("f", annotation));
  await turn();
  assert.deepEqual([asked[0].ask, asked[0].edit], ["edit", { what: "fill" }]);
  assert.deepEqual(asked[0].result.map((one) => [one.id, one.type, Object.keys(one.value)]), [
    ["b", "brush", ["format", "rle"]],
    ["b", "labels", ["labels"]],
  ]);
  asked[0].resolve(answer("x"));
  await turn();
  assert.deepEqual(steps.map((one) => (Array.isArray(one) ? one[0] : one)), ["freeze", "delete", "append", "unfreeze"]);
  assert.deepEqual(annotation.regions.map((one) => one.cleanId).sort(), ["a", "new-x", "p"]);
  assert.equal(work.isOpen, false);
  annotation.selectedRegions = [annotation.regions[0]];
  work.toggle(annotation);
  assert.deepEqual(work.ids, ["a"]);
  work.toggle(annotation);
  assert.equal(work.isOpen, false);
});

test("labels and answers about the old mask are the new one's", () => {
  const shape = { id: "a", type: "brushlabels", meta: { text: ["blurred"] }, value: { format: "rle", rle: [1], brushlabels: ["Boat", "Sail"] } };
  const choice = { id: "a", type: "choices", from_name: "sure", value: { format: "rle", rle: [1], choices: ["no"] } };
  const other = { id: "b", type: "brushlabels", value: { brushlabels: ["Sky"] } };
  const made = [
    { id: "x", type: "polygonlabels", value: { points: [[1, 1]], polygonlabels: ["Boat"] } },
    { id: "y", type: "polygonlabels", value: { points: [[2, 2]], polygonlabels: ["Boat"] } },
  ];
  const found = dressed(made, [shape, choice, other]);
  assert.deepEqual(found.map((one) => [one.id, one.type]), [["x", "polygonlabels"], ["x", "choices"], ["y", "polygonlabels"], ["y", "choices"]]);
  assert.deepEqual(found[0].value, { points: [[1, 1]], polygonlabels: ["Boat", "Sail"] });
  assert.deepEqual(found[0].meta, { text: ["blurred"] });
  assert.deepEqual(found[1].value, { choices: ["no"] });
});

test("the next mask is added to the old one, or taken away, when Enter is pressed", async () => {
  for (const [key, what] of [["a", "add"], ["x", "take"]]) {
    const one = mask("a");
    const { annotation, steps, asked, work } = bench(one);
    work.toggle(annotation);
    assert.ok(work.pressed(key, annotation));
    assert.ok(work.isOverMasks);
    assert.ok(one.results[1].selectedLabels[0].selected); // the label of what is drawn
    assert.equal(work.pressed("f", annotation), false); // keys of labels and tools work again
    assert.equal(await work.accept(annotation), false); // nothing is drawn yet
    annotation.suggestions.set("s", mask("s"));
    const accepting = work.accept(annotation);
    await turn();
    assert.deepEqual([asked[0].edit, asked[0].result.map((entry) => entry.id)], [{ what }, ["a", "s", "a", "s"]]);
    asked[0].resolve(answer("x"));
    assert.equal(await accepting, true);
    assert.deepEqual(steps.map((step) => (Array.isArray(step) ? step[0] : step)), ["reject", "freeze", "delete", "append", "unfreeze"]);
    assert.deepEqual(steps[3][1].map((entry) => [entry.id, entry.type]), [["x", "brush"], ["x", "labels"]]);
    assert.deepEqual(steps[3][1][1].value, { labels: ["Boat", "Sail"] });
    assert.equal(work.isOpen, false);
  }
});

test("a refusal leaves the masks, and what waits, as they were", async () => {
  const { annotation, steps, asked, told, work } = bench(mask("a"));
  work.toggle(annotation);
  work.pressed("a", annotation);
  annotation.suggestions.set("s", mask("s"));
  const accepting = work.accept(annotation);
  await turn();
  asked[0].reject(new Error("there is nothing to add"));
  assert.equal(await accepting, false);
  assert.deepEqual([told, steps, annotation.suggestions.size], [["there is nothing to add"], [], 1]);
  assert.ok(work.isOverMasks); // another try
});

test("two masks that are selected are joined; one alone says what to do", async () => {
  const { annotation, asked, work } = bench(mask("a"), mask("b"), mask("c"));
  annotation.selectedRegions = [annotation.regions[0]];
  work.toggle(annotation);
  work.pressed("j", annotation);
  await turn();
  assert.deepEqual(work.hints, [texts.joinTwo, texts.workKeys]);
  work.toggle(annotation);
  annotation.selectedRegions = [annotation.regions[1], annotation.regions[0]];
  work.toggle(annotation);
  work.pressed("j", annotation);
  await turn();
  assert.deepEqual([asked[0].edit.what, asked[0].result[0].id, asked[0].result[1].id], ["add", "b", "a"]);
  asked[0].resolve(answer("x"));
  await turn();
  assert.deepEqual(annotation.regions.map((one) => one.cleanId), ["c", "new-x"]);
});

test("a polygon is made anew of the same mask with another tolerance", async () => {
  const { annotation, asked, work } = bench(mask("a"));
  work.toggle(annotation);
  work.pressed("p", annotation);
  await turn();
  assert.deepEqual(asked[0].edit, { what: "polygon", tolerance: 2 }); // the project's own
  asked[0].resolve(answer("x"));
  await turn();
  assert.deepEqual(work.hints, [texts.tolerance(2)]);
  work.pressed("+", annotation);
  await turn();
  assert.deepEqual([asked[1].edit, asked[1].result[0].id], [{ what: "polygon", tolerance: 3 }, "a"]);
  asked[1].resolve(answer("y"));
  await turn();
  assert.deepEqual(annotation.regions.map((one) => one.cleanId), ["new-y"]);
  assert.deepEqual(work.hints, [texts.tolerance(3)]);
});

test("a mask that is gone is not worked on", () => {
  const { annotation, work } = bench(mask("a"));
  work.toggle(annotation);
  annotation.regions.pop();
  work.look(annotation);
  assert.equal(work.isOpen, false);
  work.toggle(annotation);
  assert.deepEqual(work.hints, [texts.noMask]);
});

test("Esc ends it when nothing waits", () => {
  const { annotation, drawing, work } = bench(mask("a"));
  work.toggle(annotation);
  work.pressed("a", annotation);
  drawing.isPending = true;
  assert.equal(work.pressed("escape", annotation), false);
  drawing.isPending = false;
  assert.equal(work.pressed("escape", annotation), true);
  assert.equal(work.isOpen, false);
});
