import assert from "node:assert/strict";
import test from "node:test";

import { textsFor } from "../../../companion/messages.js";
import { Pictures } from "../../../companion/pictures.js";
import { statusLine } from "../../../companion/status.js";
import { Trouble } from "../../../companion/trouble.js";

const texts = textsFor(["en"]);
const SRC = "/data/local-files/?d=set/T/%C3%B1%201.tif";

/** An image tag whose picture is on its way, and what the server says of it, in turn. */
function bench(...answers) {
  const clock = { now: 1000 };
  const asked = [];
  const ask = async (src, { signal }) => {
    asked.push({ src, signal });
    const one = answers.length > 1 ? answers.shift() : answers[0];
    if (one instanceof Error) throw one;
    return one;
  };
  const loads = [];
  const entity = {
    src: SRC,
    error: false,
    imageLoaded: false,
    setError: (failed) => (entity.error = failed),
    preload: () => loads.push(clock.now),
    markAsLoaded: () => loads.push(clock.now),
  };
  const image = { name: "image", type: "image", currentImageEntity: entity, imageIsLoaded: false };
  const pictures = new Pictures(texts, ask, () => clock.now);
  const look = async (ms = 0) => {
    clock.now += ms;
    pictures.look([image]);
    await new Promise((resolve) => setTimeout(resolve));
    return pictures.look([image]);
  };
  return { asked, entity, image, loads, look, pictures };
}
const json = (status, detail) => Response.json({ detail }, { status });
const picture = () => new Response("x", { headers: { "Content-Type": "image/png" } });
const said = (now) => now.problem;

test("a picture that is there is asked for by nobody", async () => {
  const { asked, image, look, entity } = bench(picture());
  image.imageIsLoaded = true;
  assert.equal(await look(60_000), "shown");
  image.currentImageEntity = null;
  image.imageIsLoaded = false;
  assert.equal(await look(60_000), "shown"); // a tag without a picture
  assert.equal(asked.length, 0);
  assert.equal(entity.error, false);
});

test("one that is on its way is loading, and left alone for two seconds", async () => {
  const { asked, loads, look } = bench(picture());
  assert.equal(await look(), "loading");
  assert.equal(await look(1900), "loading");
  assert.equal(asked.length, 0);
  assert.equal(await look(200), "loading");
  assert.deepEqual(asked.map((one) => [one.src, one.signal.aborted]), [[SRC, true]]); // its content is the editor's
  assert.equal(loads.length, 0);
});

test("what the backend says of it is said, and again asked later", async () => {
  const { asked, loads, look, image } = bench(json(422, "the image 'a.tif' is cut off"), json(503, "others first"), picture());
  await look();
  assert.equal(said(await look(2100)), "The picture does not load: the image 'a.tif' is cut off");
  await look(9000);
  assert.equal(asked.length, 1);
  assert.equal(said(await look(1100)), "The picture does not load: others first");
  assert.equal(await look(10_100), "loading"); // it comes now: the editor is made to load it
  assert.equal(loads.length, 1);
  image.imageIsLoaded = true;
  assert.equal(await look(), "shown");
});

test("who is signed out, or may not see it, is told so", async () => {
  const { look, entity } = bench(new Response("", { status: 401 }), new Response("<html>", { status: 404 }));
  entity.error = true;
  assert.equal(said(await look()), texts.signedOut);
  assert.equal(said(await look(10_100)), "The picture does not load: ñ 1.tif is not there, or you may not see it (404)");
});

test("one that the editor waits for in vain is loaded again, once", async () => {
  const { loads, look } = bench(picture());
  await look();
  await look(2100);
  await look(10_100);
  assert.equal(loads.length, 1);
  await look(10_100);
  await look(10_100);
  assert.equal(loads.length, 1);
});

test("what is no picture for a browser is tried once more, then said", async () => {
  const { loads, look, entity } = bench(picture());
  entity.error = true;
  assert.equal(await look(), "loading");
  assert.equal(loads.length, 1);
  entity.error = true;
  assert.equal(said(await look(10_100)), "The picture does not load: ñ 1.tif is no picture that this browser shows");
  const text = bench(new Response("x", { headers: { "Content-Type": "text/plain" } }));
  text.entity.error = true;
  assert.equal(said(await text.look()), "The picture does not load: ñ 1.tif is no picture that this browser shows");
  assert.equal(text.loads.length, 0);
});

test("a server that we may not ask counts only where the picture failed", async () => {
  const { look, entity } = bench(new TypeError("CORS"));
  await look();
  assert.equal(await look(2100), "loading");
  entity.error = true;
  assert.equal(said(await look(10_100)), "The picture does not load: ñ 1.tif");
});

test("what is answered after another task was opened counts for nothing", async () => {
  const { look, loads, pictures, entity } = bench(picture());
  entity.error = true;
  pictures.look([{ currentImageEntity: entity, imageIsLoaded: false }]);
  assert.equal(pictures.look([]), "shown");
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(loads.length, 0);
  assert.equal(await look(), "loading");
});

const ready = {
  autoAnnotation: true, trouble: null, state: { backend: "ready", model: "tiny", image: "ready" }, pictures: "shown", coverage: "", look: "", isUnknown: false,
  isBusy: false, isSuggested: false, foundNothing: false, candidate: 0, candidates: 1, negative: false, lacksLabel: false, brushAsks: true,
  unsaved: null, hasBox: false, isUnlabelled: false, wantsLabel: false, selected: null, relabelled: null, tool: null, brushKeys: ["[", "]"],
};

test("the line is never ready over a picture that is not there", () => {
  assert.equal(statusLine(ready, texts).text, "SAM2: ready");
  for (const more of [{}, { foundNothing: false, look: "inverted" }, { state: null, isUnknown: true }]) {
    const line = statusLine({ ...ready, ...more, pictures: "loading" }, texts);
    assert.equal(line.text, "the picture is loading …");
    assert.notEqual(line.mood, "ready");
  }
  for (const more of [{}, { autoAnnotation: false }, { isUnknown: true }, { trouble: new Trouble("SAM2 cannot read it") }]) {
    const line = statusLine({ ...ready, ...more, pictures: { problem: "it is cut off" } }, texts);
    assert.deepEqual([line.mood, line.text], ["error", "it is cut off"]);
  }
  const click = { ...ready, trouble: new Trouble("no memory", "ab12"), pictures: { problem: "x" } };
  assert.equal(statusLine(click, texts).text, "no memory"); // what somebody did just now
  // A mask that waits on the other image of the task is to be accepted still.
  assert.match(statusLine({ ...ready, isSuggested: true, pictures: { problem: "x" } }, texts).text, /Enter accepts/);
});

test("how a picture is looked at is said beside", () => {
  assert.equal(statusLine({ ...ready, look: "inverted" }, texts).extra, "inverted");
  assert.equal(statusLine({ ...ready, autoAnnotation: false, look: "inverted" }, texts).extra, "inverted");
});

test("an image of a cloud storage that browsers may not read: its name, and what to switch off", async () => {
  const uri = "s3://bucket/T/ñ 1.png";
  const coded = Buffer.from(uri).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
  for (const [owner, written] of [["tasks", coded], ["projects", encodeURIComponent(coded)]]) {
    const { entity, look } = bench(new TypeError("Failed to fetch"));
    entity.src = `/${owner}/7/resolve/?fileuri=${written}`;
    entity.error = true;
    const problem = said(await look());
    assert.ok(problem.includes(`the storage of ${uri} does not let this page read it`), problem);
    assert.ok(problem.includes("pre-signed URLs"));
  }
});

test("one that Label Studio streams, and whose storage fails, has Label Studio's reason", async () => {
  const { entity, look } = bench(json(424, "Stream is None"));
  entity.src = "/tasks/7/resolve/?fileuri=czM6Ly9iL2sucG5n";
  entity.error = true;
  assert.equal(said(await look()), texts.noPicture("Stream is None"));
  const gone = bench(new Response("", { status: 404 }));
  gone.entity.src = entity.src;
  gone.entity.error = true;
  assert.equal(said(await gone.look()), texts.noPicture(texts.missing("s3://b/k.png", 404)));
});
