import assert from "node:assert/strict";
import test from "node:test";

import { masksBefore, resultsOf, taskBefore } from "../../../companion/before.js";
import { Everything, addInTurn } from "../../../companion/everything.js";

const label = { selected: false, setSelected(on) { this.selected = on; } };
const palette = { name: "label", type: "labels", toname: "image", isSelected: true, selectedLabels: [label], selectedValues: () => ["Boat"] };

function annotationWith(...controls) {
  const annotation = {
    names: new Map(controls.map((one) => [one.name, one])),
    regions: [],
    steps: [],
    history: { freeze: () => annotation.steps.push("freeze"), unfreeze: () => annotation.steps.push("unfreeze") },
    unselectAll: () => {},
    appendResults: (results) => {
      annotation.steps.push(["append", results.map((one) => one.type)]);
      const made = [...new Set(results.map((one) => one.id))].map((id) => ({ cleanId: `new-${id}` }));
      annotation.regions.push(...made);
      return made;
    },
  };
  return annotation;
}

const image = (more = {}) => ({ name: "image", currentImageEntity: { naturalWidth: 640, naturalHeight: 480, index: 0 }, ...more });
const proposals = [{ rings: [], area: 0.1 }, { rings: [], area: 0.2 }];

test("it asks until all are there, and says how far it is", async () => {
  const asked = [];
  const answers = [{ share: 0 }, { share: 0.5 }, { share: 1, proposals }];
  const api = { query: async (_backend, task, context) => (asked.push([task, context.ask, context.result[0]]), { everything: answers.shift() }) };
  const told = [];
  const offer = await new Everything(api, async () => {}).find({ id: 1 }, 5, image({ multiImage: true }), annotationWith(), (share) => told.push(share));
  assert.deepEqual(told, [0, 0.5]);
  assert.deepEqual(offer.proposals, proposals);
  const [task, ask, entry] = asked[0];
  assert.deepEqual([task, ask, entry.to_name, entry.original_width, entry.original_height, entry.item_index], [5, "everything", "image", 640, 480, 0]);
});

test("who stops it asks no more", async () => {
  let count = 0;
  const everything = new Everything({ query: async () => ((count += 1), { everything: { share: 0.1 } }) }, async () => everything.stop());
  assert.equal(await everything.find({ id: 1 }, 5, image(), annotationWith(), () => {}), null);
  assert.equal(count, 1);
  assert.equal(everything.isBusy, false);
});

test("a refusal is raised, that of a question that was stopped is not", async () => {
  const refusing = (before) => new Everything({ query: async () => { before?.(); throw new Error("busy"); } }, async () => {});
  await assert.rejects(refusing().find({ id: 1 }, 5, image(), annotationWith(), () => {}), /busy/);
  const stopped = refusing(() => stopped.stop());
  assert.equal(await stopped.find({ id: 1 }, 5, image(), annotationWith(), () => {}), null);
});

test("one is taken with the label that is picked, as one step, and the label stays picked", async () => {
  const asked = [];
  const results = [{ id: "x", type: "brush" }, { id: "x", type: "labels" }];
  const api = { query: async (_backend, _task, context) => (asked.push(context), asked.length === 1 ? { everything: { proposals } } : { result: results }) };
  const annotation = annotationWith(palette);
  const offer = await new Everything(api, async () => {}).find({ id: 1 }, 5, image(), annotation, () => {});
  assert.deepEqual(await offer.take([proposals[1]]), [["new-x"]]);
  assert.equal(asked[1].proposal, 1);
  assert.deepEqual([asked[1].result[0].type, asked[1].result[0].value], ["labels", { labels: ["Boat"] }]);
  assert.deepEqual(annotation.steps, ["freeze", ["append", ["brush", "labels"]], "unfreeze"]);
  assert.equal(label.selected, true);
});

test("without a label nothing is taken", async () => {
  const api = { query: async () => ({ everything: { proposals } }) };
  for (const controls of [[], [{ ...palette, isSelected: false }], [{ ...palette, toname: "other" }]]) {
    const offer = await new Everything(api, async () => {}).find({ id: 1 }, 5, image(), annotationWith(...controls), () => {});
    assert.equal(await offer.take(proposals), null);
  }
});

test("each learns the regions that it became, also where a polygon is in parts", () => {
  const annotation = annotationWith();
  const made = addInTurn(annotation, [[{ id: "a" }, { id: "b" }], [], [{ id: "c" }, { id: "c" }]]);
  assert.deepEqual(made, [["new-a", "new-b"], [], ["new-c"]]);
});

// -- the image before

function pages(ids, more = {}) {
  const asked = [];
  const read = async (path) => {
    const given = new URLSearchParams(path.split("?")[1]);
    asked.push(given);
    const page = Number(given.get("page"));
    return { total: ids.length, tasks: ids.slice((page - 1) * 1000, page * 1000).map((id) => ({ id })) };
  };
  return { api: { read, ...more }, asked };
}

const manager = (selected) => ({ projectId: 7, store: { viewsStore: { selected } } });
const none = new AbortController().signal;

test("the task before is the one above in the list, with its sorting and filter", async () => {
  const { api, asked } = pages([30, 10, 20]);
  assert.equal(await taskBefore(api, manager({ id: 4 }), 10, none), 30);
  assert.deepEqual([asked[0].get("project"), asked[0].get("view"), asked[0].get("include")], ["7", "4", "id"]);
  assert.equal(await taskBefore(api, manager({ id: 4 }), 30, none), null);
  assert.equal(await taskBefore(api, manager({ id: 4 }), 99, none), null);
  await taskBefore(api, manager({ id: -1, virtual: true, query: "{}" }), 10, none);
  assert.deepEqual([asked.at(-1).get("view"), asked.at(-1).get("query")], [null, "{}"]);
});

test("also over the end of a page", async () => {
  const ids = Array.from({ length: 2500 }, (_, number) => number + 1);
  const { api, asked } = pages(ids);
  assert.equal(await taskBefore(api, manager({ id: 1 }), 2001, none), 2000);
  assert.equal(asked.length, 3);
});

test("what people annotated last counts, then the newest prediction", () => {
  const [old, skipped, fresh] = [{ id: 1, result: [1] }, { id: 9, result: [9], was_cancelled: true }, { id: 5, result: [5] }];
  const predictions = [{ id: 20, result: [20] }];
  assert.deepEqual(resultsOf({ annotations: [old, fresh, skipped], predictions }), [5]);
  assert.deepEqual(resultsOf({ annotations: [{ id: 3, result: [] }], predictions }), [20]);
  assert.deepEqual(resultsOf({}), []);
});

const size = { original_width: 640, original_height: 480 };
const masks = [
  { id: "a", type: "brush", from_name: "brush", to_name: "image", score: 0.9, value: { rle: [1] }, ...size },
  { id: "a", type: "labels", from_name: "label", to_name: "image", value: { labels: ["Boat"] }, ...size },
  { id: "k", type: "keypoint", from_name: "point", to_name: "image", value: {}, ...size },
  { id: "o", type: "brush", from_name: "brush", to_name: "other", value: { rle: [1] }, ...size },
  { id: "g", type: "brush", from_name: "gone", to_name: "image", value: { rle: [1] }, ...size },
];

function before(results, picture = image()) {
  const asked = [];
  const api = {
    read: async (path) => (path.startsWith("/api/tasks?") ? { total: 2, tasks: [{ id: 1 }, { id: 2 }] } : { annotations: [{ id: 8, result: results }] }),
    query: async (_backend, _task, context) => (asked.push(context), { outlines: [{ id: "a", rings: [[0, 0, 9, 0, 9, 9]], area: 0.1 }] }),
  };
  const annotation = annotationWith({ name: "brush", type: "brush" }, palette);
  return { asked, annotation, offer: () => masksBefore(api, manager({ id: 4 }), { id: 1 }, 2, picture, annotation, none) };
}

test("masks of the image before are offered where they lie, and taken with their own labels", async () => {
  const { asked, annotation, offer } = before(masks);
  const found = await offer();
  assert.deepEqual(asked[0].result.map((one) => one.id), ["a"]);
  assert.equal(asked[0].ask, "outlines");
  assert.deepEqual(await found.take(found.proposals), [["new-a"]]);
  assert.deepEqual(annotation.steps, ["freeze", ["append", ["brush", "labels"]], "unfreeze"]);
  assert.equal(masks[0].score, 0.9); // what was read is not changed by what was taken
});

test("what cannot be offered is said", async () => {
  const reason = (found) => found.offer().then(() => null, (error) => error.reason);
  assert.equal(await reason(before([])), "noMasksBefore");
  assert.equal(await reason(before(masks, image({ currentImageEntity: { naturalWidth: 64, naturalHeight: 48, index: 0 } }))), "otherSizeBefore");
  assert.equal(await reason(before(masks, image({ multiImage: true, currentImageEntity: { naturalWidth: 640, naturalHeight: 480, index: 1 } }))), "noMasksBefore");
});
