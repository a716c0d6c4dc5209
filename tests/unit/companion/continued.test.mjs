import assert from "node:assert/strict";
import test from "node:test";

import { Nothing } from "../../../companion/before.js";
import { masksContinued } from "../../../companion/continued.js";
import { textsFor } from "../../../companion/messages.js";
import { Reading } from "../../../companion/reading.js";
import { noteOf, trackLine } from "../../../companion/tracks.js";
import { Trouble } from "../../../companion/trouble.js";
import { Bench, SIZE, brush, masked, note } from "./memory_bench.mjs";

const signal = new AbortController().signal;
const image = { name: "image", type: "image", value: "$image", currentImageEntity: { naturalWidth: 8, naturalHeight: 6 } };

function annotation() {
  const added = [];
  return {
    added,
    names: new Map([["brush", {}], ["image", image]]),
    regions: [],
    history: { freeze: () => {}, unfreeze: () => {}, history: [], undoIdx: 0, setReplaceNextUndoState: () => {} },
    unselectAll: () => {},
    appendResults(results) {
      added.push(...results);
      return [...new Set(results.map((one) => one.id))].map((id) => ({ cleanId: id }));
    },
  };
}

const ask = (api, task, mine = annotation()) => masksContinued(api, { projectId: 7 }, { id: 3 }, task, image, mine, signal);

test("the masks of the image before are given, and followed into this one", async () => {
  const api = new Bench(3);
  const answer = { ...SIZE, id: "m", type: "choices", from_name: "state", value: { rle: [1], choices: ["moves"] } };
  api.annotate(2, brush("m"), answer);
  const mine = annotation();
  const { offer, isByPlace, doubted } = await ask(api, 3, mine);
  assert.deepEqual(api.asked, [["anchor", 2, "m"], ["into", 3], ["end", 3]]);
  assert.deepEqual([offer.proposals.length, isByPlace, doubted], [1, false, 0]);
  await offer.take(offer.proposals);
  const [mask, kept] = mine.added;
  assert.deepEqual([mask.id, mask.meta.text], ["2.m", [note("2.m", 0.9)]]);
  assert.deepEqual([kept.id, kept.value], ["2.m", { choices: ["moves"] }]);
});

test("predictions count where nobody has annotated", async () => {
  const api = new Bench(2);
  api.tasks.get(1).predictions = [{ id: 1, result: [brush("m")] }];
  assert.equal((await ask(api, 2)).offer.proposals.length, 1);
});

test("the line says how many objects are left out, since SAM2 is not sure of them, and when all are", async () => {
  const api = new Bench(2);
  api.annotate(1, brush("m"), brush("n"));
  const desk = { manager: { projectId: 7 }, api, texts: textsFor(["en"]), tick: () => {} };
  const press = () => new Reading(desk).before("m", { id: 3 }, 2, image, annotation());
  assert.equal((await press()).note, "");
  api.doubted = ["1.n"];
  assert.equal((await press()).note, "1 of 2 objects left out: SAM2 is not sure of the mask");
  api.doubted = ["1.m", "1.n"];
  await assert.rejects(press(), (error) => error instanceof Nothing && error.reason === "doubtedHere");
});

test("why this image cannot be read is said", async () => {
  const api = new Bench(2);
  api.annotate(1, brush("m"));
  api.broken = [2];
  await assert.rejects(ask(api, 2), (error) => error instanceof Trouble && error.message === "2.png is cut off");
});

test("the first image of its sequence gets the list's masks before, by place", async () => {
  const api = new Bench(2);
  api.tasks.get(1).data.image = "/data/local-files/?d=other/9.png";
  api.annotate(1, brush("m"));
  const { offer, isByPlace } = await ask(api, 2);
  assert.deepEqual([isByPlace, offer.proposals.length, api.asked], [true, 1, []]);
});

test("nothing to continue, and nothing found, are said", async () => {
  const api = new Bench(2);
  await assert.rejects(ask(api, 2), (error) => error instanceof Nothing && error.reason === "noMasksBefore");
  api.annotate(1, brush("m"));
  api.query = new Proxy(api.query, { apply: async (target, self, given) => ({ ...(await Reflect.apply(target, self, given)), result: [] }) });
  await assert.rejects(ask(api, 2), (error) => error instanceof Nothing && error.reason === "goneHere");
});

test("a region's note says its track and its score", () => {
  assert.deepEqual(noteOf(masked("12.8f K".replace(" ", "_"), 0.41, "a b.png")), { track: "12.8f_K", origin: "a b.png", score: 0.41 });
  for (const meta of [undefined, null, { text: "mine" }, { text: ["track"] }, { text: [7] }]) assert.equal(noteOf({ meta }), null);
});

test("the panel marks a low score of the region that is selected", () => {
  const texts = textsFor(["en"]);
  const [low, good] = [{ meta: { text: [note("1.m", 0.41)] } }, { meta: { text: [note("1.m", 0.5)] } }];
  assert.deepEqual(trackLine([low], texts), { text: "track 1.m from 1.png, score 0.41: low, look closely", isLow: true });
  assert.deepEqual(trackLine([good], texts), { text: "track 1.m from 1.png, score 0.50", isLow: false });
  assert.deepEqual([trackLine([], texts), trackLine([low, good], texts), trackLine([{}], texts)], [null, null, null]);
});
