import assert from "node:assert/strict";
import test from "node:test";

import { follow } from "../../../companion/following.js";
import { textsFor } from "../../../companion/messages.js";
import { Trouble } from "../../../companion/trouble.js";

const texts = textsFor(["en"]);
const backend = { id: 3, state: "CO" };
const ready = { backend: "ready", image: "ready" };

/** An Api that says these things in turn, and a watch that writes down what it is told. */
function bench(states, backends = [backend]) {
  const seen = [];
  const next = (list) => (list.length > 1 ? list.shift() : list[0]);
  const api = {
    backend: async () => next(backends),
    texts,
    state: async () => {
      const one = next(states);
      if (one instanceof Error) throw one;
      return one;
    },
  };
  const watch = {
    isWanted: () => true,
    found: () => {},
    told: (state) => seen.push(state?.image ?? state?.backend ?? null),
    failed: (error) => seen.push(error.message),
  };
  const pauses = [];
  return { seen, watch, pauses, run: () => follow(api, 7, 5, watch, async (ms) => pauses.push(ms)) };
}

test("an opened task is followed until its image is ready", async () => {
  const { seen, run } = bench([{ backend: "loading" }, { backend: "ready", image: "encoding" }, ready]);
  await run();
  assert.deepEqual(seen, ["loading", "encoding", "ready"]);
});

test("a backend that is not labelrig's is asked once", async () => {
  const { seen, run } = bench([null]);
  await run();
  assert.deepEqual(seen, [null]);
});

test("what will fail is said, and looked after until it is over, more slowly", async () => {
  const broken = { backend: "ready", image: "failed", reason: "it is cut off" };
  const { seen, pauses, run } = bench([broken, new Trouble("the network is down"), ready]);
  await run();
  assert.deepEqual(seen, ["it is cut off", "the network is down", "ready"]);
  assert.ok(Math.min(...pauses) >= 5000, String(pauses));
});

test("a backend that came back is found again", async () => {
  const { seen, run } = bench([ready], [{ id: 3, state: "DI", url: "http://sam2:9090" }, null, backend]);
  await run();
  assert.deepEqual(seen, [texts.silent("http://sam2:9090"), texts.noBackend, "ready"]);
});

test("nobody is told of a task that was left", async () => {
  const { seen, watch, run } = bench([{ backend: "loading" }]);
  let looks = 0;
  watch.isWanted = () => (looks += 1) < 3;
  await run();
  assert.deepEqual(seen, []);
});
