import assert from "node:assert/strict";
import test from "node:test";

import { Coverage } from "../../../companion/coverage.js";
import { textsFor } from "../../../companion/messages.js";
import { coverageWords, statusLine } from "../../../companion/status.js";
import { region } from "./fakes.mjs";

const turn = () => new Promise((resolve) => setTimeout(resolve));

function image(name = "image", width = 100, height = 50, more = {}) {
  return { name, imageIsLoaded: true, currentImageEntity: { src: `/${name}.png`, index: 0, naturalWidth: width, naturalHeight: height, ...more } };
}

/** A polygon from left to right in percent, over the whole height. */
function band(left, right, more = {}) {
  const corners = [[left, 0], [right, 0], [right, 100], [left, 100]];
  return region({ type: "polygonregion", dynamic: false, closed: true, points: corners.map(([x, y]) => ({ x, y })), ...more });
}

/** What is found once it holds still, in percent. */
async function settled(coverage, images, regions) {
  for (let look = 0; look < 3; look += 1) {
    coverage.look(images, regions);
    await turn();
  }
  return Object.fromEntries([...coverage.look(images, regions)].map(([name, share]) => [name, Math.round(1000 * share) / 10]));
}

test("what masks with a label cover is counted, each pixel once", async () => {
  const regions = [band(0, 50), band(25, 75)];
  assert.deepEqual(await settled(new Coverage(), [image()], regions), { image: 25 });
  assert.deepEqual(await settled(new Coverage(), [image()], []), { image: 100 });
  assert.deepEqual(await settled(new Coverage(), [image()], [band(0, 100)]), { image: 0 });
});

test("prompts, unfinished polygons, boxes and regions without a label do not count", async () => {
  const others = [
    band(0, 90, { dynamic: true }),
    band(0, 90, { closed: false }),
    band(0, 90, { isDrawing: true }),
    band(0, 90, { labelName: undefined }),
    band(0, 90, { type: "rectangleregion" }),
  ];
  assert.deepEqual(await settled(new Coverage(), [image()], [...others, band(0, 10)]), { image: 90 });
});

test("each image of a pair has its own, and of a list the one that is shown", async () => {
  const images = [image("rgb"), image("thermal", 20, 20, { index: 1 })];
  const regions = [
    band(0, 50, { object: { name: "rgb" } }),
    band(0, 100, { object: { name: "thermal" }, item_index: 0 }),
    band(0, 20, { object: { name: "thermal" }, item_index: 1 }),
  ];
  assert.deepEqual(await settled(new Coverage(), images, regions), { rgb: 50, thermal: 80 });
});

test("an eraser takes away of its own region only", async () => {
  const stroke = (type) => ({ type, relativePoints: [0, 50, 100, 50], relativeStrokeWidth: 200 });
  const erased = region({ type: "brushregion", dynamic: false, touches: [stroke("add"), stroke("eraser")] });
  assert.deepEqual(await settled(new Coverage(), [image()], [band(0, 50), erased]), { image: 50 });
  erased.touches = [stroke("eraser"), stroke("add")];
  assert.deepEqual(await settled(new Coverage(), [image()], [band(0, 50), erased]), { image: 0 });
});

test("a change is counted anew, and until then the figure of before stays", async () => {
  const coverage = new Coverage();
  const regions = [band(0, 50)];
  await settled(coverage, [image()], regions);
  regions[0].points[1].x = regions[0].points[2].x = 75;
  assert.equal(coverage.look([image()], regions).get("image"), 0.5);
  assert.deepEqual(await settled(coverage, [image()], regions), { image: 25 });
  assert.equal(coverage.look([{ ...image(), currentImageEntity: { ...image().currentImageEntity, src: "/other.png" } }], regions).size, 0);
});

test("many masks let the page have its turn, and a change on the way is not mixed in", async () => {
  let clock = 0;
  let turns = 0;
  const regions = Array.from({ length: 20 }, (_, number) => band(5 * number, 5 * number + 5));
  const coverage = new Coverage(async () => { turns += 1; if (turns === 3) { regions.length = 10; coverage.look([image()], regions); } }, () => (clock += 20));
  coverage.look([image()], regions);
  coverage.look([image()], regions);
  await turn();
  assert.equal(turns, 3);
  assert.equal(coverage.look([image()], regions).size, 0);
  assert.deepEqual(await settled(coverage, [image()], regions), { image: 50 });
});

test("a picture that is not there, or is too large, has no figure", async () => {
  assert.deepEqual(await settled(new Coverage(), [{ ...image(), imageIsLoaded: false }, image("large", 9000, 9000), { name: "none", imageIsLoaded: true, currentImageEntity: null }], []), {});
});

test("forty masks on twelve megapixels take less than a second of a processor", async () => {
  const [width, height] = [4000, 3000];
  const corners = (number) => Array.from({ length: 200 }, (_, at) => {
    const angle = (2 * Math.PI * at) / 200;
    return { x: 50 + 40 * Math.cos(angle + number), y: 50 + 40 * Math.sin(angle + number) };
  });
  const regions = Array.from({ length: 40 }, (_, number) => region({ type: "polygonregion", dynamic: false, points: corners(number) }));
  let done = () => {};
  const finished = new Promise((resolve) => (done = resolve));
  const coverage = new Coverage();
  const before = process.cpuUsage();
  coverage.look([image("image", width, height)], regions);
  coverage.look([image("image", width, height)], regions);
  const timer = setInterval(() => coverage.look([image("image", width, height)], regions).size && done(), 5);
  await finished;
  clearInterval(timer);
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 1_000_000, `${user + system} µs`);
});

test("the line says it in words", () => {
  const texts = textsFor(["en"]);
  assert.equal(coverageWords(new Map(), texts), "");
  assert.equal(coverageWords(new Map([["image", 0.0321]]), texts), "3.2 % of the pixels have no label");
  assert.equal(coverageWords(new Map([["image", 0.0001]]), texts), "<0.1 % of the pixels have no label");
  assert.equal(coverageWords(new Map([["rgb", 0], ["thermal", 0]]), texts), "every pixel has a label");
  assert.equal(coverageWords(new Map([["rgb", 0], ["thermal", 1]]), texts), "rgb 0.0 %, thermal 100.0 % of the pixels have no label");
  assert.equal(coverageWords(new Map([["image", 0.5]]), textsFor(["es"])), "50.0 % de los píxeles sin etiqueta");
  const off = { autoAnnotation: false, trouble: null, state: null, pictures: "shown", coverage: "x", look: "", unsaved: null };
  assert.deepEqual(statusLine(off, texts), { mood: "quiet", text: texts.off, extra: "x", about: "SAM2" });
});
