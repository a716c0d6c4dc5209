import assert from "node:assert/strict";
import test from "node:test";

import { Masked, isSame } from "../../../companion/masked.js";
import { Proposals } from "../../../companion/proposals.js";
import { region } from "./fakes.mjs";

const square = (left, top, side) => [left, top, left + side, top, left + side, top + side, left, top + side];
const figure = (left, top, side) => ({ rings: [square(left, top, side)], area: (side / 100) ** 2 });

for (const [what, one, other, expected] of [
  ["the same place", figure(10, 10, 30), figure(10, 10, 30), true],
  ["a little beside", figure(10, 10, 30), figure(13, 12, 30), true],
  ["half beside", figure(10, 10, 30), figure(25, 10, 30), false],
  ["a part of it", figure(10, 10, 30), figure(15, 15, 10), false],
  ["elsewhere", figure(10, 10, 30), figure(60, 60, 30), false],
  ["as large, with nothing in it", figure(10, 10, 30), { rings: [square(10, 10, 30), square(12, 12, 26)], area: 0.0224 }, false],
  ["of a few pixels of a large picture", figure(50, 50, 0.05), figure(50.005, 50, 0.05), true],
]) {
  test(`two are one object, or not: ${what}`, () => {
    assert.deepEqual([isSame(one, other), isSame(other, one)], [expected, expected]);
  });
}

/** A picture of 200x100 pixels with masks, and proposals beside, on, and in them. */
function bench(given = {}) {
  const image = { name: "image", currentImageEntity: { naturalWidth: 200, naturalHeight: 100, index: 0 } };
  const own = (more) => region({ object: image, dynamic: false, ...more });
  const brush = own({ id: "brush", type: "brushregion", outline: { number: 1, rings: [[20, 10, 80, 10, 80, 40, 20, 40]] } });
  const polygon = own({ id: "polygon", type: "polygonregion", points: [{ x: 60, y: 60 }, { x: 90, y: 60 }, { x: 90, y: 90 }, { x: 60, y: 90 }] });
  const annotation = { regions: [brush, polygon, region({ object: image })], ...given };
  const proposals = { ofBrush: figure(11, 10, 30), partOfBrush: figure(20, 20, 8), ofPolygon: figure(60, 60, 29), free: figure(10, 60, 20) };
  for (const [name, one] of Object.entries(proposals)) one.name = name;
  const offer = { image, annotation, proposals: Object.values(proposals), isOfObjects: true, take: async () => null };
  const masked = new Masked(() => ({ of: (one) => one.outline ?? null }));
  const shown = new Proposals((work) => work(), assert.fail, (one) => masked.among(one));
  shown.veil.show = () => {};
  shown.open(offer);
  const names = () => shown.left.map((one) => one.name);
  return { annotation, brush, offer, shown, names };
}

test("an object that has a mask is not offered again; a part of it and all others are", () => {
  const { shown, names } = bench();
  assert.deepEqual([names(), shown.leftOut.size], [["partOfBrush", "free"], 2]);
});

test("without its mask it is offered again", () => {
  const { annotation, brush, shown, names } = bench();
  annotation.regions = annotation.regions.filter((one) => one !== brush);
  assert.deepEqual([names(), shown.leftOut.size], [["ofBrush", "partOfBrush", "free"], 1]);
});

test("a mask that is changed or not traced yet counts as it is now", () => {
  const { brush, names } = bench();
  brush.outline = { number: 2, rings: [[20, 60, 60, 60, 60, 80, 20, 80]] };
  assert.deepEqual(names(), ["ofBrush", "partOfBrush"]);
  brush.outline = null;
  assert.deepEqual(names(), ["ofBrush", "partOfBrush", "free"]);
});

test("a mask of another picture of the list has no part in it", () => {
  const { brush, names } = bench();
  brush.item_index = 1;
  assert.deepEqual(names(), ["ofBrush", "partOfBrush", "free"]);
});

test("masks of another image are all offered, also where some are", () => {
  const { offer, shown, names } = bench();
  offer.isOfObjects = false;
  assert.deepEqual([names().length, shown.leftOut.size], [4, 0]);
});
