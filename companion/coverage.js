/** How much of an image has no label yet, for projects that want a label for every pixel: counted while no one draws. */

import { cover, isOn, shapeOf, stateOf } from "./covering.js";
import { Grids, uncovered } from "./raster.js";

/** @import { Shape } from "./covering.js" */

const MOST_PIXELS = 64_000_000;
const SLICE_MS = 12; // then the page has its turn

/** @typedef {{ name: string, src: string, width: number, height: number, key: string, shapes: () => Shape[] }} Task */

export class Coverage {
  /**
   * @param {() => Promise<unknown>} pause lets the page do what is due
   * @param {() => number} now in milliseconds
   */
  constructor(pause = () => new Promise((go) => setTimeout(go)), now = () => performance.now()) {
    this.pause = pause;
    this.now = now;
    /** @type {Map<string, { src: string, key: string, share: number | null }>} by image tag: what was counted last */
    this.counted = new Map();
    /** @type {Map<string, string>} what was seen at the last look */
    this.seen = new Map();
    this.isCounting = false;
    this.grids = new Grids();
  }

  /**
   * The share of each image's pixels without a label, by image tag; of those that are known. What has changed and holds
   * still is counted meanwhile.
   * @param {ImageTag[]} images
   * @param {Region[]} regions
   * @returns {Map<string, number>}
   */
  look(images, regions) {
    const tasks = images.flatMap((image) => taskOf(image, regions) ?? []);
    for (const one of tasks) {
      if (!this.isCounting && this.seen.get(one.name) === one.key && this.counted.get(one.name)?.key !== one.key) {
        void this.#count(one);
      }
      this.seen.set(one.name, one.key);
    }
    const found = new Map();
    for (const { name, src } of tasks) {
      const last = this.counted.get(name);
      // While a region is drawn the figure of before stays: a line that comes and goes is not read.
      if (last?.src === src && last.share !== null) found.set(name, last.share);
    }
    return found;
  }

  /** @param {Task} task */
  async #count(task) {
    const { name, src, key } = task;
    this.isCounting = true;
    try {
      const share = await this.#share(task);
      if (this.seen.get(name) === key) this.counted.set(name, { src, key, share });
    } catch (error) {
      console.warn("labelrig: the pixels without a label cannot be counted:", error);
      this.counted.set(name, { src, key, share: null });
    } finally {
      this.isCounting = false;
    }
  }

  /**
   * Null where the image was changed meanwhile.
   * @param {Task} task
   */
  async #share({ name, key, width, height, shapes }) {
    const grid = this.grids.empty(0, width, height);
    let began = this.now();
    for (const shape of shapes()) {
      cover(grid, shape, () => this.grids.empty(1, width, height));
      if (this.now() - began < SLICE_MS) continue;
      await this.pause();
      if (this.seen.get(name) !== key) return null;
      began = this.now();
    }
    return uncovered(grid);
  }
}

/**
 * What is to be counted on an image; null while its picture is not there, or of one that is too large.
 * @param {ImageTag} image
 * @param {Region[]} regions
 * @returns {Task | null}
 */
function taskOf(image, regions) {
  const entity = image.currentImageEntity;
  const { naturalWidth: width, naturalHeight: height } = entity ?? { naturalWidth: 0, naturalHeight: 0 };
  if (!entity || !image.imageIsLoaded || width * height < 2 || width * height > MOST_PIXELS) return null;
  const mine = regions.filter((one) => isMask(one) && isOn(one, image.name, entity.index));
  const key = JSON.stringify([entity.src, ...mine.map(stateOf)]);
  return { name: image.name, src: entity.src, width, height, key, shapes: () => mine.map((one) => shapeOf(one, width, height)) };
}

/** @param {Region} region */
function isMask(region) {
  const isShape = region.type === "brushregion" || region.type === "bitmaskregion" || region.type === "polygonregion";
  return isShape && !region.dynamic && !region.isDrawing && region.closed !== false && Boolean(region.labelName);
}
