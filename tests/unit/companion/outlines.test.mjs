import assert from "node:assert/strict";
import test from "node:test";

import { boxOf, contains, ringsIn, simplified } from "../../../companion/outlines.js";
import { coverPolygon, coverStroke, emptyGrid } from "../../../companion/raster.js";

/** A grid as it is drawn: # is covered. */
function gridOf(...rows) {
  const grid = emptyGrid(rows[0].length, rows.length);
  rows.forEach((row, y) => [...row].forEach((one, x) => one === "#" && (grid.data[y * grid.width + x] = 1)));
  return grid;
}

const rings = (grid) => ringsIn(grid, boxOf(grid));

/** What rings enclose, in pixels. */
function redrawn(found, width, height) {
  const grid = emptyGrid(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) if (contains(found, x + 0.5, y + 0.5)) grid.data[y * width + x] = 1;
  }
  return grid;
}

test("a pixel's ring runs around it with the pixel on the right hand", () => {
  assert.deepEqual(rings(gridOf("...", ".#.", "...")), [[2, 1, 2, 2, 1, 2, 1, 1]]);
});

test("a part that touches the border is closed", () => {
  assert.deepEqual(rings(gridOf("##", "##")), [[2, 0, 2, 2, 0, 2, 0, 0]]);
});

test("a hole has a ring of its own, the other way round", () => {
  const found = rings(gridOf("###", "#.#", "###"));
  assert.equal(found.length, 2);
  const area = (ring) => {
    let sum = 0;
    for (let at = 0; at < ring.length; at += 2) {
      const next = (at + 2) % ring.length;
      sum += ring[at] * ring[next + 1] - ring[next] * ring[at + 1];
    }
    return sum / 2;
  };
  assert.deepEqual(found.map(area), [9, -1]);
});

test("pixels that touch at a corner are two parts", () => {
  assert.deepEqual(rings(gridOf("#.", ".#")), [[1, 0, 1, 1, 0, 1, 0, 0], [2, 1, 2, 2, 1, 2, 1, 1]]);
});

test("rings give any mask back", () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 40; round += 1) {
    const [width, height] = [1 + Math.floor(random() * 13), 1 + Math.floor(random() * 11)];
    const grid = emptyGrid(width, height);
    for (let at = 0; at < width * height; at += 1) grid.data[at] = Number(random() < 0.5);
    const before = grid.data.slice();
    const box = boxOf(grid);
    const found = box ? ringsIn(grid, box) : [];
    assert.deepEqual(redrawn(found, width, height).data, before);
  }
});

test("nothing covered has no box, and a box is tight", () => {
  assert.equal(boxOf(emptyGrid(5, 4)), null);
  assert.deepEqual(boxOf(gridOf(".....", "..#..", ".#...")), { left: 1, top: 1, right: 3, bottom: 3 });
});

test("a simplified ring has fewer corners and stays within its tolerance", () => {
  const grid = emptyGrid(200, 200);
  coverStroke(grid, [100, 100], 150, 1);
  const [ring] = rings(grid);
  const fewer = simplified(ring, 0.75);
  assert.ok(fewer.length < ring.length / 2, `${fewer.length} of ${ring.length}`);
  for (let at = 0; at < ring.length; at += 2) assert.ok(distance(fewer, ring[at], ring[at + 1]) <= 0.75 + 1e-9);
});

function distance(ring, x, y) {
  let least = Infinity;
  for (let at = 0; at < ring.length; at += 2) {
    const next = (at + 2) % ring.length;
    const [ax, ay, bx, by] = [ring[at], ring[at + 1], ring[next], ring[next + 1]];
    const length = (bx - ax) ** 2 + (by - ay) ** 2;
    const share = length ? Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length)) : 0;
    least = Math.min(least, Math.hypot(ax + share * (bx - ax) - x, ay + share * (by - ay) - y));
  }
  return least;
}

test("a ring smaller than the tolerance is left out, and none at zero", () => {
  const [ring] = rings(gridOf("...", ".#.", "..."));
  assert.deepEqual(simplified(ring, 2), []);
  assert.equal(simplified(ring, 0), ring);
});

test("a point in a hole is outside", () => {
  const grid = emptyGrid(20, 20);
  coverPolygon(grid, [[2, 2], [18, 2], [18, 18], [2, 18]]);
  coverStroke(grid, [10, 10], 6, 0);
  const found = rings(grid);
  assert.deepEqual([contains(found, 4, 4), contains(found, 10, 10), contains(found, 1, 1)], [true, false, false]);
});
