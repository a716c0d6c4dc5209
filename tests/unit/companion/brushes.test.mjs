import assert from "node:assert/strict";
import test from "node:test";

import { mendBrushes } from "../../../companion/brushes.js";
import { MOST_PIXELS, pictureOf, pictureSize } from "../../../companion/maskpicture.js";

/** A brush's code (rle-pack): runs of pixels, each of one alpha, in words of eight bits. */
function coded(width, height, runs) {
  const bits = [];
  const put = (value, count) => {
    for (let at = count - 1; at >= 0; at -= 1) bits.push(Math.floor(value / 2 ** at) % 2);
  };
  put(width * height * 4, 32);
  put(7, 5);
  for (const size of [3, 7, 15, 15]) put(size, 4);
  const pieces = runs.flatMap(([pixels, alpha]) => {
    const whole = [];
    for (let left = pixels * 4; left > 0; left -= 65536) whole.push([Math.min(left, 65536), alpha]);
    return whole;
  });
  for (const [bytes, alpha] of pieces) {
    put(1, 1);
    put(2, 2);
    put(bytes - 1, 16);
    put(alpha, 8);
  }
  while (bits.length % 8) bits.push(0);
  return Array.from({ length: bits.length / 8 }, (_, at) => parseInt(bits.slice(8 * at, 8 * at + 8).join(""), 2));
}

/** A box of an image, as runs of its rows. */
function box(width, height, left, top, right, bottom, alpha = 255) {
  const runs = [[top * width + left, 0]];
  for (let row = top; row < bottom; row += 1) {
    runs.push([right - left, alpha], [row + 1 < bottom ? width - right + left : width - right + (height - bottom) * width, 0]);
  }
  return coded(width, height, runs.filter(([pixels]) => pixels > 0));
}

const alphaAt = ({ size, bytes }, x, y) => bytes[4 * (Math.floor(y) * size.width + Math.floor(x)) + 3];

test("a picture of up to four million pixels is the mask itself, in its colour", () => {
  const picture = pictureOf(box(6, 4, 1, 1, 4, 3, 200), { width: 6, height: 4 }, "#0a64ff");
  assert.deepEqual(picture.size, { width: 6, height: 4 });
  const rows = Array.from({ length: 4 }, (_, y) => Array.from({ length: 6 }, (_, x) => alphaAt(picture, x, y)));
  assert.deepEqual(rows, [[0, 0, 0, 0, 0, 0], [0, 200, 200, 200, 0, 0], [0, 200, 200, 200, 0, 0], [0, 0, 0, 0, 0, 0]]);
  assert.deepEqual([...picture.bytes.subarray(4 * 7, 4 * 7 + 4)], [0x0a, 0x64, 0xff, 200]);
});

test("one of a larger image has at most as many, of the same form, and the mask where it is", () => {
  const image = { width: 6000, height: 4000 };
  const size = pictureSize(image);
  assert.ok(size.width * size.height <= MOST_PIXELS && size.width * size.height > 0.99 * MOST_PIXELS);
  assert.ok(Math.abs(size.width / size.height - 1.5) < 0.001);
  const picture = pictureOf(box(6000, 4000, 1500, 1000, 3000, 3000), image, "#ff0000");
  const scale = size.width / 6000;
  for (const [x, y, expected] of [[1510, 2000, 255], [2990, 2000, 255], [1490, 2000, 0], [3010, 2000, 0], [2000, 1010, 255], [2000, 990, 0], [2000, 2990, 255], [2000, 3010, 0]]) {
    assert.equal(alphaAt(picture, x * scale, y * scale), expected, `${x}, ${y}`);
  }
  const covered = picture.bytes.reduce((sum, value, at) => sum + (at % 4 === 3 ? value : 0), 0) / 255;
  assert.ok(Math.abs(covered / (1500 * 2000 * scale ** 2) - 1) < 0.002);
});

test("what is thinner than a pixel of the picture is still seen", () => {
  const image = { width: 6000, height: 4000 };
  const scale = pictureSize(image).width / 6000;
  for (const [left, top, right, bottom] of [[3001, 100, 3002, 3900], [100, 2001, 5900, 2002], [3001, 2001, 3002, 2002]]) {
    const picture = pictureOf(box(6000, 4000, left, top, right, bottom), image, "#00ff00");
    const [x, y] = [((left + right) / 2) * scale, ((top + bottom) / 2) * scale];
    const around = [-1, 0, 1].flatMap((dx) => [-1, 0, 1].map((dy) => alphaAt(picture, x + dx, y + dy)));
    assert.ok(Math.max(...around) >= 80, `${[left, top, right, bottom]}: ${around}`);
  }
});

test("the code of another image, and another form of colour, are left to the editor", () => {
  const code = box(6, 4, 1, 1, 4, 3);
  assert.equal(pictureOf(code, { width: 4, height: 4 }, "#ff0000"), null);
  assert.equal(pictureOf(code.slice(0, 9), { width: 6, height: 4 }, "#ff0000"), null);
  assert.equal(pictureOf(code, { width: 6, height: 4 }, "red"), null);
});

/** A page with the editor's bundle, as webpack 5 loads it. */
function pageWith({ waiting = [] } = {}) {
  const loaded = {};
  const modules = {};
  const require = (id) => {
    if (!loaded[id]) modules[id]({}, (loaded[id] = {}), require);
    return loaded[id];
  };
  require.m = modules;
  const chunks = { push: ([, more, run]) => (Object.assign(modules, more), run?.(require)) };
  const sizes = [];
  const canvas = () => {
    const events = new EventTarget();
    return Object.assign(events, {
      getContext: () => ({ putImageData: (data) => sizes.push(data.width * data.height) }),
      toBlob: (done) => done(new Blob(["a"])),
    });
  };
  const page = {
    webpackChunklabelstudio: chunks,
    document: { createElement: canvas },
    Htx: { annotationStore: { selected: { suggestions: new Map(waiting.map((one) => [one, {}])) } } },
  };
  const stock = [];
  const part = () => {
    const tools = { RLE2Region: function (item, options) { stock.push([item.id, options]); return { src: "stock" }; } };
    return [[358], { 78438: (_module, exports) => { exports.A = { RLE2Region: function(...given) { return tools.RLE2Region(...given); } }; }, 1: () => {} }];
  };
  return { page, chunks, require, part, sizes, stock };
}

globalThis.ImageData ??= class { constructor(data, width) { Object.assign(this, { data, width, height: data.length / 4 / width }); } };
globalThis.Image ??= class extends EventTarget {};

const brush = (more = {}) => ({ id: "m#1", rle: box(6, 4, 1, 1, 4, 3), currentImageEntity: { naturalWidth: 6, naturalHeight: 4 }, ...more });
const options = { color: "#ff0000" };

for (const [when, load] of [
  ["came before this script", ({ chunks, require, part }) => { chunks.push(part()); require(78438); }],
  ["was loaded before, and runs later", ({ chunks, part }) => chunks.push(part())],
  ["comes later", null],
]) {
  test(`the editor shows our pictures where its part of the bundle ${when}`, async () => {
    const bench = pageWith({ waiting: ["m#1"] });
    load?.(bench);
    const ready = mendBrushes(bench.page);
    if (!load) bench.chunks.push(bench.part());
    const tools = bench.require(78438).A;
    ready();
    ready();
    const shown = tools.RLE2Region(brush(), options);
    const seen = await new Promise((resolve) => { shown.addEventListener("load", () => resolve([shown.width, shown.height])); });
    assert.deepEqual([seen, bench.stock, bench.sizes], [[6, 4], [], [24]]);
  });
}

test("a mask of 24 megapixels that waits is shown without a canvas, or a pass, in its size", () => {
  const bench = pageWith({ waiting: ["m#1"] });
  mendBrushes(bench.page);
  bench.chunks.push(bench.part());
  const { RLE2Region } = bench.require(78438).A;
  const made = [];
  const { Uint8ClampedArray: Clamped, Uint32Array: Words, Uint16Array: Halves, Uint8Array: Bytes } = globalThis;
  for (const Kind of [Clamped, Words, Halves, Bytes]) {
    globalThis[Kind.name] = new Proxy(Kind, { construct: (target, given) => { const one = new target(...given); made.push(one.length); return one; } });
  }
  try {
    RLE2Region(brush({ rle: box(6000, 4000, 1500, 1000, 3000, 3000), currentImageEntity: { naturalWidth: 6000, naturalHeight: 4000 } }), options);
  } finally {
    Object.assign(globalThis, { Uint8ClampedArray: Clamped, Uint32Array: Words, Uint16Array: Halves, Uint8Array: Bytes });
  }
  assert.ok(made.length > 0 && Math.max(...made) <= 4 * MOST_PIXELS, String(made));
  assert.ok(Math.max(...bench.sizes) <= MOST_PIXELS);
});

test("masks that were accepted are packed one after the other, as images", async () => {
  const bench = pageWith();
  mendBrushes(bench.page);
  bench.chunks.push(bench.part());
  const { RLE2Region } = bench.require(78438).A;
  const images = [brush(), brush({ id: "n#1" })].map((one) => RLE2Region(one, options));
  for (let rounds = 0; rounds < 20; rounds += 1) await new Promise((resolve) => setTimeout(resolve));
  assert.ok(images.every((one) => /^blob:/.test(one.src)));
  assert.deepEqual([bench.sizes, bench.stock], [[24, 24], []]);
});

test("what is not known is shown in the editor's own way", async () => {
  const bench = pageWith({ waiting: ["m#1"] });
  mendBrushes(bench.page);
  bench.chunks.push(bench.part());
  const { RLE2Region } = bench.require(78438).A;
  const other = { naturalWidth: 9, naturalHeight: 9 };
  assert.equal(RLE2Region(brush({ currentImageEntity: other }), options).src, "stock");
  assert.equal(RLE2Region(brush({ currentImageEntity: null }), options).src, "stock");
  const late = RLE2Region(brush({ id: "n#1", currentImageEntity: other }), options);
  for (let rounds = 0; rounds < 20; rounds += 1) await new Promise((resolve) => setTimeout(resolve));
  assert.equal(late.src, "stock");
  assert.deepEqual(bench.stock.map(([id]) => id), ["m#1", "m#1", "n#1"]);
});

test("a page without the bundle is left alone", () => {
  mendBrushes({})();
});
