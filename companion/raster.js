/**
 * Which pixels of an image are covered: brushes as Label Studio codes them, polygons and strokes, filled into a grid of
 * one byte a pixel. Numbers only: the rules are those of the exports (masks/rle.py, masks/raster.py).
 */

/** @typedef {{ width: number, height: number, data: Uint8Array }} Grid 1 where a pixel is covered, else 0; row by row */

const CHANNELS = 4;
const HALF = 128; // from half opacity on a brush covers a pixel
const HEADER_BITS = 53;
const ONES = 0x01010101; // four covered pixels

/**
 * @param {number} width
 * @param {number} height
 * @returns {Grid}
 */
export function emptyGrid(width, height) {
  return { width, height, data: new Uint8Array(Math.ceil((width * height) / 4) * 4) };
}

/** Grids that are used again: to make one of a large image takes longer than to empty it. */
export class Grids {
  constructor() {
    /** @type {Grid[]} */
    this.kept = [];
  }

  /**
   * @param {number} number which of them; the one that was given under it before is no longer its taker's
   * @param {number} width
   * @param {number} height
   */
  empty(number, width, height) {
    const kept = this.kept[number];
    if (kept?.width === width && kept.height === height) {
      kept.data.fill(0);
      return kept;
    }
    return (this.kept[number] = emptyGrid(width, height));
  }
}

/**
 * The share of the pixels that are not covered, of 0 to 1.
 * @param {Grid} grid
 */
export function uncovered({ width, height, data }) {
  const fours = new Uint32Array(data.buffer);
  let covered = 0;
  for (const four of fours) {
    if (four === ONES) covered += 4;
    else if (four !== 0) covered += (four & 1) + ((four >>> 8) & 1) + ((four >>> 16) & 1) + (four >>> 24);
  }
  return 1 - covered / (width * height);
}

/**
 * Cover what another grid of the same size covers.
 * @param {Grid} grid
 * @param {Grid} other
 */
export function coverGrid(grid, other) {
  const [mine, theirs] = [new Uint32Array(grid.data.buffer), new Uint32Array(other.data.buffer)];
  for (let at = 0; at < mine.length; at += 1) mine[at] |= theirs[at];
}

/**
 * Cover the pixels whose alpha is at least half.
 * @param {Grid} grid
 * @param {ArrayLike<number>} rgba four bytes a pixel
 */
export function coverPixels({ width, height, data }, rgba) {
  for (let at = 0; at < width * height; at += 1) if (rgba[CHANNELS * at + 3] >= HALF) data[at] = 1;
}

/**
 * Cover what a brush covers, by its run lengths.
 * @param {Grid} grid
 * @param {ArrayLike<number>} code
 * @returns {boolean} whether it is such a code, of an image of this size
 */
export function coverRuns({ width, height, data }, code) {
  return eachRun(code, width * height, (first, last, alpha) => {
    if (alpha >= HALF) data.fill(1, first, last);
  });
}

/**
 * The pixels of a brush that are not clear, run by run (rle-pack over the bytes of the RGBA image).
 * @param {ArrayLike<number>} code
 * @param {number} pixels of the image
 * @param {(first: number, last: number, alpha: number) => void} found from one pixel on to another, that one not included
 * @returns {boolean} whether it is such a code, of an image of this size
 */
export function eachRun(code, pixels, found) {
  const total = pixels * CHANNELS;
  const available = 8 * code.length;
  if (available < HEADER_BITS || bits(code, 0, 16) * 65536 + bits(code, 16, 16) !== total) return false;
  if (bits(code, 32, 5) !== 7) return false; // words of eight bits
  const widths = [37, 41, 45, 49].map((at) => bits(code, at, 4) + 1);
  let position = HEADER_BITS;
  for (let from = 0; from < total; ) {
    const isRun = bits(code, position, 1) === 1;
    const size = widths[bits(code, position + 1, 2)];
    const to = from + bits(code, position + 3, size) + 1;
    const words = position + 3 + size;
    position = words + 8 * (isRun ? 1 : to - from);
    if (position > available || to > total) return false;
    const [first, last] = [from >> 2, to >> 2]; // the pixels whose alpha is among these bytes
    if (isRun) {
      const alpha = bits(code, words, 8);
      if (alpha && first < last) found(first, last, alpha);
    } else {
      for (let at = first; at < last; at += 1) {
        const alpha = bits(code, words + 8 * (CHANNELS * at + 3 - from), 8);
        if (alpha) found(at, at + 1, alpha);
      }
    }
    from = to;
  }
  return true;
}

/**
 * Cover the pixels whose centre lies in a polygon, by the non-zero rule.
 * @param {Grid} grid
 * @param {readonly (readonly [number, number])[]} corners in pixels, the upper left corner of the image is 0, 0
 */
export function coverPolygon(grid, corners) {
  if (corners.length < 3) return;
  /** @type {Map<number, [number, number][]>} by row: where an edge crosses its middle, and which way it runs */
  const rows = new Map();
  corners.forEach(([x0, y0], number) => {
    const [x1, y1] = corners[(number + 1) % corners.length];
    const way = y0 < y1 ? 1 : -1;
    const [first, last] = [Math.max(0, Math.ceil(Math.min(y0, y1) - 0.5)), Math.min(grid.height, Math.ceil(Math.max(y0, y1) - 0.5))];
    for (let row = first; row < last; row += 1) {
      const crossing = x0 + ((row + 0.5 - y0) * (x1 - x0)) / (y1 - y0);
      const found = rows.get(row);
      if (found) found.push([crossing, way]);
      else rows.set(row, [[crossing, way]]);
    }
  });
  for (const [row, crossings] of rows) {
    crossings.sort((one, other) => one[0] - other[0]);
    let winding = 0;
    crossings.forEach(([x, way], number) => {
      winding += way;
      const next = crossings[number + 1];
      if (winding !== 0 && next) fillRow(grid, row, x, next[0], 1);
    });
  }
}

/**
 * Cover, or with 0 wipe, the pixels whose centre is not farther from a line than half its width; its ends are round.
 * @param {Grid} grid
 * @param {ArrayLike<number>} points x and y in turn, in pixels
 * @param {number} width
 * @param {0 | 1} value
 */
export function coverStroke(grid, points, width, value) {
  const radius = width / 2;
  for (let at = 0; at + 1 < points.length; at += 2) {
    const next = at + 3 < points.length ? at + 2 : at;
    coverCapsule(grid, points[at], points[at + 1], points[next], points[next + 1], radius, value);
  }
}

/**
 * @param {Grid} grid
 * @param {number} x0
 * @param {number} y0
 * @param {number} x1
 * @param {number} y1
 * @param {number} radius
 * @param {0 | 1} value
 */
function coverCapsule(grid, x0, y0, x1, y1, radius, value) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  const [nx, ny] = length ? [(-(y1 - y0) / length) * radius, ((x1 - x0) / length) * radius] : [0, 0];
  const sides = /** @type {const} */ ([[x0 + nx, y0 + ny], [x1 + nx, y1 + ny], [x1 - nx, y1 - ny], [x0 - nx, y0 - ny]]);
  const first = Math.max(0, Math.ceil(Math.min(y0, y1) - radius - 0.5));
  const last = Math.min(grid.height - 1, Math.floor(Math.max(y0, y1) + radius - 0.5));
  for (let row = first; row <= last; row += 1) {
    const y = row + 0.5;
    let [from, to] = [Infinity, -Infinity];
    for (const [x, middle] of [[x0, y0], [x1, y1]]) {
      const rest = radius * radius - (y - middle) * (y - middle);
      if (rest < 0) continue;
      from = Math.min(from, x - Math.sqrt(rest));
      to = Math.max(to, x + Math.sqrt(rest));
    }
    for (let side = 0; length && side < 4; side += 1) {
      const [[ax, ay], [bx, by]] = [sides[side], sides[(side + 1) % 4]];
      if (ay === by || y < Math.min(ay, by) || y > Math.max(ay, by)) continue;
      const x = ax + ((y - ay) * (bx - ax)) / (by - ay);
      from = Math.min(from, x);
      to = Math.max(to, x);
    }
    fillRow(grid, row, from, to, value);
  }
}

/**
 * The pixels of a row whose centre lies from one place on to another.
 * @param {Grid} grid
 * @param {number} row
 * @param {number} from
 * @param {number} to
 * @param {0 | 1} value
 */
function fillRow({ width, data }, row, from, to, value) {
  const first = Math.max(0, Math.ceil(from - 0.5));
  const last = Math.min(width, Math.ceil(to - 0.5));
  if (first < last) data.fill(value, row * width + first, row * width + last);
}

/**
 * Some bits as a number, from the highest down.
 * @param {ArrayLike<number>} code
 * @param {number} at the first one
 * @param {number} count 16 at most
 */
function bits(code, at, count) {
  const byte = at >> 3;
  const window = (code[byte] << 16) | ((code[byte + 1] ?? 0) << 8) | (code[byte + 2] ?? 0);
  return (window >> (24 - count - (at & 7))) & ((1 << count) - 1);
}
