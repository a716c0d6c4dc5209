import assert from "node:assert/strict";
import test from "node:test";

import { Drawing } from "../../../companion/drawing.js";
import { holdDrawing } from "../../../companion/holding.js";
import { region } from "./fakes.mjs";

/** An annotation, a store and an Api as far as a drawing looks; answers come when the test says so. */
function bench() {
  const annotation = {
    isDrawing: false,
    names: new Map(),
    regions: [],
    selectedRegions: [],
    suggestions: new Map(),
    history: { history: [{ areas: {} }], undoIdx: 0, freeze() {}, unfreeze() {}, setReplaceNextUndoState() {} },
    unselectAll: () => {},
    acceptSuggestion: (id) => {
      annotation.suggestions.delete(id);
      add({ id, type: "brushregion", dynamic: false });
    },
    rejectSuggestion: (id) => annotation.suggestions.delete(id),
  };
  const add = (given) => {
    const one = region(given);
    Object.assign(one, {
      setDrawing: (value) => (one.isDrawing = value),
      deleteRegion: () => annotation.regions.splice(annotation.regions.indexOf(one), 1),
    });
    annotation.regions.push(one);
    return one;
  };
  const store = {
    autoAnnotation: true,
    autoAcceptSuggestions: false,
    settings: { continuousLabeling: false },
    loadSuggestions: async (answer, read) => {
      try {
        const results = read(await answer);
        annotation.suggestions.clear();
        for (const one of results) annotation.suggestions.set(one.id, one);
      } catch {
        // as Label Studio does
      }
    },
  };
  const asked = [];
  const api = {
    mask: (project, backend, task, entries, candidate, requestId, signal) =>
      new Promise((resolve, reject) => {
        const answer = (results, candidates = 1) => resolve({ results, candidates });
        asked.push({ ids: entries.map((one) => one.id), candidate, signal, answer, reject });
      }),
  };
  const told = [];
  const around = {
    store,
    backend: { id: 3 },
    task: 5,
    lacksLabel: false,
    asked: () => told.push("asked"),
    answered: () => told.push("answered"),
    refused: (error) => told.push(error.message),
  };
  const drawing = new Drawing(api, 7, around);
  drawing.turnTo(annotation);
  return { annotation, add, store, asked, told, drawing, around };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));
const types = (annotation) => annotation.regions.map((one) => one.type);

test("a prompt is asked about once, and its mask waits", async () => {
  const { add, asked, told, drawing } = bench();
  add();
  drawing.reconcile();
  drawing.reconcile();
  await turn();
  assert.equal(asked.length, 1);
  asked[0].answer([{ id: "m" }]);
  await turn();
  assert.deepEqual(told, ["asked", "answered"]);
  assert.deepEqual([drawing.isBusy, drawing.isSuggested, drawing.isPending], [false, true, true]);
});

test("what is being dragged is not asked about until it stands still", async () => {
  const { add, asked, drawing } = bench();
  const box = add({ type: "rectangleregion" });
  drawing.look();
  box.x = 30;
  drawing.look();
  assert.equal(asked.length, 0);
  drawing.look();
  await turn();
  assert.equal(asked.length, 1);
});

test("Enter keeps the mask and removes the prompts", async () => {
  const { annotation, add, asked, drawing } = bench();
  add();
  drawing.reconcile();
  await turn();
  asked[0].answer([{ id: "m" }]);
  await turn();
  drawing.accept();
  assert.deepEqual(types(annotation), ["brushregion"]);
  drawing.look();
  drawing.look();
  assert.equal(asked.length, 1);
});

test("Enter before the answer takes it when it comes", async () => {
  const { annotation, add, asked, drawing } = bench();
  add();
  drawing.reconcile();
  await turn();
  drawing.accept();
  asked[0].answer([{ id: "m" }]);
  await turn();
  assert.deepEqual([types(annotation), annotation.suggestions.size], [["brushregion"], 0]);
});

test("Esc stops the question and takes everything back", async () => {
  const { annotation, add, asked, told, drawing } = bench();
  add();
  drawing.reconcile();
  await turn();
  drawing.reject();
  assert.equal(asked[0].signal.aborted, true);
  asked[0].reject(new Error("stopped"));
  await turn();
  assert.deepEqual([types(annotation), told], [[], ["asked"]]);
});

test("after an error no prompt stays", async () => {
  const { annotation, add, asked, told, drawing } = bench();
  add();
  drawing.reconcile();
  await turn();
  asked[0].reject(new Error("it is cut off"));
  await turn();
  assert.deepEqual([types(annotation), told], [[], ["asked", "it is cut off"]]);
});

test("another label keeps the mask that waited", async () => {
  const { annotation, add, asked, drawing } = bench();
  add({ label: "Sky" });
  drawing.reconcile();
  await turn();
  asked[0].answer([{ id: "m" }]);
  await turn();
  add({ label: "Road" });
  drawing.reconcile();
  assert.deepEqual(types(annotation), ["keypointregion", "brushregion"]);
  assert.equal(annotation.regions[0].labelName, "Road");
});

test("saving waits for the answer and takes it; with nothing drawn it changes nothing", async () => {
  const { annotation, add, asked, drawing } = bench();
  await drawing.finish();
  add();
  drawing.reconcile();
  await turn();
  const saved = drawing.finish();
  asked[0].answer([{ id: "m" }]);
  await saved;
  assert.deepEqual(types(annotation), ["brushregion"]);
});

test("a prompt that a draft brings back goes in any browser, a plain point stays", () => {
  const { annotation, add, drawing } = bench();
  add({ id: "asked", dynamic: false, _rawResult: { is_positive: true } });
  add({ id: "asked-not-this", dynamic: false, _rawResult: { is_positive: false } });
  add({ id: "plain", dynamic: false, _rawResult: {} });
  add({ id: "drawn-now", dynamic: false });
  drawing.look();
  assert.deepEqual(annotation.regions.map((one) => one.cleanId), ["plain", "drawn-now"]);
});

test("Enter refuses a mask without a label, and takes it when it has one", async () => {
  const { annotation, add, asked, drawing, around } = bench();
  around.lacksLabel = true;
  const point = add({ label: null });
  drawing.reconcile();
  await turn();
  drawing.accept(); // before the answer, too
  asked[0].answer([{ id: "m" }]);
  await turn();
  drawing.accept();
  assert.deepEqual([drawing.wantsLabel, annotation.suggestions.size, types(annotation)], [true, 1, ["keypointregion"]]);
  point.labelName = "Sky";
  drawing.reconcile();
  await turn();
  asked[1].answer([{ id: "m2" }]);
  await turn();
  drawing.accept();
  assert.deepEqual([drawing.wantsLabel, types(annotation)], [false, ["brushregion"]]);
});

test("a label that is picked while a mask waits without one is given to its prompts, and Enter is about them", async () => {
  const { annotation, add, asked, drawing, around } = bench();
  around.lacksLabel = true;
  const palette = { name: "label", type: "labels", isSelected: false, selectedValues: () => ["Sky"] };
  annotation.names.set("label", palette);
  const given = [];
  const take = (one) => {
    given.push(one);
    point.labelName = "Sky";
  };
  const point = add({ label: null, object: { name: "image", activeStates: () => [palette] }, setValue: take });
  drawing.reconcile();
  await turn();
  asked[0].answer([{ id: "m" }]);
  await turn();
  drawing.look();
  assert.deepEqual(given, []);
  palette.isSelected = true;
  drawing.look();
  assert.deepEqual(given, [palette]);
  drawing.accept(); // before anything else is looked at
  await turn();
  asked[1].answer([{ id: "m2" }]);
  await turn();
  assert.deepEqual([annotation.suggestions.size, types(annotation)], [0, ["brushregion"]]);
});

test("points say not this for one object: another label ends it", () => {
  const { annotation, drawing } = bench();
  let picked = ["Sky"];
  annotation.names.set("label", { name: "label", type: "labels", isSelected: true, selectedValues: () => picked });
  drawing.negative.turn(annotation);
  drawing.look();
  assert.equal(drawing.negative.isOn, true);
  picked = ["Road"];
  drawing.negative.look(annotation); // a click asks, before the next look
  assert.equal(drawing.negative.isOn, false);
});

test("a mask that waits is in the draft of the task that is left, prompts are not", async () => {
  const { annotation, add, asked, drawing } = bench();
  add({ id: "point" });
  drawing.look();
  drawing.look();
  await turn();
  asked[0].answer([{ id: "m", results: [{ serialize: ({ fast }) => ({ id: "m", fast }) }, { serialize: () => null }] }]);
  await turn();
  assert.deepEqual(drawing.pending.waiting(annotation), [{ id: "m", fast: true }]);
  assert.deepEqual(drawing.pending.waiting({}), []);
  assert.deepEqual([drawing.pending.ids.has("point"), drawing.pending.ids.has("m")], [true, false]);
});

test("only the key of a label that is still picked is kept", async () => {
  const { add, drawing } = bench();
  const label = { hotkey: "Q", selected: false, setSelected: (value) => (label.selected = value) };
  add({ results: [{ type: "labels", selectedLabels: [label], serialize: () => null }] });
  drawing.reconcile();
  assert.deepEqual([drawing.keeps("q"), drawing.keeps("w")], [true, false]);
  label.setSelected(false);
  assert.equal(drawing.keeps("q"), false);
});

/** A lone point, of which the model has three masks. */
async function ambiguous() {
  const all = bench();
  const point = all.add();
  all.drawing.reconcile();
  await turn();
  all.asked[0].answer([{ id: "m" }], 3);
  await turn();
  return { ...all, point };
}

test("C goes round the masks of a lone point", async () => {
  const { asked, drawing } = await ambiguous();
  for (const [number, wanted] of [1, 2, 0].entries()) {
    assert.equal(drawing.offersMore, true);
    drawing.next();
    drawing.next(); // while one is on its way, it asks nothing
    await turn();
    assert.deepEqual([asked.length, asked[number + 1].candidate], [number + 2, wanted]);
    asked[number + 1].answer(wanted === 2 ? [] : [{ id: `m${wanted}` }], 3);
    await turn();
  }
});

test("points that come after belong to the mask that was chosen", async () => {
  const { add, asked, drawing } = await ambiguous();
  drawing.next();
  await turn();
  asked[1].answer([{ id: "whole" }], 3);
  await turn();
  add();
  drawing.reconcile();
  await turn();
  assert.equal(asked[2].candidate, 1);
  asked[2].answer([{ id: "refined" }], 1);
  await turn();
  assert.equal(drawing.offersMore, false);
  drawing.next();
  await turn();
  assert.equal(asked.length, 3);
});

test("a point that moves, and the next object, begin with the best mask", async () => {
  const { add, asked, drawing, point } = await ambiguous();
  drawing.next();
  await turn();
  asked[1].answer([{ id: "whole" }], 3);
  await turn();
  point.x = 70;
  drawing.reconcile();
  await turn();
  asked[2].answer([{ id: "there" }], 3);
  await turn();
  drawing.next();
  await turn();
  asked[3].answer([{ id: "whole there" }], 3);
  await turn();
  drawing.accept();
  assert.equal(drawing.offersMore, false);
  add();
  drawing.reconcile();
  await turn();
  assert.deepEqual(asked.map((one) => one.candidate), [0, 1, 0, 1, 0]);
});

/** A stage with one layer of Konva's, as far as it is used: `drawn` counts. */
function stage() {
  class Layer {
    drawn = 0;
    there = true;
    draw() {
      this.drawn += 1;
      return this;
    }
    batchDraw() {
      return this.draw();
    }
    getStage() {
      return this.there ? {} : null;
    }
  }
  const layer = new Layer();
  return { layer, stageRef: { getLayers: () => [layer] } };
}

test("what is due while drawing is held is drawn once, when it is released", () => {
  const { layer, stageRef } = stage();
  const release = holdDrawing(stageRef);
  layer.batchDraw();
  layer.draw();
  assert.equal(layer.drawn, 0);
  release();
  release();
  assert.equal(layer.drawn, 1);
  layer.draw();
  assert.equal(layer.drawn, 2);
});

test("nothing is drawn for its own sake, on a layer that is gone, or without a stage", () => {
  const { layer, stageRef } = stage();
  holdDrawing(stageRef)();
  const release = holdDrawing(stageRef);
  layer.draw();
  layer.there = false;
  release();
  holdDrawing(undefined)();
  assert.equal(layer.drawn, 0);
});

for (const [many, held] of [[true, true], [false, false]]) {
  test(`with ${many ? "many" : "few"} masks the point is drawn ${held ? "with its mask" : "at once"}`, async () => {
    const { add, asked, drawing } = bench();
    const { layer, stageRef } = stage();
    for (let count = 0; count < (many ? 20 : 5); count += 1) add({ type: "brushregion", dynamic: false });
    add({ object: { name: "image", stageRef } });
    drawing.reconcile();
    layer.draw();
    assert.equal(layer.drawn, held ? 0 : 1);
    await turn();
    asked[0].answer([{ id: "m" }]);
    await turn();
    assert.equal(layer.drawn, 1);
  });
}

test("a question that fails or is taken back leaves nothing held", async () => {
  for (const end of ["reject", "fail"]) {
    const { add, asked, drawing } = bench();
    const { layer, stageRef } = stage();
    for (let count = 0; count < 20; count += 1) add({ type: "brushregion", dynamic: false });
    add({ object: { name: "image", stageRef } });
    drawing.reconcile();
    layer.draw();
    await turn();
    if (end === "reject") drawing.reject();
    else asked[0].reject(new Error("cut off"));
    await turn();
    assert.equal(layer.drawn, 1, end);
  }
});
