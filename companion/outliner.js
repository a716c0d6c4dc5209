/** The outlines of masks: each is traced once, in slices of time, and made a path once for each size that it is seen in. */

import { cover, shapeOf, stateOf } from "./covering.js";
import { boxOf, ringsIn, simplified } from "./outlines.js";
import { Grids } from "./raster.js";

/** @import { Box, Ring } from "./outlines.js" */

const MOST_PIXELS = 64_000_000;
const SLICE_MS = 8; // then the page has its turn
const UNSEEN = 0.7; // pixels of the screen that an outline may be beside the mask's edge
const EXACT = 0.35; // pixels of the image; what is finer than that is the edge itself

let count = 0;

/** An outline in pixels of its picture. */
export class Outline {
  /**
   * @param {Ring[]} rings
   * @param {Box | null} box around them
   */
  constructor(rings, box) {
    this.rings = rings;
    this.box = box;
    this.number = count += 1; // another mask, another number
    /** @type {Map<number, Path2D>} by how far it may be beside the edge */
    this.paths = new Map();
  }

  /**
   * @param {number} scale pixels of the screen for one of the picture
   */
  path(scale) {
    const finest = 2 ** Math.floor(Math.log2(UNSEEN / scale));
    const tolerance = finest < EXACT ? 0 : finest;
    let path = this.paths.get(tolerance);
    if (!path) {
      path = new Path2D();
      for (const ring of this.rings) trace(path, simplified(ring, tolerance));
      this.paths.set(tolerance, path);
    }
    return path;
  }
}

export class Outliner {
  /**
   * @param {() => void} more what was asked for is there now
   * @param {() => Promise<unknown>} pause lets the page do what is due
   * @param {() => number} now in milliseconds
   */
  constructor(more, pause = () => new Promise((go) => setTimeout(go)), now = () => performance.now()) {
    this.more = more;
    this.pause = pause;
    this.now = now;
    this.grids = new Grids();
    /** @type {Map<string, { key: string, outline: Outline }>} by region, what was traced last */
    this.traced = new Map();
    /** @type {Map<string, { key: string, region: Region, image: ImageEntity }>} by region, what is still to be traced */
    this.due = new Map();
    this.isWorking = false;
  }

  /**
   * The outline of a region; null until it was traced. While a newer one is traced, the one of before.
   * @param {Region} region a brush or a bitmask
   * @param {ImageEntity} image the picture that it is on
   * @param {boolean} atOnce for one that is waited for
   * @returns {Outline | null}
   */
  of(region, image, atOnce = false) {
    const { naturalWidth: width, naturalHeight: height } = image;
    if (width * height < 2 || width * height > MOST_PIXELS) return null;
    const key = JSON.stringify([width, height, stateOf(region)]);
    const known = this.traced.get(region.id);
    if (known?.key === key) return known.outline;
    if (this.due.get(region.id)?.key !== key) this.due.set(region.id, { key, region, image });
    if (atOnce) this.#trace(region.id);
    else void this.#work();
    return this.traced.get(region.id)?.outline ?? null;
  }

  /**
   * Forget all other regions.
   * @param {Set<string>} ids
   */
  keep(ids) {
    for (const kept of [this.traced, this.due]) {
      for (const id of kept.keys()) if (!ids.has(id)) kept.delete(id);
    }
  }

  async #work() {
    if (this.isWorking) return;
    this.isWorking = true;
    try {
      await this.pause();
      let began = this.now();
      for (let id = first(this.due); id !== undefined; id = first(this.due)) {
        this.#trace(id);
        if (this.now() - began < SLICE_MS) continue;
        await this.pause();
        began = this.now();
      }
    } finally {
      this.isWorking = false;
    }
    this.more();
  }

  /** @param {string} id */
  #trace(id) {
    const wanted = this.due.get(id);
    this.due.delete(id);
    if (!wanted) return;
    const { key, region, image } = wanted;
    try {
      this.traced.set(id, { key, outline: this.#outline(region, image) });
    } catch (error) {
      console.warn("labelrig: a mask's outline cannot be drawn:", error);
      this.traced.set(id, { key, outline: new Outline([], null) });
    }
  }

  /**
   * @param {Region} region
   * @param {ImageEntity} image
   */
  #outline(region, { naturalWidth: width, naturalHeight: height }) {
    const grid = this.grids.empty(0, width, height);
    cover(grid, shapeOf(region, width, height), () => this.grids.empty(1, width, height));
    const box = boxOf(grid);
    return new Outline(box ? ringsIn(grid, box) : [], box);
  }
}

/**
 * @param {Path2D} path
 * @param {Ring} ring
 */
export function trace(path, ring) {
  for (let at = 0; at < ring.length; at += 2) {
    if (at) path.lineTo(ring[at], ring[at + 1]);
    else path.moveTo(ring[at], ring[at + 1]);
  }
  if (ring.length) path.closePath();
}

/** @param {Map<string, unknown>} map */
function first(map) {
  return map.keys().next().value;
}
