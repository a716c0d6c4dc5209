import assert from "node:assert/strict";
import test from "node:test";

import { markAt, markOf } from "../../../companion/marks.js";
import { between, inverse, moved } from "../../../companion/overlay.js";
import { region } from "./fakes.mjs";

const MATRIX = [6.4, 0, 0, 4.8, 20, 10]; // a picture of 640x480, moved
const object = { name: "image", currentImageEntity: { naturalWidth: 200, naturalHeight: 100 } };

test("points are plus and minus, boxes and strokes have their lines", () => {
  assert.equal(markOf(region({ negative: false })).kind, "plus");
  assert.equal(markOf(region({ negative: true })).kind, "minus");
  const box = markOf(region({ type: "rectangleregion", x: 10, y: 20, width: 30, height: 40, rotation: 0, object }));
  assert.deepEqual([box.kind, box.lines], ["box", [[10, 20, 40, 20, 40, 60, 10, 60]]]);
  const stroke = markOf(region({ type: "brushregion", touches: [{ relativePoints: [1, 2, 3, 4] }] }));
  assert.deepEqual([stroke.kind, stroke.x, stroke.y], ["stroke", 1, 2]);
  assert.equal(markOf(region({ type: "brushregion", touches: [] })), null);
});

test("a box that was turned is drawn turned about its first corner", () => {
  const box = markOf(region({ type: "rectangleregion", x: 50, y: 50, width: 10, height: 20, rotation: 90, object }));
  const corners = box.lines[0].map((value) => Math.round(value * 1000) / 1000);
  assert.deepEqual(corners, [50, 50, 50, 70, 40, 70, 40, 50]);
});

test("the sign under the mouse is found at every zoom, the later one first", () => {
  const marks = [markOf(region({ id: "a", x: 50, y: 50 })), markOf(region({ id: "b", x: 50.5, y: 50 }))];
  const id = (matrix, x, y) => markAt(marks, matrix, x, y)?.region.cleanId ?? null;
  assert.equal(id(MATRIX, 340, 250), "b");
  assert.equal(id(MATRIX, 340, 262), null);
  const near = [64, 0, 0, 48, -2860, -2150]; // ten times as large: signs keep their size
  assert.equal(id(near, 340, 250), "a");
  assert.equal(id(near, 372, 250), "b");
  assert.equal(id(near, 355, 250), null);
});

test("a matrix and its inverse give a place back, also turned", () => {
  const turned = [0, 3, -2, 0, 5, 7];
  const [x, y] = moved(turned, 11, 13);
  assert.deepEqual(moved(inverse(turned), x, y).map((one) => Math.round(one * 1e9) / 1e9), [11, 13]);
});

test("what leads from one view to another moves what was drawn", () => {
  const [before, now] = [[2, 0, 0, 2, 10, 20], [4, 0, 0, 4, -30, 5]];
  const [x, y] = moved(before, 7, 9);
  assert.deepEqual(moved(between(before, now), x, y), moved(now, 7, 9));
});
