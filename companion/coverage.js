/** How much of an image has no label yet, for projects that want a label for every pixel: counted while no one draws. */

import { coverGrid, coverPixels, coverPolygon, coverRuns, coverStroke, emptyGrid, uncovered } from "./raster.js";

/** @import { Grid } from "./raster.js" */

const MOST_PIXELS = 64_000_000;
const SLICE_MS = 12; // then the page has its turn

/** @typedef {{ points: number[], width: number, value: 0 | 1 }} Stroke in pixels */
/** @typedef {{ runs: ArrayLike<number> | null, strokes: Stroke[], corners: [number, number][], picture: CanvasImageSource | null }} Shape */
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
    /** @type {Grid[]} of one size, used again: one for the image, one for a region that was erased in */
    this.grids = [];
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
    const grid = this.#grid(0, width, height);
    let began = this.now();
    for (const shape of shapes()) {
      cover(grid, shape, () => this.#grid(1, width, height));
      if (this.now() - began < SLICE_MS) continue;
      await this.pause();
      if (this.seen.get(name) !== key) return null;
      began = this.now();
    }
    return uncovered(grid);
  }

  /**
   * @param {number} number
   * @param {number} width
   * @param {number} height
   */
  #grid(number, width, height) {
    const kept = this.grids[number];
    if (kept?.width === width && kept.height === height) {
      kept.data.fill(0);
      return kept;
    }
    return (this.grids[number] = emptyGrid(width, height));
  }
}

/**
 * @param {Grid} grid
 * @param {Shape} shape
 * @param {() => Grid} scratch
 */
function cover(grid, { runs, strokes, corners, picture }, scratch) {
  const isErased = strokes.some((one) => one.value === 0);
  const own = isErased ? scratch() : grid; // an eraser takes away of its own region only
  if (runs?.length) coverRuns(own, runs);
  if (picture) coverPixels(own, pixelsOf(picture, grid.width, grid.height));
  for (const { points, width, value } of strokes) coverStroke(own, points, width, value);
  coverPolygon(own, corners);
  if (isErased) coverGrid(grid, own);
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

/**
 * @param {Region} region
 * @param {string} name
 * @param {number} index
 */
function isOn(region, name, index) {
  return region.object.name === name && (region.item_index ?? 0) === index;
}

/** @type {WeakMap<object, number>} */
const numbers = new WeakMap();
let count = 0;

/**
 * The editor replaces a brush's code as a whole, so another list is another mask.
 * @param {object | null | undefined} code
 */
function numberOf(code) {
  if (!code) return 0;
  if (!numbers.has(code)) numbers.set(code, (count += 1));
  return numbers.get(code);
}

/** @param {Region} region */
function stateOf(region) {
  const { id, rle, touches, points, maskDataURL, imageDataURL, bbox } = region;
  const strokes = Array.from(touches ?? [], (one) => one.relativePoints.length);
  const corners = Array.from(points ?? [], ({ x, y }) => [x, y]);
  return [id, numberOf(rle), strokes, corners, maskDataURL?.length, imageDataURL?.length, numberOf(bbox)];
}

/**
 * @param {Region} region
 * @param {number} width
 * @param {number} height
 * @returns {Shape}
 */
function shapeOf(region, width, height) {
  const strokes = Array.from(region.touches ?? [], (one) => ({
    points: Array.from(one.relativePoints, (value, at) => (value / 100) * (at % 2 ? height : width)),
    width: (one.relativeStrokeWidth / 100) * width,
    value: /** @type {0 | 1} */ (one.type === "eraser" ? 0 : 1),
  }));
  const corners = Array.from(region.points ?? [], ({ x, y }) => /** @type {[number, number]} */ ([(x / 100) * width, (y / 100) * height]));
  const picture = region.type === "bitmaskregion" ? region.offscreenCanvasRef : region.maskDataURL ? region.getMaskImage?.() : null;
  return { runs: region.rle ?? null, strokes, corners: region.type === "polygonregion" ? corners : [], picture: picture ?? null };
}

/**
 * @param {CanvasImageSource} picture
 * @param {number} width
 * @param {number} height
 */
function pixelsOf(picture, width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) return [];
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}
