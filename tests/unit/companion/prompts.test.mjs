import assert from "node:assert/strict";
import test from "node:test";

import {
  currentSubject,
  entriesOf,
  ghostsOf,
  promptsAmong,
  stateOf,
  subjectOf,
  underNewIds,
} from "../../../companion/prompts.js";
import { region, result } from "./fakes.mjs";

test("masks, accepted suggestions and what is being drawn are no prompts", () => {
  const prompt = region();
  const others = [region({ dynamic: false }), region({ fromSuggestion: true }), region({ isDrawing: true })];
  assert.deepEqual(promptsAmong([...others, prompt]), [prompt]);
});

test("points, boxes and strokes of one label on one image have one subject", () => {
  const one = region();
  assert.equal(subjectOf(one), subjectOf(region({ type: "rectangleregion" })));
  for (const other of [{ label: "Road" }, { object: { name: "thermal" } }, { item_index: 1 }, { labelName: undefined }]) {
    assert.notEqual(subjectOf(one), subjectOf(region(other)), JSON.stringify(other));
  }
});

test("a prompt's state changes with whatever would change the answer", () => {
  const one = region({ id: "p" });
  const changes = [{ x: 11 }, { y: 1 }, { width: 3 }, { height: 3 }, { rotation: 5 }, { negative: true }, { touches: [1] }];
  const states = [{}, ...changes].map((change) => stateOf({ ...one, ...change }));
  assert.equal(new Set(states).size, states.length);
  assert.equal(stateOf({ ...one }), states[0]);
});

test("the subject is that of the prompt that was drawn last", () => {
  const [sky, road, more] = [region(), region({ label: "Road" }), region()];
  const known = new Set([sky, road].map(stateOf));
  assert.equal(currentSubject([sky, road, more], known, subjectOf(road)), subjectOf(sky));
  assert.equal(currentSubject([sky, road], new Set(), null), subjectOf(road));
});

test("when a prompt was deleted its subject stays while something of it is left", () => {
  const [sky, road] = [region(), region({ label: "Road" })];
  const known = new Set([sky, road].map(stateOf));
  assert.equal(currentSubject([sky, road], known, subjectOf(sky)), subjectOf(sky));
  assert.equal(currentSubject([road], known, subjectOf(sky)), subjectOf(road));
});

test("only results that the editor would send are sent", () => {
  assert.deepEqual(entriesOf([region(), region()]).map((one) => one.type), ["keypoint", "keypoint"]);
});

test("a mask under a stroke's id gets one of its own, the same for shape and label", () => {
  const ids = ["n1", "n2"];
  const results = [{ id: "s", type: "brush" }, { id: "s", type: "labels" }, { id: "other", type: "brush" }];
  const renamed = underNewIds(results, [region({ id: "s" })], () => ids.shift());
  assert.deepEqual(renamed.map((one) => one.id), ["n1", "n1", "other"]);
  assert.equal(results[0].id, "s");
});

test("ghosts are results of prompts on an accepted mask, and nothing else", () => {
  const glued = ["keypointlabels", "rectanglelabels", "keypoint", "rectangle"].map((type) => result(type));
  const mask = region({ type: "brushregion", fromSuggestion: true });
  assert.deepEqual(ghostsOf({ ...mask, results: [result("brushlabels"), ...glued, result("labels")] }), glued);
  assert.deepEqual(ghostsOf({ ...mask, fromSuggestion: false, results: glued }), []);
  assert.deepEqual(ghostsOf({ ...mask, type: "rectangleregion", results: glued }), []);
});
