import assert from "node:assert/strict";
import test from "node:test";

import { Asker } from "../../../companion/asking.js";
import { textsFor } from "../../../companion/messages.js";
import { statusLine } from "../../../companion/status.js";
import { Trouble } from "../../../companion/trouble.js";
import { region } from "./fakes.mjs";

const backend = { id: 3, state: "CO" };

/** A store that shows what it is given, and an Api whose answers come when the test says so. */
function bench() {
  const shown = [];
  const asked = [];
  const store = {
    loadSuggestions: async (answer, read) => shown.push(read(await answer)),
  };
  const api = {
    serving: async () => backend,
    mask: (project, one, task, entries, candidate, requestId, signal) =>
      new Promise((resolve, reject) => asked.push({ one, task, entries, candidate, requestId, signal, resolve, reject })),
  };
  const told = [];
  const ask = (asker) =>
    asker.ask(store, null, 5, [region({ id: "p" })], 1, (answer) => told.push(answer), (error, id) => told.push([error, id]));
  return { shown, asked, told, ask, asker: new Asker(api, 7) };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

test("an answer is shown and told once", async () => {
  const { shown, asked, told, ask, asker } = bench();
  ask(asker);
  await turn();
  assert.equal(asker.isBusy, true);
  assert.match(asked[0].requestId, /^[0-9a-f]{8}$/);
  assert.equal(asked[0].candidate, 1);
  const answer = { results: [{ id: "m" }], candidates: 3 };
  asked[0].resolve(answer);
  await asker.done;
  await turn();
  assert.deepEqual([shown, told, asker.isBusy], [[[{ id: "m" }]], [answer], false]);
});

test("a newer question stops the older one, whose end nobody is told", async () => {
  const { asked, told, ask, asker } = bench();
  ask(asker);
  await turn();
  ask(asker);
  await turn();
  assert.equal(asked[0].signal.aborted, true);
  asked[0].reject(new Error("stopped"));
  const answer = { results: [], candidates: 1 };
  asked[1].resolve(answer);
  await asker.done;
  await turn();
  assert.deepEqual(told, [answer]);
});

test("a refusal is told with the question's id", async () => {
  const { asked, told, ask, asker } = bench();
  ask(asker);
  await turn();
  const error = new Trouble("it is cut off");
  asked[0].reject(error);
  await asker.done;
  assert.deepEqual(told, [[error, asked[0].requestId]]);
});

test("the line says the most urgent thing", () => {
  const texts = textsFor(["en"]);
  const state = { backend: "ready", model: "tiny", device: "cuda:0", image: "ready" };
  const calm = {
    autoAnnotation: true, trouble: null, state, isUnknown: false, isBusy: false, isSuggested: false,
    foundNothing: false, candidate: 0, candidates: 1, negative: false, lacksLabel: false, brushAsks: true,
    pictures: "shown", coverage: "", look: "", unsaved: null, hasBox: false, isUnlabelled: false, wantsLabel: false,
    selected: null, relabelled: null, tool: null, brushKeys: ["[", "]"],
  };
  const name = "SAM2";
  const lines = [
    [{}, "ready", texts.ready(name), ""],
    [{ isSuggested: true, candidate: 1, candidates: 3 }, "ready", texts.pending, texts.another(2, 3)],
    [{ tool: "point" }, "ready", texts.ready(name), texts.click],
    [{ tool: "box" }, "ready", texts.ready(name), texts.drawBox],
    [{ tool: "brush", brushKeys: ["`", "+"] }, "ready", texts.ready(name), `${texts.paint} · ${texts.brushKeys("`", "+")}`],
    [{ tool: "point", lacksLabel: true }, "ready", texts.ready(name), texts.label],
    [{ selected: "Sky", tool: "point" }, "ready", texts.ready(name), texts.selected("Sky")],
    [{ selected: "Sky", tool: "point", leads: true, look: "W: keys" }, "ready", texts.ready(name), "W: keys"],
    [{ relabelled: { from: "Sky", to: "Road" } }, "ready", texts.relabelled("Sky", "Road"), ""],
    [{ isSuggested: true, isUnlabelled: true, lacksLabel: true }, "ready", texts.unlabelledMask, ""],
    [{ isSuggested: true, isUnlabelled: true, wantsLabel: true }, "error", texts.wantsLabel, ""],
    [{ unsaved: 503, isSuggested: true }, "error", texts.notSaved(texts.unreachable), ""],
    [{ unsaved: 401 }, "error", texts.notSaved(texts.signedOut), ""],
    [{ unsaved: 500 }, "error", texts.notSaved(texts.http(500)), ""],
    [{ negative: true }, "ready", texts.ready(name), texts.negative],
    [{ brushAsks: false }, "ready", texts.ready(name), texts.byHand],
    [{ lacksLabel: true, negative: true }, "ready", texts.ready(name), `${texts.label} · ${texts.negative}`],
    [{ state: { ...state, image: "encoding" } }, "busy", texts.encoding(name), ""],
    [{ state: { backend: "loading", model: "tiny" } }, "busy", texts.loading("tiny"), ""],
    [{ isUnknown: true, state: null }, "quiet", texts.starting, ""],
    [{ foundNothing: true }, "quiet", texts.nothing, ""],
    [{ foundNothing: true, hasBox: true }, "quiet", texts.nothingInBox, ""],
    [{ foundNothing: true, candidate: 1, candidates: 3 }, "quiet", texts.nothingThere(2, 3), ""],
    [{ isSuggested: true, foundNothing: true }, "ready", texts.pending, ""],
    [{ isBusy: true, isSuggested: true }, "busy", texts.thinking(name), ""],
    [{ autoAnnotation: false, isBusy: true }, "quiet", texts.off, ""],
    [{ trouble: new Trouble("no", "ab12"), isBusy: true }, "error", "no", texts.request("ab12")],
    [{ trouble: new Trouble("no"), autoAnnotation: false }, "error", "no", ""],
  ];
  for (const [change, mood, text, extra] of lines) {
    const { about, ...line } = statusLine({ ...calm, ...change }, texts);
    assert.deepEqual(line, { mood, text, extra }, JSON.stringify(change));
    assert.match(about, /^SAM2( tiny( \(cuda:0\))?)?$/);
  }
});
