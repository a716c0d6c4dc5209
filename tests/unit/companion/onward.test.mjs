import assert from "node:assert/strict";
import test from "node:test";

import { textsFor } from "../../../companion/messages.js";
import { Onward } from "../../../companion/onward.js";
import { store } from "../../../companion/predictions.js";
import { Trouble } from "../../../companion/trouble.js";
import { Bench, brush, masked } from "./memory_bench.mjs";

const texts = textsFor(["en"]);
const signal = new AbortController().signal;

/** The person is at the first image of some, or another one, with a mask on the screen. */
function bench(count, onward = 0, task = 1, entry = brush("m")) {
  const api = new Bench(count);
  const image = { name: "image", type: "image", value: "$image", currentImageEntity: { index: 0 } };
  const region = { object: { name: "image" }, dynamic: false, fromSuggestion: false, results: [{ serialize: () => entry }] };
  const annotation = { names: new Map([["image", image]]), regions: [region], isReadOnly: () => false };
  const desk = {
    manager: { projectId: 7 }, api, store: { annotationStore: { selected: annotation } }, task, texts,
    windowing: { name: "image" }, choices: { read: () => ({ onward }) }, tick: () => {},
    refused: (error) => (desk.trouble = error.message),
  };
  return { api, desk, annotation, onward: new Onward(desk) };
}

async function until(holds) {
  for (let turn = 0; turn < 200 && !holds(); turn += 1) await new Promise((go) => setTimeout(go));
  assert.ok(holds());
}

async function ended(onward) {
  onward.toggle();
  await until(() => !onward.isBusy);
  clearTimeout(onward.timer);
}

test("the images that follow get predictions, each by a step of its own", async () => {
  const { api, onward } = bench(4);
  api.waits = 2; // a step that takes long is asked for again
  await ended(onward);
  assert.deepEqual(api.asked, [["anchor", 1, "m"], ["into", 2], ["into", 3], ["into", 4], ["end", 1]]);
  assert.deepEqual(api.sent, [["POST", 2], ["POST", 3], ["POST", 4]]);
  const [prediction] = api.tasks.get(3).predictions;
  assert.deepEqual([prediction.model_version, prediction.score, prediction.result[0].id], ["propagate", 0.9, "1.m"]);
  assert.deepEqual(onward.hints, [texts.onwardDone(3, 0)]);
});

test("as many as are chosen, and the line says how far it is", async () => {
  const { api, onward } = bench(9, 2);
  let go;
  api.held = new Promise((resolve) => (go = resolve));
  onward.toggle();
  await until(() => onward.total === 2);
  assert.deepEqual(onward.hints, [texts.onward(0, 2)]);
  go();
  await until(() => !onward.isBusy);
  clearTimeout(onward.timer);
  assert.deepEqual(api.sent, [["POST", 2], ["POST", 3]]);
});

test("an image that people have annotated is left alone, and its masks count from there on", async () => {
  const { api, onward } = bench(5);
  api.annotate(3, masked("1.m", 1), brush("new"));
  await ended(onward);
  assert.deepEqual(api.asked, [
    ["anchor", 1, "m"], ["into", 2], ["end", 1],
    ["anchor", 3, "1.m", "new"], ["anchor", 1, "m"], ["into", 4], ["into", 5], ["end", 1],
  ]);
  assert.deepEqual(api.sent, [["POST", 2], ["POST", 4], ["POST", 5]]);
  assert.deepEqual(api.tasks.get(4).predictions[0].result.map((one) => one.id), ["1.m", "3.new"]);
  assert.deepEqual(api.tasks.get(3).predictions, []);
});

test("an object that was deleted here ends: its masks on the images after this one go", async () => {
  const { api, onward } = bench(5, 2, 2, masked("1.m", 0.9));
  const before = [masked("1.m", 0.8), masked("1.deleted", 0.8)];
  const other = { ...masked("1.other", 0.8), to_name: "thermal" };
  const backward = masked("5.back", 0.8, "5.png");
  api.tasks.get(2).predictions = [{ id: 2, model_version: "propagate", result: before }];
  api.tasks.get(3).predictions = [{ id: 3, model_version: "propagate", result: [...before, masked("2.was", 0.8, "2.png"), other, backward] }];
  api.tasks.get(4).predictions = [{ id: 4, model_version: "propagate", result: [masked("1.hidden", 0.8), masked("7.x", 0.8, "gone.png")] }];
  await ended(onward);
  assert.deepEqual(api.tasks.get(3).predictions[0].result.map((one) => one.id), ["1.other", "5.back", "1.m"]);
  assert.deepEqual(api.tasks.get(4).predictions[0].result.map((one) => one.id), ["7.x", "1.m"]);
});

test("an object that an annotated image on the way does not show ends there", async () => {
  const { api, onward } = bench(4);
  api.annotate(3, brush("new"));
  for (const [task, origin] of [[2, "1.png"], [4, "renamed.png"]]) {
    api.tasks.get(task).predictions = [{ id: task, model_version: "propagate", result: [masked("1.m", 0.8, origin)] }];
  }
  await ended(onward);
  assert.deepEqual([2, 4].map((task) => api.tasks.get(task).predictions[0].result.map((one) => one.id)), [["1.m"], ["3.new"]]);
});

test("at an annotated image without masks all objects end: their masks go, and it is named", async () => {
  const { api, onward } = bench(5);
  api.annotate(3);
  const [gone, backward] = [masked("1.m", 0.8), masked("9.back", 0.8, "5.png")];
  api.tasks.get(4).predictions = [{ id: 4, model_version: "propagate", result: [gone, backward] }];
  await ended(onward);
  assert.deepEqual(api.asked, [["anchor", 1, "m"], ["into", 2], ["end", 1]]);
  assert.deepEqual(api.sent, [["POST", 2], ["POST", 4], ["DELETE", 4]]);
  assert.deepEqual(api.tasks.get(4).predictions[0].result.map((one) => one.id), ["9.back"]);
  assert.deepEqual(onward.hints, [`${texts.onwardDone(1, 0)}; ${texts.endsAt("3.png")}`]);
});

test("after an annotated image without masks, one with masks begins anew", async () => {
  const { api, onward } = bench(6);
  api.annotate(3);
  api.annotate(5, brush("new"));
  await ended(onward);
  assert.deepEqual(api.asked, [["anchor", 1, "m"], ["into", 2], ["end", 1], ["anchor", 5, "new"], ["into", 6], ["end", 1]]);
  assert.deepEqual(api.sent, [["POST", 2], ["POST", 6]]);
  assert.deepEqual(onward.hints, [texts.onwardDone(3, 0)]);
});

test("nothing is begun on the last image where it is annotated, with masks or without", async () => {
  for (const drawn of [[], [brush("new")]]) {
    const { api, onward } = bench(3);
    api.annotate(3, ...drawn);
    await ended(onward);
    assert.deepEqual(api.asked, [["anchor", 1, "m"], ["into", 2], ["end", 1]]);
    assert.deepEqual(onward.hints, [texts.onwardDone(2, 0)]);
  }
});

test("a failure is said and stays on the line; nothing is stored for that image", async () => {
  const { api, onward } = bench(4);
  api.fails = [3, new Trouble("the image set/3.png is not in the folder", "ab12")];
  await ended(onward);
  assert.deepEqual(onward.hints, [texts.onwardFailed(1, 3, "the image set/3.png is not in the folder")]);
  assert.deepEqual(api.sent, [["POST", 2]]);
  assert.deepEqual(api.asked.at(-1), ["end", 1]);
  api.fails = null;
  await ended(onward);
  assert.deepEqual(api.sent, [["POST", 2], ["POST", 3], ["POST", 4]]); // the second has the same ones already
});

test("images that cannot be read are passed over and named, and those after them continued", async () => {
  const { api, onward } = bench(6);
  api.broken = [2, 4];
  await ended(onward);
  assert.deepEqual(api.sent, [["POST", 3], ["POST", 5], ["POST", 6]]);
  assert.deepEqual(onward.hints, ["3 images continued; passed over, as SAM2 cannot read them: 2.png, 4.png"]);
  api.broken = [2, 3, 4, 5];
  await ended(onward);
  assert.match(onward.hints[0], /^1 image continued; .*: 2.png, 3.png, 4.png, …$/);
});

for (const language of ["en", "es"]) {
  test(`${language}: SAM2 is away when it begins, or stops meanwhile: that is said, and what to do`, async () => {
    const { api, desk, onward } = bench(4);
    desk.texts = textsFor([language]);
    for (const [sentence, done, total] of [[desk.texts.noBackend, 0, 0], [desk.texts.silent("http://sam2:9090"), 1, 3]]) {
      api.away = new Trouble(sentence);
      if (total) {
        api.fails = [3, new Trouble("HTTPConnectionPool(host='sam2', port=9090): Max retries exceeded")];
        api.serving = async () => (api.asked.some(([step]) => step === "into") ? Promise.reject(api.away) : { id: 3 });
      }
      await ended(onward);
      assert.deepEqual([onward.hints, desk.trouble], [[desk.texts.onwardFailed(done, total, sentence)], sentence]);
      assert.match(onward.hints[0], /[.]\/inv .*\((Shift|Mayús)\+M: /);
    }
  });
}

test("the key ends it, and what came stays", async () => {
  const { api, onward } = bench(4);
  let go;
  api.held = new Promise((resolve) => (go = resolve));
  onward.toggle();
  await until(() => onward.total === 3);
  onward.toggle();
  assert.deepEqual([onward.isBusy, onward.hints], [false, [texts.onwardStopped(0, 3)]]);
  go();
  await until(() => api.asked.some(([step]) => step === "end"));
  clearTimeout(onward.timer);
  assert.deepEqual([api.sent, onward.hints], [[], [texts.onwardStopped(0, 3)]]);
});

test("without masks, and on the last image, it says so", async () => {
  const { onward, annotation, desk } = bench(2);
  desk.task = 2;
  await ended(onward);
  assert.deepEqual(onward.hints, [texts.onwardFailed(0, 0, texts.lastOfSequence)]);
  annotation.regions = [];
  onward.toggle();
  clearTimeout(onward.timer);
  assert.deepEqual([onward.isBusy, onward.hints], [false, [texts.noMasksHere]]);
});

test("images that lack a mask, since SAM2 is not sure of it, are counted, also the next time", async () => {
  const { api, onward } = bench(4);
  api.annotate(3, brush("sure"));
  api.doubted = ["1.m"];
  for (let time = 0; time < 2; time += 1) {
    await ended(onward);
    assert.deepEqual(onward.hints, ["3 images continued; 1 without masks that SAM2 is not sure of"]);
  }
});

test("other tracks keep their masks, those that ended go, and the older prediction after the new one", async () => {
  const api = new Bench(1);
  const task = api.tasks.get(1);
  task.predictions = [
    { id: 5, model_version: "propagate", result: [masked("a", 0.8), masked("b", 0.3), masked("c", 0.9)] },
    { id: 4, model_version: "propagate", result: [] },
    { id: 3, model_version: "demo@1", result: [masked("a", 0.1)] },
  ];
  assert.equal(await store(api, 1, [masked("a", 0.7)], (one) => "ac".includes(one.id), signal), "stored");
  assert.deepEqual(api.sent, [["POST", 1], ["DELETE", 4], ["DELETE", 5]]);
  const { result, score } = task.predictions.at(-1);
  assert.deepEqual([result.map((one) => one.id), score], [["b", "a"], 0.3]);
});

test("the same masks are not stored twice, also where keys come in another order", async () => {
  const api = new Bench(1);
  const turned = (one) => Object.fromEntries(Object.entries(one).reverse());
  api.tasks.get(1).predictions = [{ id: 5, model_version: "propagate", result: [turned(masked("a", 0.8))] }, { id: 4, model_version: "propagate", result: [] }];
  assert.equal(await store(api, 1, [masked("a", 0.8)], (one) => one.id === "a", signal), "same");
  assert.deepEqual(api.sent, [["DELETE", 4]]);
});

test("an image that was annotated meanwhile is left alone", async () => {
  const api = new Bench(1);
  api.annotate(1);
  assert.equal(await store(api, 1, [masked("a", 0.8)], (one) => one.id === "a", signal), "annotated");
  assert.deepEqual(api.sent, []);
});
