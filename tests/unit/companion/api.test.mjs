import assert from "node:assert/strict";
import test from "node:test";

import { Api } from "../../../companion/api.js";
import { textsFor } from "../../../companion/messages.js";
import { Trouble, troubleOf } from "../../../companion/trouble.js";

const texts = textsFor(["en"]);
const backend = { id: 3, url: "http://sam2:9090", state: "CO", is_interactive: true, error_message: null };
const down = { ...backend, state: "DI" };
const signal = new AbortController().signal;

/** An Api whose server answers each path with the next of its answers. */
function served(answers) {
  const asked = [];
  const api = new Api(texts, "/ls", async (url, init) => {
    asked.push({ url, body: init.body && JSON.parse(init.body) });
    const path = Object.keys(answers).find((one) => url.includes(one));
    const answer = answers[path];
    if (answer instanceof Error) throw answer;
    if (answer === "never") return new Promise((_, reject) => init.signal.addEventListener("abort", () => reject(init.signal.reason)));
    const [status, body] = Array.isArray(answer) && typeof answer[0] === "number" ? answer : [200, answer];
    return { ok: status < 400, status, json: async () => body };
  });
  return { api, asked };
}

const mask = (api) => api.mask(7, backend, 5, [{ id: "p" }], 2, "ab12cd34", signal);

test("a click carries its prompts, its id and its wish, and gives the results", async () => {
  const { api, asked } = served({ interactive: { data: { result: [{ id: "m" }], candidates: 3 } } });
  assert.deepEqual(await mask(api), { results: [{ id: "m" }], candidates: 3 });
  assert.deepEqual(asked, [
    {
      url: "/ls/api/ml/3/interactive-annotating",
      body: { task: 5, context: { result: [{ id: "p" }], request_id: "ab12cd34", candidate: 2 } },
    },
  ]);
});

test("a backend that does not say how many masks there are has one", async () => {
  assert.deepEqual(await mask(served({ interactive: { data: null } }).api), { results: [], candidates: 1 });
});

test("the backend's refusal is its own sentence, under the click's id", async () => {
  const { api } = served({ interactive: { errors: ["422 Client Error: it is cut off for url: http://sam2:9090/predict"] } });
  await assert.rejects(mask(api), (error) => {
    assert.ok(error instanceof Trouble);
    assert.equal(error.message, "it is cut off");
    assert.equal(error.requestId, "ab12cd34");
    return true;
  });
});

test("a backend that cannot be reached is named by the state that Label Studio finds", async () => {
  const errors = ["HTTPConnectionPool(host='sam2', port=9090): Max retries exceeded"];
  const { api } = served({ interactive: { errors }, "api/ml?project=7": [down] });
  await assert.rejects(mask(api), { message: texts.silent("http://sam2:9090") });
  const well = served({ interactive: { errors }, "api/ml?project=7": [backend] });
  await assert.rejects(mask(well.api), { message: errors[0] });
});

test("a backend that hangs is found while the click still waits", async () => {
  const { api } = served({ interactive: "never", "api/ml?project=7": [down] });
  await assert.rejects(mask(api), { message: texts.silent("http://sam2:9090") });
});

test("Label Studio's own failures have sentences too", async () => {
  for (const [answer, message] of [
    [new TypeError("fetch failed"), texts.unreachable],
    [[401, {}], texts.signedOut],
    [[403, {}], texts.signedOut],
    [[502, {}], texts.http(502)],
  ]) {
    await assert.rejects(mask(served({ interactive: answer }).api), { message });
  }
});

test("a connection that was dropped is made once more", async () => {
  const answers = [new TypeError("network changed"), { data: { result: [{ id: "m" }] } }];
  const api = new Api(texts, "", async () => {
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return { ok: true, status: 200, json: async () => answer };
  });
  assert.deepEqual((await mask(api)).results, [{ id: "m" }]);
});

test("the first interactive backend is asked", async () => {
  const { api } = served({ "api/ml?project=7": [{ ...backend, id: 1, is_interactive: false }, backend, { ...backend, id: 9 }] });
  assert.equal((await api.backend(7)).id, 3);
  assert.equal(await served({ "api/ml": [] }).api.backend(7), null);
});

test("why a backend does not serve is said before it is asked", async () => {
  for (const [rows, message] of [[[down], texts.silent(down.url)], [[], texts.noBackend]]) {
    await assert.rejects(served({ "api/ml": rows }).api.serving(7), { message });
  }
  assert.equal((await served({ "api/ml": [backend] }).api.serving(7)).id, 3);
});

test("a configuration that cannot be served is said in the backend's words", () => {
  const error_message = "Can't connect. 400 Client Error: no output tag for url: http://sam2:9090/setup";
  const bare = "400 Client Error: no output tag for url: http://sam2:9090/setup";
  assert.equal(troubleOf({ ...backend, state: "ER", error_message: bare }, texts).message, texts.refused("no output tag"));
  assert.ok(troubleOf({ ...backend, state: "ER", error_message }, texts).message.includes("no output tag"));
  assert.equal(troubleOf(backend, texts), null);
});

test("a backend that is not ours has no state to tell", async () => {
  assert.equal(await served({ interactive: { data: { result: [] } } }).api.state(backend, 5), null);
  const state = { backend: "ready", model: "tiny" };
  assert.deepEqual(await served({ interactive: { data: { result: [], state } } }).api.state(backend, 5), state);
});
