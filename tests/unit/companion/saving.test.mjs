import assert from "node:assert/strict";
import test from "node:test";

import { Saving } from "../../../companion/saving.js";

/** A data manager, an annotation and a store as Label Studio has them, whose server answers as the test says. */
function bench() {
  const calls = [];
  const server = { answer: async () => ({ id: 7, $meta: { status: 201 } }) };
  const manager = Object.create({
    apiCall: async (name, params, body) => {
      calls.push([name, body?.body?.result]);
      return server.answer(name);
    },
  });
  const work = { isPrompt: (id) => id.startsWith("prompt"), waiting: () => [], store: null };
  const annotation = annotationOf([{ id: "mask" }]);
  // stores/AppStore.js and sdk/lsf-sdk.js of Label Studio's sources, as far as a draft goes through them.
  const store = {
    annotationStore: { selected: annotation },
    submitDraft: async (one) => {
      const name = one.draftId ? "updateDraft" : "createDraftForTask";
      const answer = await manager.apiCall(name, {}, { body: { result: one.versions.draft } });
      if (answer?.id) one.setDraftId(answer.id);
    },
  };
  work.store = store;
  const saving = new Saving(manager, work);
  saving.start();
  saving.turnTo(annotation);
  return { annotation, calls, manager, saving, server, store, work };
}

function annotationOf(result) {
  const one = {
    result, draftId: 0, isDraftSaving: false, isDrawing: false, versions: {}, suggestions: new Map(),
    history: { history: [{ areas: {} }], undoIdx: 0 },
    serializeAnnotation: () => one.result,
    addVersions: ({ draft }) => (one.versions = { draft }),
    setDraftId: (id) => (one.draftId = id),
    setDraftSaving: (on) => (one.isDraftSaving = on),
    onDraftSaved: () => (one.isDraftSaving = false),
    does: (...drawn) => {
      one.result = drawn;
      one.history.history = [...one.history.history, { areas: {} }];
      one.history.undoIdx += 1;
    },
  };
  return one;
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

test("what was done is saved at once and once, and not while a prompt waits", async () => {
  const { annotation, calls, saving } = bench();
  saving.look(true);
  assert.deepEqual([saving.isUnsaved, calls], [false, []]);
  annotation.does({ id: "mask" }, { id: "prompt 1" });
  saving.look(false);
  assert.deepEqual([saving.isUnsaved, calls], [true, []]);
  saving.look(true);
  saving.look(true);
  await turn();
  saving.look(true);
  assert.deepEqual(calls, [["createDraftForTask", [{ id: "mask" }]]]);
  assert.deepEqual([saving.isUnsaved, annotation.isDraftSaving, annotation.draftId], [false, false, 7]);
});

test("what Label Studio itself saves has no prompts, and the mask that waits", async () => {
  const { annotation, calls, manager, work } = bench();
  annotation.versions = { draft: [{ id: "mask" }, { id: "prompt 1" }] };
  work.waiting = (one) => (one === annotation ? [{ id: "waits" }] : []);
  await manager.apiCall("updateDraft", {}, { body: { result: annotation.versions.draft, lead_time: 3 } });
  await manager.apiCall("submitAnnotation", {}, { body: { result: [{ id: "mask" }, { id: "prompt 1" }] } });
  await manager.apiCall("tasks", {}, { body: { result: [{ id: "prompt 1" }] } });
  assert.deepEqual(calls, [
    ["updateDraft", [{ id: "mask" }, { id: "waits" }]],
    ["submitAnnotation", [{ id: "mask" }]],
    ["tasks", [{ id: "prompt 1" }]],
  ]);
});

test("where nothing but prompts was drawn, no draft is made", async () => {
  const { annotation, calls, saving } = bench();
  annotation.does({ id: "prompt 1" });
  await saving.save();
  assert.deepEqual([calls, saving.isUnsaved, annotation.isDraftSaving], [[], false, false]);
});

test("without a network it says so, keeps it, and saves when the network is back", async () => {
  const { annotation, calls, saving, server } = bench();
  server.answer = async () => {
    throw new TypeError("Failed to fetch");
  };
  annotation.does({ id: "mask" });
  saving.look(true, 1000);
  await turn();
  assert.deepEqual([saving.problem, saving.isUnsaved, annotation.isDraftSaving], [503, true, false]);
  server.answer = async () => ({ id: 9, $meta: { status: 201 } });
  saving.look(true, 1001);
  await turn();
  saving.look(true, 2000); // not yet again
  await turn();
  saving.look(true, 7000);
  await turn();
  assert.deepEqual([saving.problem, saving.isUnsaved, calls.length], [null, false, 2]);
});

test("a submission that finds no server comes back as an error, not never", async () => {
  const { manager, server } = bench();
  server.answer = async () => {
    throw new TypeError("Failed to fetch");
  };
  const answer = await manager.apiCall("submitAnnotation", {}, { body: { result: [] } });
  assert.equal(answer.$meta.status, 503);
  await assert.rejects(manager.apiCall("tasks", {}), /Failed to fetch/);
});

test("the draft of a task that was left is tried again as it was", async () => {
  const { annotation, calls, saving, server, store, work } = bench();
  work.waiting = (one) => (one === annotation ? [{ id: "waits" }] : []);
  server.answer = async () => ({ error: "gone", $meta: { status: 502 } });
  annotation.does({ id: "mask" });
  await saving.save();
  const other = annotationOf([]);
  store.annotationStore.selected = other;
  saving.turnTo(other);
  work.waiting = () => [];
  assert.deepEqual([saving.problem, saving.isUnsaved], [502, true]);
  server.answer = async () => ({ id: 9, $meta: { status: 201 } });
  saving.look(true, 10_000);
  await turn();
  assert.deepEqual(calls, Array(2).fill(["createDraftForTask", [{ id: "mask" }, { id: "waits" }]]));
  assert.deepEqual([saving.problem, saving.isUnsaved], [null, false]);
});

test("a draft that Label Studio forgot at a failed submission stays the annotation's", async () => {
  const { annotation, saving } = bench();
  annotation.does({ id: "mask" });
  await saving.save();
  saving.look(true);
  annotation.draftId = 0; // Annotation.dropDraft
  saving.look(true);
  assert.equal(annotation.draftId, 7);
});

test("what Label Studio still puts together is no work of the annotator's", () => {
  const { annotation, calls, saving } = bench();
  annotation.history.history = [{ areas: { a: {} } }]; // reinitHistory, with the regions of a draft
  saving.look(true);
  assert.deepEqual([saving.isUnsaved, calls], [false, []]);
});

test("closed, Label Studio's own way to its server is there again", () => {
  const { manager, saving } = bench();
  assert.equal(Object.hasOwn(manager, "apiCall"), true);
  saving.close();
  assert.equal(Object.hasOwn(manager, "apiCall"), false);
});

test("while it is submitted no draft is saved, and again where that failed", async () => {
  const { annotation, calls, manager, saving, server } = bench();
  let done = () => {};
  server.answer = () => new Promise((resolve) => (done = resolve));
  annotation.does({ id: "mask" });
  const saved = saving.save();
  const held = saving.hold();
  annotation.does({ id: "mask" }, { id: "other" });
  saving.look(true, 1000);
  done({ id: 7 });
  await Promise.all([saved, held]);
  saving.look(true, 3000);
  assert.equal(calls.length, 1);
  server.answer = async () => ({ error: "no", $meta: { status: 500 } });
  await manager.apiCall("submitAnnotation", {}, { body: { result: [] } });
  server.answer = async () => ({ id: 7 });
  saving.look(true, 5000);
  await turn();
  assert.equal(calls.at(-1)[0], "updateDraft");
});
