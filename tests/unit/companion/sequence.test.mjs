import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { resultsOf } from "../../../companion/before.js";
import { annotatedIn, masksIn, sequenceOf } from "../../../companion/frames.js";
import { sequenceRule } from "../../../companion/options.js";
import { pathOf } from "../../../companion/paths.js";
import { sequencesOf } from "../../../companion/sequence.js";

// test_sequence_cases.py holds ./inv propagate to the same ones.
const cases = JSON.parse(readFileSync(new URL("sequence_cases.json", import.meta.url), "utf8"));
const signal = new AbortController().signal;

for (const { what, rule, frames, sequences } of cases) {
  test(`sequences: ${what}`, () => {
    const given = frames.map(([task, url, data = {}]) => ({ task, url, data }));
    const found = sequencesOf(given, rule);
    assert.deepEqual(found.map((one) => one.map((frame) => frame.task)), sequences);
  });
}

test("a path is the one below the folder that is served", () => {
  assert.equal(pathOf("/data/local-files/?d=set/a%20b.png"), "set/a b.png");
  assert.equal(pathOf("/prefix/data/local-files/?d=./set//a.png"), "set/a.png");
  assert.equal(pathOf("/data/upload/3/x%20y.png"), "upload/3/x y.png");
});

test("a task without what its sequence is sorted by comes first", () => {
  const frames = [[1, { time: 2 }], [2, {}], [3, { time: 1 }]].map(([task, data]) => ({ task, url: `/data/local-files/?d=s/${task}.png`, data }));
  assert.deepEqual(sequencesOf(frames, { order: "time" })[0].map((one) => one.task), [2, 3, 1]);
});

test("the sequence of a task is read page by page", async () => {
  const pages = [[{ id: 1, data: { image: "/data/local-files/?d=s/2.png" } }, { id: 2, data: { other: 1 } }], [{ id: 3, data: { image: "/data/local-files/?d=s/1.png" } }]];
  const asked = [];
  const api = { read: async (path) => (asked.push(path), { tasks: pages[asked.length - 1], total: 501 }) };
  const found = await sequenceOf(api, 7, 1, { value: "$image" }, {}, signal);
  assert.deepEqual([found.frames.map((one) => one.task), found.at, found.frames[1].name], [[3, 1], 1, "2.png"]);
  assert.match(asked[1], /^\/api\/tasks\?project=7&include=id%2Cdata&page=2&/);
  asked.length = 0;
  assert.equal(await sequenceOf(api, 7, 9, { value: "$image" }, {}, signal), null);
  assert.equal(await sequenceOf(api, 7, 1, { value: "$image", multiImage: true }, {}, signal), null);
  assert.equal(await sequenceOf(api, 7, 1, { value: "/fixed.png" }, {}, signal), null);
});

test("the project's rule is an option of its backend, or none", () => {
  const sequence = JSON.stringify({ order: "time", cuts: ["a.png"] });
  assert.deepEqual(sequenceRule({ extra_params: { sequence } }), { order: "time", cuts: ["a.png"] });
  assert.deepEqual(sequenceRule({ extra_params: JSON.stringify({ sequence }) }), { order: "time", cuts: ["a.png"] });
  for (const given of [null, {}, { extra_params: null }, { extra_params: "{" }, { extra_params: { sequence: "[" } }]) {
    assert.deepEqual(sequenceRule(given), {});
  }
});

test("of several annotations the ground truth counts, else the one that was changed last", () => {
  const first = { id: 1, updated_at: "2026-03-02T10:00:00Z", ground_truth: false, result: ["changed"] };
  const second = { id: 2, updated_at: "2026-03-01T10:00:00Z", ground_truth: false, result: ["newer"] };
  const truth = { id: 0, updated_at: "2026-02-01T10:00:00Z", ground_truth: true, result: ["truth"] };
  for (const read of [annotatedIn, resultsOf]) {
    assert.deepEqual(read({ annotations: [second, first] }), ["changed"]);
    assert.deepEqual(read({ annotations: [second, truth, first] }), ["truth"]);
  }
});

test("what people annotated last counts, and what they skipped does not", () => {
  const rows = [{ id: 1, result: ["old"] }, { id: 3, result: ["skipped"], was_cancelled: true }, { id: 2, result: ["new"] }];
  assert.deepEqual(annotatedIn({ annotations: rows }), ["new"]);
  assert.equal(annotatedIn({ annotations: [rows[1]] }), null);
  assert.equal(annotatedIn({}), null);
});

test("masks of one image go with their labels and notes, each shape once", () => {
  const size = { original_width: 4, original_height: 3, to_name: "image" };
  const meta = { text: ["a note"] };
  const results = [
    { ...size, id: "m", type: "brush", from_name: "b", meta, score: 0.5, value: { rle: [1] } },
    { ...size, id: "m", type: "labels", from_name: "l", meta, value: { rle: [1], labels: ["Car"] } },
    { ...size, id: "m", type: "choices", from_name: "c", value: { choices: ["x"] } },
    { ...size, id: "r", type: "rectangle", from_name: "r", value: { x: 1 } },
    { ...size, id: "r", type: "labels", from_name: "l", value: { labels: ["Car"] } },
    { ...size, to_name: "other", id: "o", type: "brush", from_name: "b", value: { rle: [1] } },
  ];
  assert.deepEqual(masksIn(results, "image"), [
    { ...size, id: "m", type: "brush", from_name: "b", meta, value: { rle: [1] } },
    { ...size, id: "m", type: "labels", from_name: "l", meta, value: { labels: ["Car"] } },
  ]);
});
