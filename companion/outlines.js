/** The rings around what a grid covers, along its pixels' edges, and fewer corners where no one sees them. Numbers only. */

/** @import { Grid } from "./raster.js" */

/** @typedef {number[]} Ring x and y in turn, in pixels; the upper left corner of the image is 0, 0 */
/** @typedef {{ left: number, top: number, right: number, bottom: number }} Box in pixels, right and bottom beyond the last one */

const SEEN = 2; // a covered pixel whose upper edge belongs to a ring already
const AHEAD = /** @type {const} */ ([[1, 0], [0, 1], [-1, 0], [0, -1]]); // right, down, left, up

/**
 * The smallest box around what is covered; null where nothing is.
 * @param {Grid} grid
 * @returns {Box | null}
 */
export function boxOf({ width, height, data }) {
  const first = data.indexOf(1);
  if (first < 0) return null;
  const top = Math.floor(first / width);
  const bottom = Math.floor(data.lastIndexOf(1, width * height - 1) / width) + 1;
  let [left, right] = [width, 0];
  for (let row = top; row < bottom; row += 1) {
    const line = data.subarray(row * width, (row + 1) * width);
    const from = line.indexOf(1);
    if (from < 0) continue;
    left = Math.min(left, from);
    right = Math.max(right, line.lastIndexOf(1) + 1);
  }
  return { left, top, right, bottom };
}

/**
 * Every ring, with what is covered on its right hand: around parts clockwise, around holes the other way. Pixels that
 * touch at a corner only are two parts.
 * @param {Grid} grid some of its covered pixels are marked with another number afterwards
 * @param {Box} box around what is covered
 * @returns {Ring[]}
 */
export function ringsIn(grid, box) {
  const { width, data } = grid;
  /** @type {Ring[]} */
  const rings = [];
  for (let y = box.top; y < box.bottom; y += 1) {
    for (let x = box.left; x < box.right; x += 1) {
      const at = y * width + x;
      if (data[at] === 1 && (y === 0 || !data[at - width])) rings.push(walk(grid, x, y));
    }
  }
  return rings;
}

/**
 * From the upper left corner of a pixel to the right, and on until back there.
 * @param {Grid} grid
 * @param {number} x
 * @param {number} y
 * @returns {Ring}
 */
function walk({ width, height, data }, x, y) {
  /** @param {number} column @param {number} row */
  const covers = (column, row) => column >= 0 && row >= 0 && column < width && row < height && data[row * width + column] > 0;
  const [x0, y0] = [x, y];
  /** @type {Ring} */
  const ring = [];
  let way = 0;
  do {
    if (way === 0) data[y * width + x] = SEEN;
    x += AHEAD[way][0];
    y += AHEAD[way][1];
    // The pixels before us, to the right hand and to the left.
    const [right, left] = [
      covers(way === 0 || way === 3 ? x : x - 1, way < 2 ? y : y - 1),
      covers(way === 0 || way === 1 ? x : x - 1, way === 1 || way === 2 ? y : y - 1),
    ];
    const turn = !right ? 1 : left ? 3 : 0;
    if (turn !== 0) ring.push(x, y);
    way = (way + turn) % 4;
  } while (x !== x0 || y !== y0 || way !== 0);
  return ring;
}

/**
 * A ring with fewer corners, none of those left out farther than this from what stays (Douglas and Peucker); empty where
 * the whole ring is smaller than that.
 * @param {Ring} ring
 * @param {number} tolerance in pixels; 0 changes nothing
 * @returns {Ring}
 */
export function simplified(ring, tolerance) {
  if (tolerance <= 0) return ring;
  const count = ring.length / 2;
  const far = farthest(ring, 0, 0, count);
  if (far === null || far.distance <= tolerance) return [];
  const kept = new Uint8Array(count + 1);
  kept[0] = kept[far.at] = kept[count] = 1;
  const open = [[0, far.at], [far.at, count]];
  for (let part = open.pop(); part; part = open.pop()) {
    const [from, to] = part;
    const next = farthest(ring, from, to, to);
    if (next === null || next.distance <= tolerance) continue;
    kept[next.at] = 1;
    open.push([from, next.at], [next.at, to]);
  }
  /** @type {Ring} */
  const fewer = [];
  for (let at = 0; at < count; at += 1) if (kept[at]) fewer.push(ring[2 * at], ring[2 * at + 1]);
  return fewer;
}

/**
 * The corner between two others that lies farthest from the line between them.
 * @param {Ring} ring
 * @param {number} from
 * @param {number} to the last corner of the line; beyond the last of the ring it is the first
 * @param {number} end where the corners in between end
 */
function farthest(ring, from, to, end) {
  const [ax, ay] = [ring[2 * from], ring[2 * from + 1]];
  const last = (2 * to) % ring.length;
  const [dx, dy] = [ring[last] - ax, ring[last + 1] - ay];
  const length = dx * dx + dy * dy;
  let [distance, found] = [-1, -1];
  for (let at = from + 1; at < end; at += 1) {
    const [x, y] = [ring[2 * at] - ax, ring[2 * at + 1] - ay];
    const share = length ? Math.min(1, Math.max(0, (x * dx + y * dy) / length)) : 0;
    const squared = (x - share * dx) ** 2 + (y - share * dy) ** 2;
    if (squared > distance) [distance, found] = [squared, at];
  }
  return found < 0 ? null : { at: found, distance: Math.sqrt(distance) };
}

/**
 * Whether a point lies inside rings, by the even-odd rule.
 * @param {Ring[]} rings
 * @param {number} x
 * @param {number} y
 */
export function contains(rings, x, y) {
  let inside = false;
  for (const ring of rings) {
    for (let at = 0, before = ring.length - 2; at < ring.length; before = at, at += 2) {
      const [x0, y0, x1, y1] = [ring[before], ring[before + 1], ring[at], ring[at + 1]];
      if (y0 > y !== y1 > y && x < x0 + ((y - y0) * (x1 - x0)) / (y1 - y0)) inside = !inside;
    }
  }
  return inside;
}
